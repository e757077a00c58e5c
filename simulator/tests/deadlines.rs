//! Ten thousand holds, or `SLUICE_HOLDS`, that are paid and cancelled within ±50 ms of their deadlines
//! (I10).

use sluice_core::planted::{self, Bug};
use sluice_simulator::deadlines::{self, Ends};

/// Holds of one run.
const HOLDS: u64 = 200;

#[test]
fn each_hold_ends_once_and_late_money_is_an_orders_or_goes_back() {
    let mut all = Ends::default();
    let wanted = std::env::var("SLUICE_HOLDS").ok().and_then(|text| text.parse().ok());
    let wanted: u64 = wanted.unwrap_or(10_000);
    for seed in 0..wanted.div_ceil(HOLDS) {
        let shards = [1, 2, 7][seed as usize % 3];
        match deadlines::run(seed, shards, HOLDS) {
            Ok(ends) => all.add(&ends),
            Err(what) => panic!("seed {seed}, {shards} shards: {what}"),
        }
    }
    let Ends { holds, paid, cancelled, expired, held_anew, given_back } = all;
    assert!(holds >= wanted, "{all:?}");
    assert_eq!(paid + cancelled + expired, holds);
    for many in [paid, cancelled, expired, held_anew, given_back] {
        assert!(many >= 100, "{all:?}");
    }
}

#[test]
fn an_end_that_is_wrong_is_noticed() {
    for bug in [Bug::ExpiresEarly, Bug::ExpiresAfterCancel] {
        planted::plant(Some(bug));
        let ended = std::panic::catch_unwind(|| deadlines::run(1, 1, HOLDS));
        planted::plant(None);
        // The ledger's own assertions may be first.
        let noticed = ended.map_or(true, |ended| {
            ended.is_err_and(|what| what.starts_with("I1 ") || what.contains("I10"))
        });
        assert!(noticed, "{bug:?} was not noticed");
    }
}
