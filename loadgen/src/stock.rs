//! Stock around a run: what there was, what is left, and whether that fits what was acknowledged.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::{Seen, Taken};
use crate::book::Book;
use crate::call::Caller;
use crate::error::Result;
use crate::finding::{Findings, Kind};
use crate::holds::Peaks;
use crate::operator::{self, Counters};
use crate::script::Script;

/// One SKU at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// What a newcomer can get, as buyers see it.
    pub(crate) available: u64,
    /// What operators see, if they may be asked.
    pub(crate) counters: Option<Counters>,
}

/// Looks at SKUs, as buyers and, where there is a token, as operators.
pub(crate) struct Looker<'c> {
    /// The buyers' side.
    pub(crate) public: &'c Caller,
    /// The operators' side.
    pub(crate) ops: Option<&'c Caller>,
}

impl Looker<'_> {
    /// All SKUs of a script now.
    pub(crate) fn look(&self, script: &Script) -> Result<Vec<View>> {
        script.skus().iter().map(|sku| self.look_at(sku)).collect()
    }

    fn look_at(&self, sku: &str) -> Result<View> {
        let needed = "the SKU must exist before the run: create it, or let --stock with an admin token do so";
        let reply = self.public.call("GET", &format!("/v1/skus/{sku}"), None)?;
        let value = reply.json(&[200], needed)?;
        let available = value.get("available").and_then(Value::as_u64);
        Ok(View {
            available: available
                .ok_or_else(|| reply.refused("the audit needs `available` of the SKU"))?,
            counters: self.ops.map(|ops| operator::counters(ops, sku)).transpose()?,
        })
    }
}

/// What the report says of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuStock {
    /// The SKU.
    pub sku: String,
    /// Units a newcomer could get before the run.
    pub available_at_start: u64,
    /// Units a newcomer can get after it, if it could be asked.
    pub available_at_end: Option<u64>,
    /// Units of this run's orders that were told, or later seen, to have some.
    pub units_acknowledged: u64,
    /// Units that those orders still take, as read back.
    pub units_taken: u64,
    /// The most units of this run that were surely taken at one moment.
    pub units_at_once_max: u64,
    /// The operators' counters after the run, if they could be asked.
    pub counters: Option<SkuCounters>,
}

/// The operators' counters of one SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkuCounters {
    /// Units that ever arrived.
    pub received: u64,
    /// Units nobody holds.
    pub available: u64,
    /// Units held for unpaid orders.
    pub held: u64,
    /// Units paid for.
    pub sold: u64,
    /// Units taken back.
    pub withdrawn: u64,
}

/// The moments at which stock was looked at.
pub(crate) struct Moments {
    /// Before the first order.
    pub(crate) start: Vec<View>,
    /// After the last outcome was settled, before orders were read back.
    pub(crate) settled: Option<Vec<View>>,
    /// After everything.
    pub(crate) end: Option<Vec<View>>,
}

/// What stock is held against.
pub(crate) struct Case<'a> {
    /// Who ordered what.
    pub(crate) script: &'a Script,
    /// What was acknowledged.
    pub(crate) book: &'a Book,
    /// What the orders read back say.
    pub(crate) seen: &'a Seen,
    /// The most units taken at one moment.
    pub(crate) peaks: &'a Peaks,
    /// Units went to orders that waited while orders were read: what these say is not of one moment.
    pub(crate) moved: bool,
    /// Nobody else orders, and no outcome is unknown: all units held or sold in the run are its orders'.
    pub(crate) alone: bool,
}

impl Moments {
    /// What one buyer may have of each SKU, 0 without limit: as given, or else as operators see it.
    pub(crate) fn limits(&self, given: Option<u32>) -> Vec<u64> {
        let told =
            |view: &View| view.counters.and_then(|counters| counters.per_buyer_limit).unwrap_or(0);
        self.start.iter().map(|view| given.map_or_else(|| told(view), u64::from)).collect()
    }

