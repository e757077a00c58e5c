//! What the server acknowledged, as a buyer would write it down: order ids, what may not change, units, deadlines.
//!
//! Knows nothing of stock; grows only with acknowledgements, up to a ceiling.

use std::collections::HashMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::engine_clock::EngineClock;
use crate::finding::{Findings, Kind};
use crate::limits::Limits;
use crate::order::{Fingerprint, Order, OrderId};
use crate::payments::Payments;
use crate::random::{below, mix};
use crate::script::Script;
use crate::standby::Waiters;
use crate::traffic::{Fate, Shape};
use crate::workload::Sent;

/// One acknowledged order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// The number of its request.
    pub(crate) number: u64,
    /// Its id.
    pub(crate) id: OrderId,
    /// What may not change.
    pub(crate) fingerprint: Fingerprint,
    /// When its hold ends, in microseconds since 1970 by the server's clock; `None` where it was told none.
    pub(crate) expires_us: Option<i64>,
    /// When the request that made it was sent; `None` if an earlier one may have.
    pub(crate) sent_ns: Option<NonZeroU64>,
    /// Its units were taken by then, by the driver's clock: when it was acknowledged, or seen to wait no more.
    pub(crate) from_ns: u64,
    /// Its units may have been given back from here on; `u64::MAX` while they are taken.
    pub(crate) until_ns: u64,
    /// What its buyer did with it.
    pub(crate) course: Course,
    /// It was told to wait, and not yet seen to have units.
    pub(crate) is_waiting: bool,
    /// A 201 came for it, which only one of its requests may get.
    is_made: bool,
}

/// What a buyer did with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// Nothing more.
    Kept,
    /// Left it to expire.
    Abandoned,
    /// Sent a cancel whose outcome is not known.
    CancelSent,
    /// Cancelled it.
    Cancelled,
}

/// How an order was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// 201: this request made it.
    Made,
    /// 202: this request made it, and it waits.
    Waits,
    /// 200: an earlier request with its key had made it.
    Replayed,
}

/// Everything acknowledged in a run.
pub(crate) struct Book {
    /// The orders, for the audit.
    pub(crate) orders: Vec<Acknowledged>,
    /// What is wrong with the answers.
    pub(crate) findings: Findings,
    /// Acknowledgements that the ceiling did not let in.
    pub(crate) not_kept: u64,
    /// What the server's clock shows.
    pub(crate) clock: EngineClock,
    /// Payments that were started.
    pub(crate) payments: Payments,
    /// Orders that were told to wait.
    pub(crate) waiters: Waiters,
    /// Baskets acknowledged, and refused.
    pub(crate) baskets: Baskets,
    /// Requests that were refused, some of them; their keys were sent once.
    pub(crate) refused: Vec<u64>,
    refused_seen: u64,
    refused_max: usize,
    /// Where the orders of keys stand that are sent more than once.
    retried: HashMap<u64, usize>,
    units_by_sku: Vec<u64>,
    served: Vec<bool>,
    orders_max: usize,
    read_orders: bool,
}

/// What became of orders of several SKUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baskets {
    /// Acknowledged.
    pub placed: u64,
    /// Refused.
    pub refused: u64,
}

impl Book {
    /// An empty book; without `read_orders` it only counts.
    pub(crate) fn new(script: &Script, limits: &Limits, read_orders: bool) -> Book {
        Book {
            orders: Vec::new(),
            findings: Findings::new(limits.examples_max),
            not_kept: 0,
            clock: EngineClock::new(),
            payments: Payments::default(),
            waiters: Waiters::default(),
            baskets: Baskets::default(),
            refused: Vec::new(),
            refused_seen: 0,
            refused_max: limits.refused_max,
            retried: HashMap::new(),
            units_by_sku: vec![0; script.skus().len()],
            served: vec![false; script.buyers() as usize],
            orders_max: limits.acknowledged_max,
            read_orders,
        }
    }

