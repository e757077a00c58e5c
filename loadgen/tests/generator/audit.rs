//! The whole generator against a shop of the tests: an honest one is found honest, and every way of cheating is found.
//!
//! Plans end by count, so nothing here depends on how fast the machine is.

use std::time::Duration;

use sluice_loadgen::{
    Arrivals, Endpoint, Error, Fixed, Kind, Ops, Orders, Plan, Profile, Progress, Report, Secret,
    Setup, Silent, Stop, Tick, Timeliness, Work, run,
};

use crate::shop::{Fault, Shop};

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// `requests` orders of one unit as fast as they are answered, by 50 buyers who may have one each; 40 units.
pub(crate) fn plan(shop: &Shop, requests: u64) -> Plan {
    let orders = Orders {
        skus: vec!["iphone".to_owned()],
        quantity: 1,
        buyers: 50,
        jwt_secret: Secret::new(SECRET),
        per_buyer_limit: Some(1),
        ops: Some(Ops {
            url: Endpoint::parse("ops", &shop.url()).unwrap(),
            admin_token: Secret::new(SECRET),
        }),
        setup: Some(Setup {
            stock: 40,
            unit_price: 5,
            currency: "CNY".to_owned(),
            hold_seconds: 600,
        }),
        audit: true,
    };
    let mut plan = Plan::new(Endpoint::parse("target", &shop.url()).unwrap(), Work::Orders(orders));
    plan.profile = Profile::ClosedLoop;
    plan.duration = HOUR;
    plan.requests_max = Some(requests);
    plan.connections = 8;
    plan.patience.answer = HOUR;
    plan
}

pub(crate) fn orders(plan: &mut Plan) -> &mut Orders {
    match &mut plan.work {
        Work::Orders(orders) => orders,
        Work::Fixed(_) => panic!("the plan orders"),
    }
}

pub(crate) fn go(plan: &Plan) -> Report {
    let report = run(plan, &Stop::new(), &mut Silent).unwrap();
    // Every report can be read and stored.
    let stored = serde_json::to_string(&report).unwrap();
    let read: Report = serde_json::from_str(&stored).unwrap();
    assert_eq!(read.to_string(), report.to_string());
    report
}

pub(crate) fn found(report: &Report) -> Vec<Kind> {
    report.audit.as_ref().unwrap().findings.keys().copied().collect()
}

#[test]
fn an_honest_shop_passes() {
    let shop = Shop::open(Fault::None);
    let report = go(&plan(&shop, 100));
    assert_eq!(found(&report), [], "{report}");
    assert_eq!(
        (report.sending.planned, report.sending.sent, report.answers.count),
        (100, 100, 100)
    );
    assert_eq!(
        (report.answers.accepted, report.answers.refused, report.buyers_served),
        (40, 60, Some(40))
    );
    assert_eq!(report.answers.refusals.values().sum::<u64>(), 60);
    assert_eq!(report.answers.latency_accepted.unwrap().count, 40);
    assert_eq!(report.answers.latency_refused.unwrap().count, 60);
    let audit = report.audit.as_ref().unwrap();
    assert!(audit.passed && !report.audit_failed());
    assert_eq!((audit.orders, audit.orders_found, audit.repeats_same), (40, 40, 40));
    assert_eq!(
        (report.stock[0].available_at_start, report.stock[0].available_at_end),
        (40, Some(0))
    );
    assert_eq!((report.stock[0].units_acknowledged, report.stock[0].units_taken), (40, 40));
    assert_eq!(report.sending.timeliness, Timeliness::NotPlanned);
    assert_eq!(shop.orders(), 40);
}

#[test]
fn an_open_loop_sends_what_was_planned() {
    for arrivals in [Arrivals::Even, Arrivals::Poisson] {
        let shop = Shop::open(Fault::None);
        let mut plan = plan(&shop, 100);
        plan.profile = Profile::OpenLoop { rate_per_s: 5_000.0, arrivals };
        let report = go(&plan);
        assert_eq!(found(&report), [], "{report}");
        assert_eq!(
            (report.sending.planned, report.sending.sent, report.answers.accepted),
            (100, 100, 40)
        );
        assert_eq!(report.sending.lag.unwrap().count, 100);
        assert!(report.sending.lag.unwrap().max_us >= report.sending.own_lag.unwrap().max_us);
    }
}