    /// Checks every SKU against what was acknowledged and read back.
    pub(crate) fn check(&self, case: &Case<'_>, limits: &[u64], findings: &mut Findings) {
        let script = case.script;
        for (index, sku) in script.skus().iter().enumerate() {
            let start = self.start[index];
            let settled = self.settled.as_ref().map(|views| views[index]);
            let end = self.end.as_ref().map(|views| views[index]);
            for counters in
                [Some(start), settled, end].into_iter().flatten().filter_map(|view| view.counters)
            {
                check_balance(sku, &counters, findings);
            }
            let taken = case.seen.units_by_sku[index];
            let sure = if case.moved { 0 } else { taken.units() };
            let most = sure.max(case.peaks.by_sku[index]);
            check_units(sku, &start, settled.as_ref(), sure, most, findings);
            if case.alone && !case.moved {
                let found = case.seen.units_found_by_sku[index];
                let unread = case.book.units_by_sku()[index].saturating_sub(found);
                let looks = [Some(start), settled, end];
                let in_orders = taken.units() + taken.refunding + unread;
                check_returned(sku, looks, in_orders, findings);
                if unread == 0 {
                    check_split(sku, looks, taken, findings);
                }
            }
        }
        for &(buyer, sku, units) in &case.peaks.over_limit {
            findings.add(Kind::BuyerOverLimit, || {
                let (buyer, limit) = (script.buyer_name(buyer), limits[sku as usize]);
                format!("{buyer}: {units} units of {}, limit {limit}", script.sku(sku))
            });
        }
    }

    /// What the report says.
    pub(crate) fn report(&self, case: &Case<'_>) -> Vec<SkuStock> {
        let Case { script, book, seen, peaks, .. } = case;
        let sku_stock = |(index, sku): (usize, &String)| {
            let end = self.end.as_ref().map(|views| views[index]);
            SkuStock {
                sku: sku.clone(),
                available_at_start: self.start[index].available,
                available_at_end: end.map(|view| view.available),
                units_acknowledged: book.units_by_sku()[index],
                units_taken: seen.units_by_sku[index].units(),
                units_at_once_max: peaks.by_sku[index],
                counters: end.and_then(|view| view.counters).map(|counters| SkuCounters {
                    received: counters.received,
                    available: counters.available,
                    held: counters.held,
                    sold: counters.sold,
                    withdrawn: counters.withdrawn,
                }),
            }
        };
        script.skus().iter().enumerate().map(sku_stock).collect()
    }

    /// SKUs of which buyers can still get more than acknowledged orders should have left, where only buyers look:
    /// units may have come back or been added, or were not counted.
    pub(crate) fn more_left_than_expected(&self, script: &Script, seen: &Seen) -> Vec<String> {
        let Some(settled) = &self.settled else {
            return Vec::new();
        };
        let more = |&index: &usize| {
            let (start, taken) = (self.start[index].available, seen.units_by_sku[index].units());
            // Beyond what there was it is a finding, not a question.
            taken <= start
                && settled[index].counters.is_none()
                && settled[index].available + taken > start
        };
        (0..settled.len()).filter(more).map(|index| script.skus()[index].clone()).collect()
    }

    /// Whether the limit of some SKU is known to nobody here.
    pub(crate) fn limit_unknown(&self, limit: Option<u32>) -> bool {
        let told =
            |view: &View| view.counters.is_some_and(|counters| counters.per_buyer_limit.is_some());
        limit.is_none() && !self.start.iter().all(told)
    }
}

fn check_balance(sku: &str, counters: &Counters, findings: &mut Findings) {
    let parts = [counters.available, counters.held, counters.sold, counters.withdrawn];
    let sum = parts.iter().map(|&part| u128::from(part)).sum::<u128>();
    if sum != u128::from(counters.received) {
        findings.add(Kind::Unbalanced, || format!("{sku}: {counters:?}"));
    }
}