    /// Writes down the acknowledgement of request `number`. Gives the place of its order, if that is a new one.
    pub(crate) fn acknowledge(
        &mut self,
        script: &Script,
        number: u64,
        how: How,
        sent: &Sent,
        body: &[u8],
    ) -> Option<usize> {
        let key = script.key_of(number);
        if let Some(&place) = self.retried.get(&key) {
            self.acknowledge_again(script, place, how, sent, body);
            return None;
        }
        let is_full = self.orders.len() == self.orders_max;
        // A repeat counts where the first answer was lost; where nothing is kept, nobody can tell.
        if how == How::Made || (how == How::Replayed && self.read_orders && !is_full) {
            self.count_units(script, key);
        }
        if !self.read_orders {
            return None;
        }
        let read = match self.read(script, key, how, sent, body) {
            Ok(read) => read,
            Err(why) => {
                self.findings.add(Kind::MalformedOrder, || format!("{}: {why}", script.name(key)));
                return None;
            }
        };
        if is_full {
            self.not_kept += u64::from(how != How::Replayed);
            return None;
        }
        let place = self.orders.len();
        let (read, position) = read;
        if read.is_waiting {
            self.waiters.join(place, position, sent.now_ns);
        }
        self.baskets.placed += u64::from(script.shape(key) == Shape::Basket);
        if script.is_retried(key) {
            self.retried.insert(key, place);
        }
        self.orders.push(read);
        Some(place)
    }

    fn read(
        &mut self,
        script: &Script,
        key: u64,
        how: How,
        sent: &Sent,
        body: &[u8],
    ) -> Result<(Acknowledged, Option<u64>), String> {
        let order = Order::read(body)?;
        let id = order.id().ok_or("order_id is none")?;
        let (created_us, expires_us) = (order.created_us()?, order.expires_us()?);
        let is_waiting = order.waits();
        let part = match how {
            How::Made if is_waiting => Some("status"),
            How::Waits if !is_waiting => Some("status"),
            How::Waits if order.position.is_none() => Some("position"),
            _ => differs(script, key, &order),
        };
        if let Some(part) = part {
            self.findings
                .add(Kind::WrongOrder, || format!("{}: {part} of order {id:?}", script.name(key)));
        }
        let is_made = how != How::Replayed;
        if is_made {
            self.clock.observe(created_us, sent.sent_ns, sent.now_ns);
        }
        let acknowledged = Acknowledged {
            number: key,
            id,
            fingerprint: order.fingerprint(),
            expires_us,
            sent_ns: NonZeroU64::new(sent.sent_ns).filter(|_| is_made),
            from_ns: sent.now_ns,
            until_ns: if is_waiting { sent.now_ns } else { u64::MAX },
            course: match script.fate(key) {
                Fate::Abandoned => Course::Abandoned,
                _ => Course::Kept,
            },
            is_waiting,
            is_made,
        };
        Ok((acknowledged, order.position))
    }

    /// Counts the units of a key's order.
    fn count_units(&mut self, script: &Script, key: u64) {
        let wanted = script.wanted(key);
        for &sku in wanted.lines.as_slice() {
            self.units_by_sku[sku as usize] += u64::from(script.quantity());
        }
        self.served[wanted.buyer as usize] = true;
    }

    /// The order at `place` was read. Whether it was seen to wait no more, and to have units.
    pub(crate) fn observe(
        &mut self,
        script: &Script,
        place: usize,
        order: &Order<'_>,
        sent: &Sent,
    ) -> bool {
        let known = &mut self.orders[place];
        let (number, id) = (known.number, known.id);
        let name = || format!("order {id:?}, {}", script.name(number));
        let findings = &mut self.findings;
        let is_promoted = self.waiters.observe(place, order, sent, findings, name);
        if is_promoted {
            if let Some(part) = differs(script, number, order) {
                findings.add(Kind::WrongOrder, || format!("{}: {part}", name()));
            }
            known.is_waiting = false;
            known.fingerprint = order.fingerprint();
            known.expires_us = order.expires_us().unwrap_or_default();
            (known.from_ns, known.until_ns) = (sent.now_ns, u64::MAX);
            self.count_units(script, number);
        }
        is_promoted
    }

    /// Whether the order at `place` was certainly held, and nobody had ended it, at `at_ns`.
    pub(crate) fn surely_held(&self, place: usize, at_ns: u64) -> bool {
        let order = &self.orders[place];
        let over = order.expires_us.zip(self.clock.shown_us(at_ns));
        let ends = matches!(order.course, Course::CancelSent | Course::Cancelled);
        !ends && over.is_some_and(|(expires_us, (_, most_us))| most_us < expires_us)
    }

