//! `sluice demo`: a sale in a temporary folder, a rush of buyers at it, and what came of it.

use std::net::SocketAddr;
use std::time::Duration;

use sluice_loadgen::{
    Arrivals, Endpoint, Kind, Ops, Orders, Plan, Profile, Report, Secret, Setup, Silent, Stop, Work,
};
use tokio::sync::oneshot;

use crate::clock;
use crate::exit::Failure;
use crate::secrets::{Given, Secrets};
use crate::serve::{Addresses, Server};
use crate::settings::Settings;
use crate::shutdown::Signals;
use crate::token::Signer;
use crate::wire::accept::Bound;

const SKU: &str = "demo-phone";
const UNITS: u64 = 2_000;
const BUYERS: u32 = 20_000;
const ORDERS_PER_SECOND: f64 = 4_000.0;
const RUSH: Duration = Duration::from_secs(3);

/// The generator has no core of its own here: what it may be late by before it says so.
const LAG_MAX: Duration = Duration::from_millis(20);

/// The audit, or the rush itself, failed.
const FAILED: u8 = 1;

/// How long the printed token is valid, in seconds.
const TOKEN_SECONDS: u64 = 86_400;

/// Opens the sale, drives the rush, prints what came of it; then stops, or serves until Ctrl-C.
pub(crate) fn show(mut settings: Settings, exit: bool) -> Result<(), Failure> {
    settings.listen = free(settings.listen);
    settings.ops_listen = free(settings.ops_listen);
    let secrets = Given::read(|name| std::env::var(name).ok())?.complete(&settings.data_dir)?;
    let mut server = Server::start(&settings)?;
    let addresses = server.addresses();
    println!("a sale of {UNITS} units, {BUYERS} buyers, {ORDERS_PER_SECOND} orders a second");
    let plan = plan(addresses, &secrets).map_err(|error| Failure::new(FAILED, error))?;
    let report = server.serve_during(async |signals| rush(plan, signals).await)?;
    print!("{report}");
    let (oversold, lost) = (found(&report, OVERSOLD), found(&report, &[Kind::LostOrder]));
    println!("oversold {oversold}\nlost {lost}");
    let clean = report.audit.as_ref().is_some_and(|audit| audit.passed);
    if !exit {
        explain(addresses, &settings, &secrets);
        server.serve_during(Signals::next);
    }
    server.stop();
    match clean {
        true => Ok(()),
        false => Err(Failure::new(FAILED, "the audit is not clean")),
    }
}

const OVERSOLD: &[Kind] = &[Kind::Oversold, Kind::ServerReportsOversold];

fn found(report: &Report, kinds: &[Kind]) -> u64 {
    let audit = report.audit.as_ref();
    let findings = audit.into_iter().flat_map(|audit| &audit.findings);
    findings.filter(|(kind, _)| kinds.contains(kind)).map(|(_, finding)| finding.count).sum()
}

/// The address, or another port of it if that one is taken.
fn free(address: SocketAddr) -> SocketAddr {
    match Bound::to(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

fn plan(addresses: Addresses, secrets: &Secrets) -> Result<Plan, sluice_loadgen::Error> {
    let url = |key, address: SocketAddr| Endpoint::parse(key, &format!("http://{address}"));
    let orders = Orders {
        skus: vec![SKU.to_owned()],
        quantity: 1,
        buyers: BUYERS,
        jwt_secret: Secret::new(secrets.jwt_secret.as_str()),
        per_buyer_limit: Some(1),
        ops: Some(Ops {
            url: url("ops", addresses.operators)?,
            admin_token: Secret::new(secrets.admin_token.as_str()),
        }),
        setup: Some(Setup {
            stock: UNITS,
            unit_price: 599_900,
            currency: "CNY".to_owned(),
            hold_seconds: 600,
        }),
        audit: true,
    };
    let mut plan = Plan::new(url("target", addresses.buyers)?, Work::Orders(orders));
    plan.profile = Profile::OpenLoop { rate_per_s: ORDERS_PER_SECOND, arrivals: Arrivals::Poisson };
    plan.duration = RUSH;
    plan.lag_max = LAG_MAX;
    plan.connections = 64;
    Ok(plan)
}

/// Drives the rush on a thread of its own; Ctrl-C ends it early.
async fn rush(plan: Plan, signals: &mut Signals) -> Result<Report, Failure> {
    let stop = Stop::new();
    let (sender, receiver) = oneshot::channel();
    let asked = stop.clone();
    std::thread::spawn(move || {
        // Whoever waits for it may have gone.
        let _ = sender.send(sluice_loadgen::run(&plan, &asked, &mut Silent));
    });
    tokio::pin!(receiver);
    let outcome = tokio::select! {
        outcome = &mut receiver => outcome,
        _ = signals.next() => {
            stop.ask();
            receiver.await
        }
    };
    match outcome {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(Failure::new(FAILED, error)),
        Err(_) => Err(Failure::new(FAILED, "the rush did not end")),
    }
}

/// Says how to go on by hand.
fn explain(addresses: Addresses, settings: &Settings, secrets: &Secrets) {
    let Addresses { buyers, operators } = addresses;
    let expires = clock::wall_seconds() + TOKEN_SECONDS;
    let token = Signer::new(secrets.jwt_secret.as_bytes()).sign("alice", expires);
    let kept = settings.data_dir.join("secrets.toml");
    let admin = match std::env::var_os("SLUICE_ADMIN_TOKEN") {
        Some(_) => "$SLUICE_ADMIN_TOKEN".to_owned(),
        None => format!("$(sed -n 's/^admin_token = \"\\(.*\\)\"/\\1/p' {})", kept.display()),
    };
    println!(
        "\n\
         buyers     http://{buyers}\n\
         operators  http://{operators}\n\n\
         TOKEN={token}\n\
         ADMIN={admin}\n\
         curl http://{buyers}/v1/skus/{SKU}\n\
         curl -H \"Authorization: Bearer $ADMIN\" -H 'Content-Type: application/json' \\\n     \
         -d '{{\"lot\":\"more\",\"quantity\":10}}' http://{operators}/admin/v1/skus/{SKU}/lots\n\
         curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\\n     \
         -H 'Idempotency-Key: first' -d '{{\"sku\":\"{SKU}\",\"quantity\":1}}' \
         http://{buyers}/v1/orders\n\
         curl -H \"Authorization: Bearer $TOKEN\" http://{buyers}/v1/orders\n\
         curl -H \"Authorization: Bearer $TOKEN\" -X POST \
         http://{buyers}/v1/orders/ORDER_ID/payments    # the answer's pay_url is a page\n\
         curl -H \"Authorization: Bearer $ADMIN\" http://{operators}/admin/v1/audit\n\n\
         Ctrl-C stops it."
    );
}