#[test]
fn buyers_alone_can_audit_too() {
    for (fault, expected) in [(Fault::None, vec![]), (Fault::Oversells, vec![Kind::Oversold])] {
        let shop = Shop::open(fault);
        shop.put("iphone", 30);
        let mut plan = plan(&shop, 50);
        orders(&mut plan).ops = None;
        orders(&mut plan).setup = None;
        let report = go(&plan);
        assert_eq!(found(&report), expected, "{report}");
        assert_eq!(report.audit.unwrap().notes.len(), 1);
    }
}

#[test]
fn each_way_of_cheating_is_found() {
    for (fault, expected) in [
        (Fault::Oversells, vec![Kind::HeldMiscounted, Kind::Oversold, Kind::UnitsNotCounted]),
        (Fault::LosesOrders, vec![Kind::LostOrder, Kind::KeyForgotten]),
        (Fault::ChangesOrders, vec![Kind::ChangedOrder]),
        (Fault::IgnoresLimit, vec![Kind::BuyerOverLimit]),
        (Fault::Miscounts, vec![Kind::HeldMiscounted, Kind::Unbalanced, Kind::UnitsNotCounted]),
        (Fault::Mumbles, vec![Kind::MalformedOrder]),
    ] {
        let shop = Shop::open(fault);
        let mut plan = plan(&shop, 100);
        if fault == Fault::IgnoresLimit {
            // Fewer buyers than units, so that some come a second time before all is gone.
            orders(&mut plan).buyers = 20;
        }
        let report = go(&plan);
        assert_eq!(found(&report), expected, "{fault:?}: {report}");
        assert!(report.audit_failed(), "{fault:?}");
    }
}

#[test]
fn a_second_order_for_a_key_is_found() {
    let shop = Shop::open(Fault::ForgetsKeys);
    let mut plan = plan(&shop, 20);
    orders(&mut plan).per_buyer_limit = Some(0);
    let report = go(&plan);
    assert_eq!(found(&report), [Kind::SecondOrder], "{report}");
    assert_eq!(report.audit.unwrap().findings[&Kind::SecondOrder].count, 20);
}

#[test]
fn one_order_for_many_keys_is_found() {
    let shop = Shop::open(Fault::SharesOrder);
    let report = go(&plan(&shop, 20));
    let kinds = found(&report);
    assert!(kinds.contains(&Kind::SharedOrder) && kinds.contains(&Kind::WrongOrder), "{report}");
}

#[test]
fn a_cut_answer_is_settled_by_its_key() {
    let shop = Shop::open(Fault::CutsAfterOrder);
    let report = go(&plan(&shop, 30));
    let settled = report.settled.unwrap();
    assert_eq!((settled.asked, settled.had_been_made, settled.unsettled), (10, 10, 0), "{report}");
    assert_eq!((report.answers.accepted, report.answers.unknown), (20, 10));
    assert_eq!((found(&report), report.audit.as_ref().unwrap().orders), (vec![], 30), "{report}");
    assert_eq!(shop.orders(), 30);
}

#[test]
fn an_answer_that_never_comes_is_settled_by_its_key() {
    let shop = Shop::open(Fault::FallsSilent);
    let mut plan = plan(&shop, 6);
    plan.patience.answer = Duration::from_millis(500);
    let report = go(&plan);
    // A slow machine may time more requests out than the shop kept silent on; none may be lost.
    assert!(report.settled.unwrap().asked >= 2, "{report}");
    assert_eq!(
        (found(&report), report.audit.as_ref().unwrap().orders_found),
        (vec![], 6),
        "{report}"
    );
}

#[test]
fn refusals_are_counted_by_code_and_overload_is_no_fault() {
    let shop = Shop::open(Fault::IsOverloaded);
    let report = go(&plan(&shop, 40));
    assert_eq!(report.answers.refusals["overloaded"], 20);
    assert_eq!(report.answers.by_status[&503], 20);
    assert_eq!(found(&report), [], "{report}");
}

#[test]
fn connections_that_close_are_opened_again() {
    for fault in [Fault::ClosesEach, Fault::Chunks] {
        let shop = Shop::open(fault);
        let report = go(&plan(&shop, 60));
        assert_eq!(found(&report), [], "{report}");
        assert_eq!((report.answers.count, report.answers.unknown), (60, 0), "{fault:?}: {report}");
    }
}