    /// One more acknowledgement of an order that is in the book.
    fn acknowledge_again(
        &mut self,
        script: &Script,
        place: usize,
        how: How,
        sent: &Sent,
        body: &[u8],
    ) {
        let known = self.orders[place];
        let name = || script.name(known.number);
        let order = match Order::read(body) {
            Ok(order) => order,
            Err(why) => {
                return self.findings.add(Kind::MalformedOrder, || format!("{}: {why}", name()));
            }
        };
        if order.id() != Some(known.id) {
            let other = order.id();
            self.findings.add(Kind::SecondOrder, || {
                format!("{}: {:?}, and on retry {other:?}", name(), known.id)
            });
            return;
        }
        let is_made = how != How::Replayed;
        if is_made && known.is_made {
            self.findings.add(Kind::RepeatNotMarked, || format!("{}: made twice", name()));
        }
        self.orders[place].is_made |= is_made;
        if let Some(part) = order.fingerprint().difference(&known.fingerprint) {
            self.findings
                .add(Kind::ChangedOrder, || format!("order {:?}, {}: {part}", known.id, name()));
        }
        self.observe(script, place, &order, sent);
    }

    /// A request was refused. If its key had an order before it was sent, that is wrong.
    pub(crate) fn refused(&mut self, script: &Script, number: u64, sent: &Sent, code: &str) {
        let known = self.retried.get(&script.key_of(number)).map(|&place| &self.orders[place]);
        if known.is_some_and(|known| known.from_ns < sent.sent_ns) {
            self.findings.add(Kind::KeyForgotten, || format!("{}: {code}", script.name(number)));
        }
        let key = script.key_of(number);
        self.baskets.refused += u64::from(script.shape(key) == Shape::Basket);
        if !self.read_orders || script.is_retried(key) {
            return;
        }
        self.refused_seen += 1;
        if self.refused.len() < self.refused_max {
            self.refused.push(key);
            return;
        }
        // Each of them stays with the same chance, whenever it came.
        let place = below(mix(key), self.refused_seen) as usize;
        if let Some(kept) = self.refused.get_mut(place) {
            *kept = key;
        }
    }

    /// Whether the order of a key that is sent more than once is in the book.
    pub(crate) fn knows(&self, key: u64) -> bool {
        self.retried.contains_key(&key)
    }

    /// Units acknowledged of each SKU.
    pub(crate) fn units_by_sku(&self) -> &[u64] {
        &self.units_by_sku
    }

    /// Buyers with at least one acknowledged order.
    pub(crate) fn buyers_served(&self) -> u64 {
        self.served.iter().filter(|&&served| served).count() as u64
    }

    /// Finds order ids that were acknowledged for more than one key.
    pub(crate) fn check_ids(&mut self, script: &Script) {
        let mut by_id: Vec<&Acknowledged> = self.orders.iter().collect();
        by_id.sort_unstable_by_key(|order| (order.id, order.number));
        for pair in by_id.windows(2) {
            if pair[0].id == pair[1].id {
                self.findings.add(Kind::SharedOrder, || {
                    format!(
                        "order {:?}: {} and {}",
                        pair[0].id,
                        script.name(pair[0].number),
                        script.name(pair[1].number)
                    )
                });
            }
        }
    }
}

