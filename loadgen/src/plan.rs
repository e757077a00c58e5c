//! What a run is asked to do, checked before anything is sent.

use std::time::Duration;

use crate::clock::nanos;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::intensity::{Intensity, Spike};
use crate::limits::{self, Limits};
use crate::range::{within, within_time};
use crate::schedule::Arrivals;
use crate::secret::Secret;
use crate::threshold::Threshold;
use crate::traffic::Traffic;
use crate::webhook;
use crate::work::Work;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is called.
    pub target: Endpoint,
    /// Whether `target` and `ops` may be other machines.
    pub allow_remote: bool,
    /// When requests are sent.
    pub profile: Profile,
    /// Traffic at the plain rate before the measured span: audited, but in no latency and no rate.
    pub warm_up: Duration,
    /// For how long requests are planned and measured.
    pub duration: Duration,
    /// A crowd that comes at one moment of the measured span; open loops only.
    pub spike: Option<Spike>,
    /// How many requests are planned at most, those of the warm-up included.
    pub requests_max: Option<u64>,
    /// Connections kept open; one request at a time on each.
    pub connections: u32,
    /// How long clients wait.
    pub patience: Patience,
    /// What is sent.
    pub work: Work,
    /// Who sends it: shares of buyers who do more than order once.
    pub traffic: Traffic,
    /// What webhooks of payments are signed with: `whsec_` and base64.
    pub webhook_secret: Option<Secret>,
    /// The lateness of sending (p99.9, by the generator's own fault) from which the result is not valid.
    pub lag_max: Duration,
    /// How often stock is looked at while orders are sent, over a connection of its own; `None` is never.
    pub stock_every: Option<Duration>,
    /// What the run is to be failed for.
    pub thresholds: Vec<Threshold>,
    /// Decides arrivals and the choice of SKU; the same seed plans the same run.
    pub seed: u64,
    /// Letters and digits that set this run's buyers, keys and lots apart from every other run's.
    pub run_id: String,
    /// What is kept in memory at most.
    pub limits: Limits,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Profile {
    /// When they are due, whatever the answers to earlier ones do.
    OpenLoop {
        /// Arrivals a second.
        rate_per_s: f64,
        /// How their gaps are drawn.
        arrivals: Arrivals,
    },
    /// As soon as a connection has its answer. Shows the ceiling of throughput, and no queueing.
    ClosedLoop,
}

/// How long clients wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For an answer, counted from sending.
    pub answer: Duration,
    /// For a server that cannot be reached, while outcomes are settled and orders audited.
    pub reach: Duration,
    /// For the deadlines of abandoned orders, before the audit reads them; later ones are not waited for.
    pub expiry: Duration,
    /// How often one request is sent at most until its outcome is known.
    pub attempts_max: u32,
}

impl Plan {
    /// A plan with everything but its target and its work at the default.
    pub fn new(target: Endpoint, work: Work) -> Plan {
        let random = crate::run_id::random();
        Plan {
            target,
            allow_remote: false,
            profile: Profile::OpenLoop { rate_per_s: 1_000.0, arrivals: Arrivals::Poisson },
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(10),
            spike: None,
            requests_max: None,
            connections: 256,
            patience: Patience {
                answer: Duration::from_secs(5),
                reach: Duration::from_secs(30),
                expiry: Duration::from_secs(30),
                attempts_max: 12,
            },
            work,
            traffic: Traffic::default(),
            webhook_secret: None,
            lag_max: Duration::from_millis(1),
            stock_every: None,
            thresholds: Vec::new(),
            seed: random,
            run_id: crate::run_id::name(random),
            limits: Limits::DEFAULT,
        }
    }

