//! Retries, duplicate buyers, cancels and abandoned orders, against honest shops and cheats.

use std::time::Duration;

use sluice_loadgen::{Arrivals, Kind, Plan, Profile, Report, Traffic};

use crate::audit::{found, go, orders, plan};
use crate::shop::{Fault, Shop};

/// As many requests, of this traffic; without a limit per buyer.
pub(crate) fn plan_of(shop: &Shop, requests: u64, traffic: Traffic) -> Plan {
    let mut plan = plan(shop, requests);
    plan.traffic = traffic;
    plan.seed = 7;
    orders(&mut plan).per_buyer_limit = Some(0);
    plan
}

fn cancels(percent: f64) -> Traffic {
    Traffic { cancels_percent: percent, ..Traffic::default() }
}

fn abandons() -> Traffic {
    Traffic { abandons_percent: 100.0, ..Traffic::default() }
}

fn retries() -> Traffic {
    Traffic { retries_percent: 40.0, ..Traffic::default() }
}

#[test]
fn an_honest_shop_passes_with_all_kinds_of_buyers() {
    let shop = Shop::open(Fault::None);
    let traffic = Traffic {
        zipf: 1.0,
        retries_percent: 20.0,
        duplicates_percent: 20.0,
        cancels_percent: 30.0,
        abandons_percent: 30.0,
        ..Traffic::default()
    };
    let mut plan = plan_of(&shop, 300, traffic);
    orders(&mut plan).per_buyer_limit = Some(1);
    orders(&mut plan).skus = (0..3).map(|number| format!("sku-{number}")).collect();
    let report = go(&plan);
    assert_eq!(found(&report), [], "{report}");
    let (answers, audit) = (&report.answers, report.audit.as_ref().unwrap());
    assert!(answers.replayed > 0 && answers.refusals["buyer_limit"] > 0, "{report}");
    assert_eq!(answers.replayed, answers.latency_replayed.unwrap().count);
    assert!(audit.cancels > 0 && audit.abandoned > 0, "{report}");
    assert_eq!((audit.cancelled_found, audit.cancels_unknown), (audit.cancels, 0), "{report}");
    assert_eq!(report.sending.cancels_sent, audit.cancels);
    // A key that is repeated makes one order.
    assert_eq!(audit.orders, shop.orders() as u64);
    assert_eq!(audit.repeats_same, audit.orders);
    // Holds last for ten minutes: they are not waited for, and the report says so.
    assert_eq!(audit.abandoned_expired, 0);
    assert!(audit.notes.iter().any(|note| note.contains("--expiry-patience")), "{report}");
    let first = report.stock[0].units_acknowledged;
    assert!(report.stock.iter().all(|sku| sku.units_acknowledged <= first), "{report}");
}

#[test]
fn abandoned_orders_are_waited_for_and_their_units_come_back() {
    let shop = Shop::open(Fault::HoldsBriefly);
    let report = go(&plan_of(&shop, 100, abandons()));
    assert_eq!(found(&report), [], "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert!(audit.orders >= 40 && audit.abandoned == audit.orders, "{report}");
    assert_eq!(audit.abandoned_expired, audit.abandoned, "{report}");
    assert_eq!((report.stock[0].units_taken, report.stock[0].available_at_end), (0, Some(40)));
}

#[test]
fn units_that_came_back_are_sold_again() {
    let shop = Shop::open(Fault::None);
    let mut plan = plan_of(&shop, 1_000_000, cancels(100.0));
    plan.duration = Duration::from_secs(1);
    plan.profile = Profile::OpenLoop { rate_per_s: 300.0, arrivals: Arrivals::Even };
    let report = go(&plan);
    assert_eq!(found(&report), [], "{report}");
    assert!(report.stock[0].units_acknowledged > 40, "{report}");
    assert!(report.stock[0].units_at_once_max <= 40, "{report}");
}

/// Runs sixty orders against each cheat, who must be found out.
fn cheats(wrong: &[(Fault, Traffic, Kind)]) {
    for &(fault, traffic, expected) in wrong {
        let shop = Shop::open(fault);
        let report = go(&plan_of(&shop, 60, traffic));
        assert!(found(&report).contains(&expected), "{fault:?}: {report}");
        assert!(report.audit_failed(), "{fault:?}");
    }
}

#[test]
fn each_way_of_cheating_with_cancels_is_found() {
    cheats(&[
        (Fault::KeepsCancelled, cancels(50.0), Kind::CancelUndone),
        (Fault::KeepsUnits, cancels(50.0), Kind::UnitsNotReturned),
        (Fault::RefusesCancels, cancels(50.0), Kind::CancelRefused),
        (Fault::CancelsByItself, Traffic::default(), Kind::CancelledUnasked),
    ]);
}

#[test]
fn each_way_of_cheating_with_deadlines_and_retries_is_found() {
    cheats(&[
        (Fault::ExpiresEarly, abandons(), Kind::ExpiredEarly),
        (Fault::NeverExpires, abandons(), Kind::HeldTooLong),
        (Fault::ForgetsKeys, retries(), Kind::SecondOrder),
        (Fault::RefusesRepeats, retries(), Kind::KeyForgotten),
    ]);
}

#[test]
fn retries_are_judged_while_the_rush_is_on() {
    // Without the audit's own repeats the second order of a key would still be found.
    let shop = Shop::open(Fault::ForgetsKeys);
    let report = go(&plan_of(&shop, 30, retries()));
    let seconds = &report.audit.as_ref().unwrap().findings[&Kind::SecondOrder];
    let keys = report.audit.as_ref().unwrap().orders;
    assert!(seconds.count > keys, "{report}");
}

#[test]
fn units_given_back_twice_are_sold_beyond_what_there_was() {
    let shop = Shop::open(Fault::ReturnsTwice);
    let mut plan = plan_of(&shop, 1_000_000, cancels(50.0));
    plan.duration = Duration::from_secs(1);
    plan.profile = Profile::OpenLoop { rate_per_s: 400.0, arrivals: Arrivals::Even };
    let report = go(&plan);
    assert!(found(&report).contains(&Kind::Oversold), "{report}");
}

fn warmed(shop: &Shop) -> Report {
    let mut plan = plan_of(shop, 100, Traffic::default());
    plan.warm_up = crate::audit::HOUR;
    go(&plan)
}

#[test]
fn a_warm_up_is_audited_and_not_measured() {
    let shop = Shop::open(Fault::None);
    let report = warmed(&shop);
    // The plan ends by count within the warm-up.
    let unmeasured = report.unmeasured.unwrap();
    assert_eq!((unmeasured.sent, unmeasured.accepted, unmeasured.refused), (100, 40, 60));
    assert_eq!((report.sending.sent, report.answers.count), (0, 0));
    assert!(report.answers.latency_all.is_none() && report.distribution.is_none());
    assert_eq!(report.audit.as_ref().unwrap().orders_found, 40, "{report}");
    assert_eq!(found(&report), [], "{report}");

    let shop = Shop::open(Fault::LosesOrders);
    assert!(found(&warmed(&shop)).contains(&Kind::LostOrder));
}