fn check_units(
    sku: &str,
    start: &View,
    settled: Option<&View>,
    taken: u64,
    most: u64,
    findings: &mut Findings,
) {
    let before = start.counters;
    let after = settled.and_then(|view| view.counters);
    // Units others held before the run may have come back during it, and lots may have been added.
    let there_were = match (before, after) {
        (Some(before), Some(after)) => {
            before.available + before.held + after.received.saturating_sub(before.received)
        }
        (Some(before), None) => before.available + before.held,
        (None, _) => start.available,
    };
    if most > there_were {
        findings.add(Kind::Oversold, || {
            format!("{sku}: {most} units in orders at one moment, {there_were} there were")
        });
    }
    if let Some(after) = after
        && taken > after.held + after.sold
    {
        findings.add(Kind::UnitsNotCounted, || {
            format!("{sku}: {taken} units in orders, held {} + sold {}", after.held, after.sold)
        });
    }
}

/// Finds units that are held although the orders they were held for have ended. Holds may end between two looks, and
/// a cheat may make new ones; what is too much at every look is neither.
fn check_returned(sku: &str, looks: [Option<View>; 3], taken: u64, findings: &mut Findings) {
    let out = |view: Option<View>| {
        view.and_then(|view| view.counters).map(|counters| counters.held + counters.sold)
    };
    let [Some(before), Some(settled), Some(end)] = looks.map(out) else {
        return;
    };
    let too_many = settled.min(end).saturating_sub(before + taken);
    if too_many > 0 {
        findings.add_many(Kind::UnitsNotReturned, too_many, || {
            format!("{sku}: held and sold {before} before and {end} after, in orders {taken}")
        });
    }
}