    /// Names the first setting that is not allowed.
    pub fn check(&self) -> Result<()> {
        within_time("warm-up", self.warm_up, &limits::WARM_UP)?;
        within_time("duration", self.duration, &limits::DURATION)?;
        self.check_rate()?;
        within_time("lag-max", self.lag_max, &limits::LAG_MAX)?;
        if let Some(every) = self.stock_every {
            within_time("stock-every", every, &limits::STOCK_EVERY)?;
        }
        within_time("expiry-patience", self.patience.expiry, &limits::PATIENCE)?;
        self.traffic.check()?;
        self.check_audited()?;
        self.check_payments()?;
        within_time("timeout", self.patience.answer, &limits::PATIENCE)?;
        within_time("settle-patience", self.patience.reach, &limits::PATIENCE)?;
        within("attempts", &self.patience.attempts_max, &limits::ATTEMPTS, "")?;
        within("connections", &self.connections, &limits::CONNECTIONS, "")?;
        if let Some(requests) = self.requests_max {
            within("requests", &requests, &(1..=limits::ARRIVALS_MAX), "")?;
        }
        if self.run_id.is_empty()
            || self.run_id.len() > 32
            || !self.run_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(Error::setting(
                "run-id",
                &self.run_id,
                "must be 1 to 32 letters and digits",
            ));
        }
        match &self.work {
            Work::Orders(orders) => orders.check(),
            Work::Fixed(fixed) => fixed.check(),
        }
    }
}

impl Plan {
    fn check_rate(&self) -> Result<()> {
        let Profile::OpenLoop { rate_per_s, .. } = self.profile else {
            return match self.spike {
                None => Ok(()),
                Some(_) => {
                    Err(Error::setting("spike", "given", "needs a rate to multiply, not max"))
                }
            };
        };
        within("rate", &rate_per_s, &limits::RATE_PER_S, "requests a second (or max)")?;
        if let Some(spike) = self.spike {
            within("spike factor", &spike.factor, &limits::SPIKE_FACTOR, "times the rate")?;
            within_time("spike quiet", spike.quiet, &limits::SPIKE_QUIET)?;
            within_time("spike decay", spike.decay, &limits::SPIKE_DECAY)?;
            if !limits::RATE_PER_S.contains(&(rate_per_s * spike.factor)) {
                let range = format!(
                    "rate × factor must be at most {} requests a second",
                    limits::RATE_PER_S.end()
                );
                return Err(Error::setting("spike factor", &spike.factor, range));
            }
            if spike.quiet >= self.duration {
                let range = "must be shorter than the duration, or the crowd never comes";
                return Err(Error::setting("spike quiet", &format!("{:?}", spike.quiet), range));
            }
        }
        let end_ns = nanos(self.warm_up.saturating_add(self.duration)) as f64;
        let planned = self.intensity(rate_per_s).expected(end_ns) as u64;
        if planned.min(self.requests_max.unwrap_or(u64::MAX)) > limits::ARRIVALS_MAX {
            let range =
                format!("rate × duration must be at most {} requests", limits::ARRIVALS_MAX);
            return Err(Error::setting("duration", &format!("{:?}", self.duration), range));
        }
        Ok(())
    }

    /// What only an audit, or only a plan of arrivals, can tell needs one.
    fn check_audited(&self) -> Result<()> {
        if self.thresholds.len() > limits::THRESHOLDS_MAX {
            let range = format!("may be given {} times", limits::THRESHOLDS_MAX);
            return Err(Error::setting("fail-if", &self.thresholds.len(), range));
        }
        for threshold in &self.thresholds {
            if threshold.needs_plan() && self.profile == Profile::ClosedLoop {
                return Err(Error::setting("fail-if", threshold, "needs a rate, not max"));
            }
        }
        let audits = matches!(&self.work, Work::Orders(orders) if orders.audit);
        if audits {
            return Ok(());
        }
        for (key, percent) in [
            ("cancels", self.traffic.cancels_percent),
            ("abandons", self.traffic.abandons_percent),
            ("pay", self.traffic.pays_percent),
            ("pay-late", self.traffic.pays_late_percent),
            ("standby", self.traffic.standby_percent),
            ("baskets", self.traffic.baskets_percent),
            ("refund", self.traffic.refunds_percent),
        ] {
            if percent > 0.0 {
                return Err(Error::setting(key, &percent, "needs the audit"));
            }
        }
        match self.thresholds.iter().find(|threshold| threshold.needs_audit()) {
            Some(threshold) => Err(Error::setting("fail-if", threshold, "needs the audit")),
            None => Ok(()),
        }
    }