#[test]
fn what_the_ceilings_left_out_is_said_to_be_unchecked() {
    let shop = Shop::open(Fault::None);
    let mut plan = plan(&shop, 40);
    plan.limits = sluice_loadgen::Limits::TINY;
    let report = go(&plan);
    assert_eq!(found(&report), [Kind::Unchecked], "{report}");
    assert_eq!(report.audit.unwrap().findings[&Kind::Unchecked].count, 36);
}

#[test]
fn several_skus_are_ordered_from() {
    let shop = Shop::open(Fault::None);
    let mut plan = plan(&shop, 200);
    orders(&mut plan).skus = (0..4).map(|number| format!("sku-{number}")).collect();
    orders(&mut plan).buyers = 200;
    let report = go(&plan);
    assert_eq!(found(&report), [], "{report}");
    assert_eq!(report.stock.len(), 4);
    assert!(report.stock.iter().all(|sku| sku.units_acknowledged > 0), "{report}");
}

#[test]
fn a_fixed_request_needs_no_shop() {
    let shop = Shop::open(Fault::None);
    shop.put("iphone", 1);
    let fixed = |path: &str| Fixed {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: vec![("x-test".to_owned(), "1".to_owned())],
        body: Vec::new(),
        expected: vec![200],
    };
    let mut plan = plan(&shop, 50);
    plan.work = Work::Fixed(fixed("/v1/skus/iphone"));
    let report = go(&plan);
    assert_eq!((report.answers.accepted, report.answers.unexpected), (50, 0));
    assert!(report.audit.is_none() && !report.audit_failed());
    plan.work = Work::Fixed(fixed("/v1/skus/none"));
    let report = go(&plan);
    assert_eq!((report.answers.accepted, report.answers.unexpected), (0, 50));
}

#[test]
fn a_stopped_run_still_reports_and_audits() {
    let shop = Shop::open(Fault::None);
    let stop = Stop::new();
    stop.ask();
    let mut plan = plan(&shop, 1_000_000_000);
    orders(&mut plan).per_buyer_limit = Some(0);
    let report = run(&plan, &stop, &mut Silent).unwrap();
    assert!(report.run.stopped_early);
    assert_eq!(found(&report), [], "{report}");
}

/// Closes the shop for good once it has accepted something, and asks the rush to end.
pub(crate) struct Closing {
    pub(crate) shop: Option<Shop>,
    pub(crate) stop: Stop,
}

impl Progress for Closing {
    fn tick(&mut self, tick: &Tick) {
        if tick.accepted > 0 {
            drop(self.shop.take());
            self.stop.ask();
        }
    }
}

#[test]
fn a_shop_that_goes_away_leaves_a_report_of_what_is_not_known() {
    let shop = Shop::open(Fault::None);
    let mut plan = plan(&shop, 1_000_000_000);
    plan.patience.reach = Duration::from_millis(50);
    orders(&mut plan).per_buyer_limit = Some(0);
    let stop = Stop::new();
    let mut closing = Closing { shop: Some(shop), stop: stop.clone() };
    let report = run(&plan, &stop, &mut closing).unwrap();
    assert!(report.audit_failed() && report.run.stopped_early, "{report}");
    let audit = report.audit.as_ref().unwrap();
    assert_eq!((audit.orders, audit.orders_found), (40, 0), "{report}");
    // Neither of the two looks at stock, none of the reads, none of the repeats, none of the refused keys that are
    // kept, and not the server's own audit.
    let refused = report.answers.refused.min(plan.limits.refused_max as u64);
    assert_eq!(audit.findings[&Kind::Unchecked].count, 2 + 40 + 40 + refused + 1, "{report}");
    assert_eq!(report.settled.unwrap().unsettled, report.answers.unknown);
    assert_eq!(report.stock[0].available_at_end, None);
}

#[test]
fn a_run_that_cannot_begin_says_why() {
    let shop = Shop::open(Fault::None);
    let mut no_sku = plan(&shop, 1);
    orders(&mut no_sku).setup = None;
    let error = run(&no_sku, &Stop::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("sku_not_found"), "{error}");

    let gone = plan(&shop, 1);
    drop(shop);
    let error = run(&gone, &Stop::new(), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