/// Holds what is held and what is sold against the orders, where nothing moved between two looks.
fn check_split(sku: &str, looks: [Option<View>; 3], taken: Taken, findings: &mut Findings) {
    let counters = |view: Option<View>| view.and_then(|view| view.counters);
    let [Some(before), Some(settled), Some(end)] = looks.map(counters) else {
        return;
    };
    if (settled.held, settled.sold) != (end.held, end.sold) {
        return;
    }
    let Taken { held, sold, refunding } = taken;
    // Holds that others had before may have ended.
    if before.held == 0 && end.held != held {
        findings.add(Kind::HeldMiscounted, || {
            format!("{sku}: {} held, {held} in reserved orders", end.held)
        });
    }
    let least = before.sold + sold;
    if !(least..=least + refunding).contains(&end.sold) {
        findings.add(Kind::SoldMiscounted, || {
            let before = before.sold;
            format!("{sku}: {} sold, {before} before, {sold} in paid orders", end.sold)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Moments, View};
    use crate::audit::{Seen, Taken};
    use crate::book::Book;
    use crate::finding::{Findings, Kind};
    use crate::holds::Peaks;
    use crate::limits::Limits;
    use crate::operator::Counters;
    use crate::script::tests::script;

    fn buyers_see(available: u64) -> View {
        View { available, counters: None }
    }

    fn operators_see(received: u64, available: u64, held: u64) -> View {
        let counters =
            Counters { received, available, held, sold: 0, withdrawn: 0, per_buyer_limit: Some(1) };
        View { available, counters: Some(counters) }
    }

    /// Kinds found when `taken` units are taken now, and `most` were at one moment.
    fn check_peak(start: View, settled: View, taken: u64, most: u64) -> Vec<Kind> {
        let script = script(2, 1);
        let book = Book::new(&script, &Limits::DEFAULT, true);
        let taken = Taken { held: taken, ..Taken::default() };
        let seen = Seen { units_by_sku: vec![taken], ..Seen::nothing(1) };
        let peaks = Peaks { by_sku: vec![most], over_limit: Vec::new() };
        let mut findings = Findings::new(5);
        let moments =
            Moments { start: vec![start], settled: Some(vec![settled]), end: Some(vec![settled]) };
        let case = Case {
            script: &script,
            book: &book,
            seen: &seen,
            peaks: &peaks,
            moved: false,
            alone: true,
        };
        moments.check(&case, &[0], &mut findings);
        findings.kinds()
    }

    fn check(start: View, settled: View, taken: u64) -> Vec<Kind> {
        check_peak(start, settled, taken, taken)
    }

    #[test]
    fn stock_that_adds_up_is_left_alone() {
        assert_eq!(check(buyers_see(5), buyers_see(0), 5), []);
        assert_eq!(check(operators_see(5, 5, 0), operators_see(5, 4, 1), 1), []);
    }

    #[test]
    fn overselling_is_found_from_either_side() {
        assert_eq!(check(buyers_see(5), buyers_see(0), 6), [Kind::Oversold]);
        assert_eq!(
            check(operators_see(5, 5, 0), operators_see(5, 0, 5), 6),
            [Kind::HeldMiscounted, Kind::Oversold, Kind::UnitsNotCounted]
        );
    }

    #[test]
    fn buyers_who_see_more_left_than_there_should_be_say_so() {
        let script = script(2, 1);
        let taken = Taken { held: 3, ..Taken::default() };
        let seen = Seen { units_by_sku: vec![taken], ..Seen::nothing(1) };
        for (left, expected) in [(buyers_see(2), vec![]), (buyers_see(3), vec!["sku-1".to_owned()])]
        {
            let moments =
                Moments { start: vec![buyers_see(5)], settled: Some(vec![left]), end: None };
            assert_eq!(moments.more_left_than_expected(&script, &seen), expected);
        }
    }

    #[test]
    fn stock_that_came_during_the_run_is_no_overselling() {
        assert_eq!(check(operators_see(5, 3, 2), operators_see(9, 0, 9), 9), []);
    }

    #[test]
    fn counters_that_do_not_add_up_are_found() {
        assert_eq!(check(operators_see(5, 5, 0), operators_see(5, 5, 1), 1), [Kind::Unbalanced]);
    }

    #[test]
    fn units_that_came_back_may_be_sold_again_but_never_held_twice() {
        assert_eq!(check_peak(operators_see(5, 5, 0), operators_see(5, 2, 3), 3, 5), []);
        assert_eq!(
            check_peak(operators_see(5, 5, 0), operators_see(5, 2, 3), 3, 6),
            [Kind::Oversold]
        );
        assert_eq!(check_peak(buyers_see(5), buyers_see(2), 3, 6), [Kind::Oversold]);
    }

    #[test]
    fn units_that_do_not_come_back_are_found() {
        assert_eq!(
            check(operators_see(9, 7, 2), operators_see(9, 3, 6), 3),
            [Kind::UnitsNotReturned]
        );
        assert_eq!(check(operators_see(9, 7, 2), operators_see(9, 5, 4), 3), []);
    }

    #[test]
    fn the_limit_is_what_was_given_or_else_what_operators_see() {
        let moments = |view| Moments { start: vec![view], settled: None, end: None };
        assert_eq!(moments(buyers_see(5)).limits(Some(3)), [3]);
        assert_eq!(moments(buyers_see(5)).limits(None), [0]);
        assert_eq!(moments(operators_see(5, 5, 0)).limits(None), [1]);
        assert_eq!(moments(operators_see(5, 5, 0)).limits(Some(0)), [0]);
        assert!(moments(buyers_see(5)).limit_unknown(None));
        assert!(!moments(operators_see(5, 5, 0)).limit_unknown(None));
    }

    #[test]
    fn buyers_over_the_limit_are_named() {
        let script = script(2, 1);
        let book = Book::new(&script, &Limits::DEFAULT, true);
        let seen = Seen::nothing(1);
        let peaks = Peaks { by_sku: vec![3], over_limit: vec![(1, 0, 3)] };
        let case = Case {
            script: &script,
            book: &book,
            seen: &seen,
            peaks: &peaks,
            moved: false,
            alone: false,
        };
        let mut findings = Findings::new(5);
        let moments = Moments { start: vec![buyers_see(5)], settled: None, end: None };
        moments.check(&case, &[2], &mut findings);
        let found = findings.into_found();
        assert_eq!(
            found[&Kind::BuyerOverLimit].examples,
            ["run-b0000001: 3 units of sku-1, limit 2"]
        );
    }
}
