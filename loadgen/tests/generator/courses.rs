//! Payments, late payments, refunds, standby and baskets, against honest shops and cheats.

use std::time::Duration;

use sluice_loadgen::{Arrivals, Kind, Plan, Profile, Report, Secret, Stop, Traffic, run};

use crate::audit::{Closing, found, go, orders};
use crate::shop::{Fault, Shop, WEBHOOK_SECRET};
use crate::traffic::plan_of;

/// As many requests of this traffic, for four SKUs of 40 units each.
fn paying(shop: &Shop, requests: u64, traffic: Traffic) -> Plan {
    let mut plan = plan_of(shop, requests, traffic);
    plan.webhook_secret = Some(Secret::new(WEBHOOK_SECRET));
    orders(&mut plan).skus = (0..4).map(|number| format!("sku-{number}")).collect();
    plan
}

/// The same with holds of a second, so that payments can be late.
fn held_briefly(plan: &mut Plan) {
    orders(plan).setup.as_mut().unwrap().hold_seconds = 1;
}

fn pays(percent: f64) -> Traffic {
    Traffic { pays_percent: percent, ..Traffic::default() }
}

fn pays_late() -> Traffic {
    Traffic { pays_late_percent: 100.0, ..Traffic::default() }
}

fn refunds() -> Traffic {
    Traffic { refunds_percent: 50.0, ..pays(100.0) }
}

fn standby(cancels: f64) -> Traffic {
    Traffic { standby_percent: 100.0, cancels_percent: cancels, ..Traffic::default() }
}

fn baskets() -> Traffic {
    Traffic { baskets_percent: 100.0, ..Traffic::default() }
}

#[test]
fn an_honest_shop_passes_with_every_course() {
    let shop = Shop::open(Fault::None);
    let traffic = Traffic {
        retries_percent: 10.0,
        duplicates_percent: 10.0,
        standby_percent: 30.0,
        baskets_percent: 20.0,
        cancels_percent: 10.0,
        abandons_percent: 10.0,
        pays_percent: 40.0,
        pays_late_percent: 20.0,
        refunds_percent: 30.0,
        ..Traffic::default()
    };
    let mut plan = paying(&shop, 500, traffic);
    held_briefly(&mut plan);
    let report = go(&plan);
    assert_eq!(found(&report), [], "{report}");
    let audit = report.audit.as_ref().unwrap();
    let (payments, refunds) = (audit.payments, audit.refunds);
    assert!(payments.in_time > 0 && payments.in_time == payments.in_time_found, "{report}");
    assert!(payments.late > 0, "{report}");
    assert_eq!(payments.late, payments.late_confirmed + payments.late_refunded, "{report}");
    assert!(payments.webhooks > payments.started, "{report}");
    assert!(refunds.asked > 0, "{report}");
    assert_eq!((refunds.granted, refunds.refunded), (refunds.asked, refunds.asked), "{report}");
    assert!(audit.standby.waited > 0 && audit.standby.promoted > 0, "{report}");
    assert!(audit.baskets.placed > 0 && audit.baskets.refused > 0, "{report}");
    assert!(audit.refused_without_order > 0, "{report}");
    assert_eq!(audit.orders, shop.orders() as u64, "{report}");
    assert_eq!(report.answers.waiting, audit.standby.waited, "{report}");
    for words in ["paid late", "told to wait", "baskets", "refunds"] {
        assert!(report.to_string().contains(words), "{report}");
        assert!(report.html().contains(words), "{}", report.html());
    }
}

