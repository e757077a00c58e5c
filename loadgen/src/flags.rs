//! The command line: flags and environment, made into a plan.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sluice_loadgen::{
    Arrivals, Endpoint, Ops, Orders, Plan, Profile, Result, Secret, Secrets, Setup, Threshold,
    Traffic, Work,
};

use crate::values::{number, percent, setting, spike, time};

/// Drives load at a Sluice server and audits from outside what it acknowledged.
#[derive(Debug, Parser)]
#[command(name = "sluice-loadgen", version, max_term_width = 100)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends orders as planned, prints a report, and checks every acknowledged order
    ///
    /// Exit codes: 0 done and nothing wrong; 1 the audit failed, or a --fail-if came true; 3 the result is not
    /// valid, because the generator itself sent too late (--lag-max); 64 wrong flags; 69 the server cannot be
    /// reached or is not ready for the run; 70 the system failed, or a result could not be written. A failed
    /// audit counts before a result that is not valid (1), and that before a --fail-if (3): figures of a
    /// late generator prove nothing, orders that are lost do.
    Run(Box<RunFlags>),
}

#[derive(Debug, Args)]
pub(crate) struct RunFlags {
    /// The server's public listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: String,
    /// Let the target (and --ops) be another machine
    #[arg(long)]
    allow_remote: bool,

    /// Orders a second (0.001 … 1000000), sent when due whatever earlier answers do; `max`: each
    /// connection sends as soon as it is answered (closed loop)
    #[arg(long, value_name = "N|max", default_value = "1000", help_heading = "Load")]
    rate: String,
    /// How the gaps between arrivals are drawn
    #[arg(long, value_enum, default_value_t = ArrivalsFlag::Poisson, help_heading = "Load")]
    arrivals: ArrivalsFlag,
    /// How long orders are planned for: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Load")]
    duration: String,
    /// Traffic at the plain rate before the measured span: audited, but in no latency and no rate
    #[arg(long, value_name = "TIME", default_value = "0s", help_heading = "Load")]
    warm_up: String,
    /// A crowd: quiet=10s,factor=20,decay=5s is 10 s at --rate, then 20 times as many at once, and what
    /// is above --rate down to 1/e of it after each 5 s
    #[arg(long, value_name = "SPIKE", help_heading = "Load")]
    spike: Option<String>,
    /// End the plan after this many orders, those of the warm-up included
    #[arg(long, value_parser = number::<u64>("1…1000000000"), value_name = "N", help_heading = "Load")]
    requests: Option<u64>,
    /// Connections kept open, one order at a time on each (1 … 20000)
    #[arg(long, value_parser = number::<u32>("1…20000"), value_name = "N", default_value_t = 256, help_heading = "Load")]
    connections: u32,
    /// How long a client waits for its answer
    #[arg(long, value_name = "TIME", default_value = "5s", help_heading = "Load")]
    timeout: String,
    /// Plan the same arrivals and choices again
    #[arg(long, value_parser = number::<u64>("0…18446744073709551615"), value_name = "N", help_heading = "Load")]
    seed: Option<u64>,