/// What of an order is not what the request with the key of `number` asked for.
fn differs(script: &Script, number: u64, order: &Order<'_>) -> Option<&'static str> {
    let wanted = script.wanted(number);
    let skus: Vec<&str> = wanted.lines.as_slice().iter().map(|&sku| script.sku(sku)).collect();
    let buyer = script.buyer_name(wanted.buyer);
    order.differs_from_request(&buyer, &skus, script.quantity())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Book, Course, How};
    use crate::finding::Kind;
    use crate::limits::Limits;
    use crate::script::Script;
    use crate::script::tests::{script, script_of};
    use crate::traffic::Traffic;
    use crate::workload::{Sent, Ticket};

    /// Sent at 1 s, answered at 2 s.
    pub(crate) const AT: Sent = Sent {
        ticket: Ticket { number: 0, due_ns: 1_000_000_000, follows: false },
        sent_ns: 1_000_000_000,
        now_ns: 2_000_000_000,
    };

    /// The order that request `number` should get, with the id `id`.
    pub(crate) fn body(script: &Script, number: u64, id: &str) -> Vec<u8> {
        let wanted = script.wanted(number);
        format!(
            r#"{{"order_id":"{id}","version":1,"status":"reserved","buyer":"{}","items":[{{"sku":"{}","quantity":{},
            "unit_price":5,"amount":5,"lots":[{{"lot":"L","quantity":1,"unit_price":5}}]}}],"amount":5,
            "currency":"CNY","created_at":"2026-11-11T00:00:00.000Z","expires_at":"2026-11-11T00:10:00.000Z"}}"#,
            script.buyer_name(wanted.buyer),
            script.sku(wanted.lines.as_slice()[0]),
            script.quantity(),
        )
        .into_bytes()
    }

    #[test]
    fn acknowledgements_are_counted_by_sku_and_buyer() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        for number in [0, 2, 4] {
            book.acknowledge(
                &script,
                number,
                How::Made,
                &AT,
                &body(&script, number, &format!("order-{number}")),
            );
        }
        assert_eq!(
            (book.units_by_sku(), book.buyers_served(), book.orders.len()),
            ([3].as_slice(), 1, 3)
        );
        book.check_ids(&script);
        assert_eq!(book.findings.kinds(), []);
    }

    #[test]
    fn answers_that_do_not_fit_are_found() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        book.acknowledge(&script, 0, How::Made, &AT, b"{}");
        book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 0, ""));
        book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 1, "of-another-buyer"));
        assert_eq!(book.findings.count(Kind::MalformedOrder), 2);
        assert_eq!(book.findings.count(Kind::WrongOrder), 1);
    }

    #[test]
    fn one_order_for_two_keys_is_found() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 0, "same"));
        book.acknowledge(&script, 2, How::Made, &AT, &body(&script, 2, "same"));
        book.check_ids(&script);
        assert_eq!(book.findings.count(Kind::SharedOrder), 1);
    }

    #[test]
    fn the_book_ends_at_its_ceiling_and_says_so() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::TINY, true);
        for number in 0..6 {
            book.acknowledge(
                &script,
                number,
                How::Made,
                &AT,
                &body(&script, number, &format!("order-{number}")),
            );
        }
        assert_eq!((book.orders.len(), book.not_kept, book.units_by_sku()[0]), (4, 2, 6));
    }

    #[test]
    fn a_retry_finds_the_order_of_its_key_or_is_found_out() {
        let script = script_of(9, 1, Traffic { retries_percent: 100.0, ..Traffic::default() });
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        let order = body(&script, 0, "order");
        let later = Sent { sent_ns: 3_000_000_000, now_ns: 4_000_000_000, ..AT };
        // The retry's answer may well come first.
        assert_eq!(book.acknowledge(&script, 1, How::Replayed, &AT, &order), Some(0));
        assert_eq!(book.acknowledge(&script, 0, How::Made, &AT, &order), None);
        assert_eq!((book.units_by_sku()[0], book.orders.len(), book.knows(0)), (1, 1, true));
        book.refused(&script, 2, &AT, "sold_out");
        assert_eq!(book.findings.kinds(), []);
        book.acknowledge(&script, 2, How::Made, &AT, &order);
        assert_eq!(book.findings.kinds(), [Kind::RepeatNotMarked]);
        book.refused(&script, 2, &later, "sold_out");
        book.acknowledge(&script, 3, How::Replayed, &AT, &body(&script, 0, "another"));
        book.acknowledge(&script, 3, How::Replayed, &AT, b"ok");
        assert_eq!(
            book.findings.kinds(),
            [Kind::MalformedOrder, Kind::SecondOrder, Kind::KeyForgotten, Kind::RepeatNotMarked]
        );
    }

    #[test]
    fn deadlines_and_fates_are_written_down() {
        let script = script_of(9, 1, Traffic { abandons_percent: 100.0, ..Traffic::default() });
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 0, "order"));
        let order = book.orders[0];
        assert_eq!((order.course, order.from_ns), (Course::Abandoned, AT.now_ns));
        assert_eq!(order.expires_us.unwrap() % 1_000_000, 0);
        assert!(book.clock.shown_us(AT.now_ns).is_some());
    }
}