    /// Who pays needs a provider's secret, who refunds an operator's token, and baskets need enough SKUs.
    fn check_payments(&self) -> Result<()> {
        if let Some(secret) = &self.webhook_secret
            && webhook::key(secret).is_none()
        {
            let range = "must be whsec_ and base64";
            return Err(Error::setting("webhook-secret", "(hidden)", range));
        }
        if self.traffic.pays() && self.webhook_secret.is_none() {
            let range = "must be given (--webhook-secret, SLUICE_WEBHOOK_SECRET or --secrets FILE): payments need it";
            return Err(Error::setting("webhook-secret", "nothing", range));
        }
        let Work::Orders(orders) = &self.work else { return Ok(()) };
        if self.traffic.refunds_percent > 0.0 && (orders.ops.is_none() || !self.traffic.pays()) {
            let range = "needs --pay, and --admin-token or --secrets";
            return Err(Error::setting("refund", &self.traffic.refunds_percent, range));
        }
        let lines = self.traffic.basket_lines;
        if self.traffic.baskets_percent > 0.0 && orders.skus.len() < lines as usize {
            let range = format!("must be at most the number of SKUs, {}", orders.skus.len());
            return Err(Error::setting("basket-lines", &lines, range));
        }
        Ok(())
    }

    /// The rate over time, from the beginning of the warm-up.
    pub(crate) fn intensity(&self, rate_per_s: f64) -> Intensity {
        Intensity::new(rate_per_s, self.spike, self.warm_up)
    }
}

#[cfg(test)]
mod tests {
    use super::{Plan, Profile};
    use crate::endpoint::Endpoint;
    use crate::error::Error;
    use crate::intensity::Spike;
    use crate::schedule::Arrivals;
    use crate::secret::Secret;
    use crate::work::{Fixed, Ops, Orders, Setup, Work};
    use std::time::Duration;

    type Spoil = fn(&mut Plan);

    const SPIKE: Spike =
        Spike { quiet: Duration::from_secs(1), factor: 20.0, decay: Duration::from_secs(5) };

    fn plan() -> Plan {
        let orders = Orders {
            skus: vec!["iphone".to_owned()],
            quantity: 1,
            buyers: 10,
            jwt_secret: Secret::new("0123456789abcdef0123456789abcdef"),
            per_buyer_limit: None,
            ops: Some(Ops {
                url: Endpoint::parse("ops", "http://127.0.0.1:9090").unwrap(),
                admin_token: Secret::new("0123456789abcdef0123456789abcdef"),
            }),
            setup: Some(Setup {
                stock: 10,
                unit_price: 1,
                currency: "CNY".to_owned(),
                hold_seconds: 600,
            }),
            audit: true,
        };
        Plan::new(Endpoint::parse("target", "http://127.0.0.1:8080").unwrap(), Work::Orders(orders))
    }

    fn orders(plan: &mut Plan) -> &mut Orders {
        match &mut plan.work {
            Work::Orders(orders) => orders,
            Work::Fixed(_) => panic!("the plan orders"),
        }
    }

    #[test]
    fn the_defaults_are_allowed_and_runs_are_told_apart() {
        plan().check().unwrap();
        assert_ne!(plan().run_id, plan().run_id);
    }