    /// A SKU to order; may be repeated, each order draws one [default: iphone]
    #[arg(long, value_name = "SKU", help_heading = "Orders")]
    sku: Vec<String>,
    /// Order from N SKUs named sku-1 … sku-N
    #[arg(long, value_parser = number::<usize>("1…1000"),
        value_name = "N",
        conflicts_with = "sku",
        help_heading = "Orders"
    )]
    skus: Option<usize>,
    /// Units in each order (1 … 1000000)
    #[arg(long, value_parser = number::<u32>("1…1000000 units"), value_name = "N", default_value_t = 1, help_heading = "Orders")]
    quantity: u32,
    /// Buyers, who order in turn (1 … 1000000)
    #[arg(long, value_parser = number::<u32>("1…1000000"),
        value_name = "N",
        default_value_t = 10_000,
        help_heading = "Orders"
    )]
    buyers: u32,

    /// Popularity of SKUs: draw them in proportion to 1 / rank^S (0 … 10); 0 draws all alike
    #[arg(long, value_parser = number::<f64>("0…10"), allow_negative_numbers = true, value_name = "S", default_value_t = 0.0, help_heading = "Orders")]
    zipf: f64,
    /// Percent of orders that repeat the order before, with its key, right behind it: they must get the
    /// same order
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    retries: f64,
    /// Percent of orders by the buyer of the order before, with another key: they must stay under the limit
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    duplicates: f64,
    /// Percent of accepted orders that are cancelled within a second, in addition to --rate
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    cancels: f64,
    /// Percent of accepted orders that are left to expire; the audit waits for them (--expiry-patience)
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    abandons: f64,

    /// Percent of reserved orders that are paid: the generator plays the payment provider as well
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    pay: f64,
    /// Percent of reserved orders whose payment starts in time and succeeds after the hold has ended
    /// (--hold-seconds); the audit waits for them (--expiry-patience)
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    pay_late: f64,
    /// Percent of paid orders that an operator refunds at the end
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    refund: f64,
    /// Percent of orders that wait for units when nothing is left
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    standby: f64,
    /// Percent of orders of several SKUs
    #[arg(long, value_parser = percent, allow_negative_numbers = true, value_name = "P", default_value_t = 0.0, help_heading = "Orders")]
    baskets: f64,
    /// SKUs in each basket (2 … 20)
    #[arg(long, value_parser = number::<u32>("2…20 SKUs"), value_name = "N", default_value_t = 3, help_heading = "Orders")]
    basket_lines: u32,

    /// The key that the server checks buyers' tokens with
    #[arg(
        long,
        env = "SLUICE_JWT_SECRET",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = "Secrets"
    )]
    jwt_secret: Option<String>,
    /// The operators' token: allows --stock, and an audit that sees the operators' counters
    #[arg(
        long,
        env = "SLUICE_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Secrets"
    )]
    admin_token: Option<String>,
    /// What payment webhooks are signed with: whsec_ and base64
    #[arg(
        long,
        env = "SLUICE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        help_heading = "Secrets"
    )]
    webhook_secret: Option<String>,
    /// Read them from the server's <data-dir>/secrets.toml
    #[arg(long, value_name = "FILE", help_heading = "Secrets")]
    secrets: Option<PathBuf>,

    /// The server's operators' listener
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9090",
        help_heading = "Setting up"
    )]
    ops: String,
    /// Create each SKU (or replace its settings) and add this many units to it before the run
    #[arg(long, value_parser = number::<u64>("1…1000000000 units"), value_name = "UNITS", help_heading = "Setting up")]
    stock: Option<u64>,
    /// Units of one SKU that one buyer may have; 0 is no limit. Set up with --stock, and checked by the audit
    #[arg(long, value_parser = number::<u32>("0…4294967295 units"), value_name = "UNITS", help_heading = "Setting up")]
    per_buyer_limit: Option<u32>,
    /// Price of a unit, in minor units
    #[arg(long, value_parser = number::<u64>("0…9007199254740991 minor units"),
        value_name = "N",
        default_value_t = 599_900,
        requires = "stock",
        help_heading = "Setting up"
    )]
    price: u64,
    /// Currency of the price
    #[arg(
        long,
        value_name = "CODE",
        default_value = "CNY",
        requires = "stock",
        help_heading = "Setting up"
    )]
    currency: String,
    /// How long an unpaid order is held
    #[arg(long, value_parser = number::<u32>("1…4294967295"),
        value_name = "N",
        default_value_t = 600,
        requires = "stock",
        help_heading = "Setting up"
    )]
    hold_seconds: u32,

    /// Do not check afterwards what was acknowledged
    #[arg(long, help_heading = "Audit")]
    no_audit: bool,
    /// How long to go on trying to reach a server that went away, before what is unknown stays unknown
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Audit")]
    settle_patience: String,
    /// How often one request is sent at most until its outcome is known
    #[arg(long, value_parser = number::<u32>("1…1000"), value_name = "N", default_value_t = 12, help_heading = "Audit")]
    attempts: u32,

    /// How long to wait for abandoned orders to expire; if their holds last longer, they are read as they are
    #[arg(long, value_name = "TIME", default_value = "30s", help_heading = "Audit")]
    expiry_patience: String,

    /// Fail (exit 1) if this comes true; may be repeated. p50 p90 p99 p99.9 max, also raw. and accepted.
    /// replayed. refused. cancelled. before them, and lag (p99.9) in us, ms, s; rate and goodput in /s;
    /// accepted refused failed errors in %; oversold and lost as numbers. With > >= < <=, as in 'p99>50ms'
    #[arg(long, value_name = "CONDITION", help_heading = "Verdict")]
    fail_if: Vec<String>,
    /// The result is not valid (exit 3) if p99.9 of the lateness that is the generator's own fault reaches this
    #[arg(long, value_name = "TIME", default_value = "1ms", help_heading = "Verdict")]
    lag_max: String,

    /// Write the whole report as JSON; `-`: to standard output, instead of the text
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as one HTML page with its plots in it
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) html: Option<PathBuf>,
    /// Write the distribution of latencies for HdrHistogram's plotters, in ms
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hgrm: Option<PathBuf>,
    /// The same of raw latencies
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    pub(crate) hgrm_raw: Option<PathBuf>,
    /// How often stock is looked at during the run, for --json and --html (100ms … 1h)
    #[arg(long, value_name = "TIME", default_value = "1s", help_heading = "Results")]
    stock_every: String,
    /// Show no progress
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsFlag {
    Even,
    Poisson,
}