#[test]
fn paid_orders_never_expire_and_stay_sold() {
    let shop = Shop::open(Fault::None);
    let report = go(&paying(&shop, 200, pays(100.0)));
    assert_eq!(found(&report), [], "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert_eq!((audit.payments.started, audit.payments.in_time), (audit.orders, audit.orders));
    assert_eq!(audit.by_status["paid"], audit.orders, "{report}");
    let sold = |report: &Report| report.stock.iter().map(|sku| sku.counters.unwrap().sold).sum();
    let (sold, orders): (u64, u64) = (sold(&report), audit.orders);
    assert_eq!(sold, orders, "{report}");
}

#[test]
fn orders_whose_answers_were_lost_are_paid_once_they_are_found() {
    let shop = Shop::open(Fault::CutsAfterOrder);
    let report = go(&paying(&shop, 60, pays(100.0)));
    assert_eq!(found(&report), [], "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert_eq!((audit.orders, audit.payments.in_time_found), (60, 60), "{report}");
    assert_eq!(report.settled.unwrap().had_been_made, 20, "{report}");
}

#[test]
fn a_late_payment_that_nobody_can_serve_is_refunded() {
    let shop = Shop::open(Fault::None);
    // Those who wait take what late payers lose.
    let traffic = Traffic { standby_percent: 90.0, ..pays_late() };
    let mut plan = paying(&shop, 700, traffic);
    held_briefly(&mut plan);
    let report = go(&plan);
    assert_eq!(found(&report), [], "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert!(audit.payments.late_refunded > 0, "{report}");
    assert!(audit.by_status["refunded"] >= audit.payments.late_refunded, "{report}");
    assert!(!audit.by_status.contains_key("refunding"), "{report}");
}

#[test]
fn late_payments_beyond_the_patience_are_not_waited_for() {
    let shop = Shop::open(Fault::None);
    let report = go(&paying(&shop, 60, pays_late()));
    assert_eq!(found(&report), [], "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert_eq!((audit.payments.late, audit.payments.open), (0, audit.payments.started));
    assert!(audit.notes.iter().any(|note| note.contains("not taken")), "{report}");
}

#[test]
fn a_shop_that_goes_away_with_the_money_leaves_a_report() {
    let shop = Shop::open(Fault::None);
    let mut plan = paying(&shop, 1_000_000_000, Traffic { standby_percent: 5.0, ..refunds() });
    plan.patience.reach = Duration::from_millis(50);
    let stop = Stop::new();
    let mut closing = Closing { shop: Some(shop), stop: stop.clone() };
    let report = run(&plan, &stop, &mut closing).unwrap();
    assert!(report.audit_failed() && report.run.stopped_early, "{report}");
    assert!(found(&report).contains(&Kind::Unchecked), "{report}");
    let audit = report.audit.as_ref().unwrap();
    let (orders, found_again) = (audit.orders, audit.orders_found);
    assert!(orders > 0 && found_again == 0, "{report}");
}

/// Runs orders against each cheat, who must be found out.
fn cheats(wrong: &[(Fault, Traffic, u64, Kind)], is_held_briefly: bool) {
    for &(fault, traffic, requests, expected) in wrong {
        let shop = Shop::open(fault);
        let mut plan = paying(&shop, requests, traffic);
        if is_held_briefly {
            held_briefly(&mut plan);
        }
        let report = go(&plan);
        assert!(found(&report).contains(&expected), "{fault:?}: {report}");
        assert!(report.audit_failed(), "{fault:?}");
    }
}

#[test]
fn each_way_of_cheating_with_payments_is_found() {
    cheats(
        &[
            (Fault::RefusesPayments, pays(50.0), 60, Kind::PaymentRefused),
            (Fault::AsksAnotherAmount, pays(50.0), 60, Kind::WrongPayment),
            (Fault::RefusesWebhooks, pays(50.0), 60, Kind::WebhookRefused),
            (Fault::DropsPayments, pays(50.0), 60, Kind::PaymentLost),
            (Fault::PaysTwice, pays(100.0), 120, Kind::SoldMiscounted),
            (Fault::RefundsRepeats, pays(100.0), 120, Kind::PaymentLost),
            (Fault::PaysByItself, Traffic::default(), 60, Kind::PaidUnasked),
        ],
        false,
    );
}

#[test]
fn each_way_of_cheating_with_late_payments_is_found() {
    cheats(&[(Fault::DropsLatePayments, pays_late(), 60, Kind::LatePaymentLost)], true);
}

#[test]
fn each_way_of_cheating_with_refunds_is_found() {
    cheats(
        &[
            (Fault::RefusesRefunds, refunds(), 60, Kind::RefundRefused),
            (Fault::DropsRefunds, refunds(), 60, Kind::RefundUndone),
            (Fault::KeepsRefundedUnits, refunds(), 60, Kind::UnitsNotReturned),
        ],
        false,
    );
}

#[test]
fn each_way_of_cheating_with_standby_is_found() {
    cheats(
        &[
            (Fault::ServesLastFirst, standby(20.0), 400, Kind::StandbyOvertaken),
            (Fault::QueuesGrow, standby(0.0), 300, Kind::PositionGrew),
        ],
        false,
    );
}

#[test]
fn newcomers_who_are_served_before_those_who_wait_are_found() {
    let shop = Shop::open(Fault::ServesNewcomers);
    let traffic = Traffic { standby_percent: 30.0, cancels_percent: 60.0, ..Traffic::default() };
    let mut plan = paying(&shop, 1_000_000, traffic);
    plan.duration = Duration::from_secs(2);
    plan.profile = Profile::OpenLoop { rate_per_s: 400.0, arrivals: Arrivals::Even };
    let report = go(&plan);
    assert!(found(&report).contains(&Kind::StandbyOvertaken), "{report}");
}

#[test]
fn each_way_of_cheating_with_baskets_and_refusals_is_found() {
    cheats(
        &[
            (Fault::ShortensBaskets, baskets(), 30, Kind::WrongOrder),
            (Fault::AddsUpWrongly, baskets(), 30, Kind::WrongOrder),
            (Fault::TearsBaskets, baskets(), 200, Kind::HeldMiscounted),
            (Fault::KeepsRefused, Traffic::default(), 60, Kind::RefusedHadEffect),
            (Fault::KeepsRefused, Traffic::default(), 60, Kind::HeldMiscounted),
        ],
        false,
    );
}