    /// Each spoilt plan is refused by the name of what is wrong.
    fn names(wrong: &[(&str, Spoil)]) {
        for (name, spoil) in wrong {
            let mut plan = plan();
            spoil(&mut plan);
            match plan.check() {
                Err(Error::Setting { key, .. }) => assert_eq!(key, *name),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn each_wrong_setting_of_the_load_is_named_with_its_range() {
        names(&[
            ("rate", |plan| {
                plan.profile = Profile::OpenLoop { rate_per_s: 0.0, arrivals: Arrivals::Even }
            }),
            ("rate", |plan| {
                plan.profile = Profile::OpenLoop { rate_per_s: f64::NAN, arrivals: Arrivals::Even }
            }),
            ("duration", |plan| plan.duration = Duration::ZERO),
            ("duration", |plan| {
                plan.profile = Profile::OpenLoop { rate_per_s: 1e6, arrivals: Arrivals::Even };
                plan.duration = Duration::from_secs(86_400);
            }),
            ("warm-up", |plan| plan.warm_up = Duration::from_secs(3_601)),
            ("spike", |plan| {
                plan.profile = Profile::ClosedLoop;
                plan.spike = Some(SPIKE);
            }),
            ("spike factor", |plan| plan.spike = Some(Spike { factor: 0.5, ..SPIKE })),
            ("spike factor", |plan| plan.spike = Some(Spike { factor: 1_001.0, ..SPIKE })),
            ("spike quiet", |plan| {
                plan.spike = Some(Spike { quiet: Duration::from_secs(10), ..SPIKE });
            }),
            ("spike decay", |plan| plan.spike = Some(Spike { decay: Duration::ZERO, ..SPIKE })),
            ("lag-max", |plan| plan.lag_max = Duration::ZERO),
            ("stock-every", |plan| plan.stock_every = Some(Duration::ZERO)),
            ("expiry-patience", |plan| plan.patience.expiry = Duration::ZERO),
            ("retries", |plan| plan.traffic.retries_percent = 101.0),
            ("cancels", |plan| {
                plan.traffic.cancels_percent = 1.0;
                orders(plan).audit = false;
            }),
            ("fail-if", |plan| {
                plan.thresholds.push("lost>0".parse().unwrap());
                orders(plan).audit = false;
            }),
            ("fail-if", |plan| {
                plan.thresholds.push("lag>1ms".parse().unwrap());
                plan.profile = Profile::ClosedLoop;
            }),
            ("webhook-secret", |plan| plan.traffic.pays_percent = 1.0),
            ("webhook-secret", |plan| plan.webhook_secret = Some(Secret::new("hunter2"))),
            ("refund", |plan| plan.traffic.refunds_percent = 1.0),
            ("basket-lines", |plan| plan.traffic.baskets_percent = 1.0),
            ("timeout", |plan| plan.patience.answer = Duration::ZERO),
            ("settle-patience", |plan| {
                plan.patience.reach = Duration::ZERO;
            }),
            ("attempts", |plan| plan.patience.attempts_max = 0),
            ("connections", |plan| plan.connections = 0),
            ("requests", |plan| plan.requests_max = Some(0)),
            ("run-id", |plan| plan.run_id = "a b".to_owned()),
        ]);
    }

    #[test]
    fn each_wrong_setting_of_the_orders_is_named_with_its_range() {
        names(&[
            ("skus", |plan| orders(plan).skus.clear()),
            ("sku", |plan| orders(plan).skus = vec!["a b".to_owned()]),
            ("sku", |plan| {
                orders(plan).skus = vec!["a".to_owned(), "a".to_owned()];
            }),
            ("quantity", |plan| orders(plan).quantity = 0),
            ("buyers", |plan| orders(plan).buyers = 0),
            ("jwt-secret", |plan| {
                orders(plan).jwt_secret = Secret::new("short");
            }),
            ("stock", |plan| orders(plan).ops = None),
            ("path", |plan| {
                plan.work = Work::Fixed(Fixed {
                    method: "GET".to_owned(),
                    path: "x y".to_owned(),
                    headers: Vec::new(),
                    body: Vec::new(),
                    expected: vec![200],
                });
            }),
        ]);
    }
}