impl RunFlags {
    /// The plan these flags ask for.
    pub(crate) fn plan(&self) -> Result<Plan> {
        let secrets = self.secrets.as_deref().map(Secrets::read).transpose()?.unwrap_or_default();
        let target = Endpoint::parse("target", &self.target)?;
        let webhook_secret = given(&self.webhook_secret).or_else(|| secrets.webhook.clone());
        let mut plan = Plan::new(target, Work::Orders(self.orders(secrets)?));
        plan.webhook_secret = webhook_secret;
        plan.allow_remote = self.allow_remote;
        plan.profile = self.profile()?;
        plan.warm_up = time("warm-up", &self.warm_up)?;
        plan.duration = time("duration", &self.duration)?;
        plan.spike = self.spike.as_deref().map(spike).transpose()?;
        plan.requests_max = self.requests;
        plan.connections = self.connections;
        plan.patience.answer = time("timeout", &self.timeout)?;
        plan.patience.reach = time("settle-patience", &self.settle_patience)?;
        plan.patience.expiry = time("expiry-patience", &self.expiry_patience)?;
        plan.patience.attempts_max = self.attempts;
        plan.traffic = Traffic {
            zipf: self.zipf,
            retries_percent: self.retries,
            duplicates_percent: self.duplicates,
            standby_percent: self.standby,
            baskets_percent: self.baskets,
            basket_lines: self.basket_lines,
            cancels_percent: self.cancels,
            abandons_percent: self.abandons,
            pays_percent: self.pay,
            pays_late_percent: self.pay_late,
            refunds_percent: self.refund,
        };
        plan.lag_max = time("lag-max", &self.lag_max)?;
        if self.json.is_some() || self.html.is_some() {
            plan.stock_every = Some(time("stock-every", &self.stock_every)?);
        }
        plan.thresholds = self.thresholds()?;
        plan.seed = self.seed.unwrap_or(plan.seed);
        plan.check()?;
        Ok(plan)
    }

    fn thresholds(&self) -> Result<Vec<Threshold>> {
        let read =
            |text: &String| text.parse().map_err(|why: String| setting("fail-if", text, why));
        self.fail_if.iter().map(read).collect()
    }

    fn profile(&self) -> Result<Profile> {
        if self.rate == "max" {
            return Ok(Profile::ClosedLoop);
        }
        let arrivals = match self.arrivals {
            ArrivalsFlag::Even => Arrivals::Even,
            ArrivalsFlag::Poisson => Arrivals::Poisson,
        };
        match self.rate.parse() {
            Ok(rate_per_s) => Ok(Profile::OpenLoop { rate_per_s, arrivals }),
            Err(_) => {
                Err(setting("rate", &self.rate, "must be 0.001…1000000 requests a second, or max"))
            }
        }
    }

    fn orders(&self, secrets: Secrets) -> Result<Orders> {
        let jwt_secret = given(&self.jwt_secret).or(secrets.jwt).ok_or_else(|| {
            let range = "must be given (--jwt-secret, SLUICE_JWT_SECRET or --secrets FILE): buyers need tokens";
            setting("jwt-secret", "nothing", range)
        })?;
        let ops = match given(&self.admin_token).or(secrets.admin) {
            Some(admin_token) => Some(Ops { url: Endpoint::parse("ops", &self.ops)?, admin_token }),
            None => None,
        };
        let skus = match self.skus {
            Some(count) if count > 1_000 => return Err(setting("skus", &count, "must be 1…1000")),
            Some(count) => (1..=count).map(|number| format!("sku-{number}")).collect(),
            None if self.sku.is_empty() => vec!["iphone".to_owned()],
            None => self.sku.clone(),
        };
        let setup = self.stock.map(|stock| Setup {
            stock,
            unit_price: self.price,
            currency: self.currency.clone(),
            hold_seconds: self.hold_seconds,
        });
        Ok(Orders {
            skus,
            quantity: self.quantity,
            buyers: self.buyers,
            jwt_secret,
            per_buyer_limit: self.per_buyer_limit,
            ops,
            setup,
            audit: !self.no_audit,
        })
    }
}

/// A secret from a flag or the environment; an empty one is none.
fn given(value: &Option<String>) -> Option<Secret> {
    value.as_deref().filter(|value| !value.is_empty()).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::{Command, Flags};
    use clap::{CommandFactory as _, Parser as _};
    use sluice_loadgen::{Error, Plan, Profile, Result, Traffic, Work};
    use std::time::Duration;

    fn plan(flags: &[&str]) -> Result<Plan> {
        let secret = "--jwt-secret=0123456789abcdef0123456789abcdef";
        let words = ["sluice-loadgen", "run", secret].into_iter().chain(flags.iter().copied());
        let Command::Run(run) = Flags::try_parse_from(words).unwrap().command;
        run.plan()
    }

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn flags_become_a_plan() {
        let plan =
            plan(&["--rate", "max", "--skus", "3", "--quantity", "2", "--seed", "7", "--no-audit"])
                .unwrap();
        let Work::Orders(orders) = &plan.work else { panic!("the command line orders") };
        assert_eq!((plan.profile, plan.seed), (Profile::ClosedLoop, 7));
        assert_eq!(orders.skus, ["sku-1", "sku-2", "sku-3"]);
        assert!(orders.quantity == 2 && !orders.audit);
    }

    #[test]
    fn kinds_of_traffic_become_a_plan() {
        let plan = plan(&[
            "--warm-up=2s",
            "--spike=quiet=3s,factor=20,decay=1s",
            "--zipf=1.2",
            "--retries=5%",
            "--duplicates=2.5",
            "--cancels=10",
            "--abandons=20",
            "--pay=30",
            "--pay-late=5",
            "--refund=2",
            "--standby=8%",
            "--baskets=12",
            "--basket-lines=2",
            "--skus=4",
            "--webhook-secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "--admin-token=0123456789abcdef0123456789abcdef",
            "--fail-if=p99>50ms",
            "--fail-if=lost>0",
            "--lag-max=500us",
            "--html=report.html",
        ])
        .unwrap();
        assert_eq!(plan.warm_up, Duration::from_secs(2));
        assert_eq!(plan.spike.unwrap().factor, 20.0);
        let expected = Traffic {
            zipf: 1.2,
            retries_percent: 5.0,
            duplicates_percent: 2.5,
            cancels_percent: 10.0,
            abandons_percent: 20.0,
            pays_percent: 30.0,
            pays_late_percent: 5.0,
            refunds_percent: 2.0,
            standby_percent: 8.0,
            baskets_percent: 12.0,
            basket_lines: 2,
        };
        assert_eq!(plan.traffic, expected);
        assert_eq!(plan.thresholds.len(), 2);
        assert_eq!(plan.lag_max, Duration::from_micros(500));
        assert_eq!(plan.stock_every, Some(Duration::from_secs(1)));
    }

    #[test]
    fn wrong_values_are_named() {
        for (flags, name) in [
            (["--rate", "fast"], "rate"),
            (["--rate", "0"], "rate"),
            (["--duration", "10"], "duration"),
            (["--timeout", "0s"], "timeout"),
            (["--connections", "0"], "connections"),
            (["--buyers", "0"], "buyers"),
            (["--skus", "0"], "skus"),
            (["--skus", "1001"], "skus"),
            (["--sku", "a/b"], "sku"),
            (["--target", "https://a"], "target"),
            (["--secrets", "/nonexistent/secrets.toml"], "secrets"),
            (["--stock", "0"], "stock"),
            (["--warm-up", "1"], "warm-up"),
            (["--spike", "20"], "spike"),
            (["--zipf", "11"], "zipf"),
            (["--retries", "101"], "retries"),
            (["--duplicates", "-1"], "duplicates"),
            (["--cancels", "100.1%"], "cancels"),
            (["--pay", "101"], "pay"),
            (["--pay-late", "5"], "webhook-secret"),
            (["--standby", "-1"], "standby"),
            (["--basket-lines", "21"], "basket-lines"),
            (["--baskets", "1"], "basket-lines"),
            (["--webhook-secret", "hunter2"], "webhook-secret"),
            (["--fail-if", "p99"], "fail-if"),
            (["--lag-max", "1"], "lag-max"),
            (["--expiry-patience", "soon"], "expiry-patience"),
        ] {
            match plan(
                &[&flags[..], &["--admin-token", "0123456789abcdef0123456789abcdef"]].concat(),
            ) {
                Err(Error::Setting { key, .. }) => assert_eq!(key, name),
                other => panic!("{flags:?}: {other:?}"),
            }
        }
    }
}
