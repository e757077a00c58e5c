//! What the server acknowledged, as a buyer would write it down: order ids, what may not change, units, deadlines.
//!
//! Knows nothing of stock; grows only with acknowledgements, up to a ceiling.

use std::collections::HashMap;

use crate::engine_clock::EngineClock;
use crate::finding::{Findings, Kind};
use crate::limits::Limits;
use crate::order::{Fingerprint, Order, OrderId};
use crate::script::Script;
use crate::traffic::Fate;
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
    /// When it was acknowledged, by the driver's clock.
    pub(crate) from_ns: u64,
    /// Its units may have been given back from here on; `u64::MAX` while they are taken.
    pub(crate) until_ns: u64,
    /// What its buyer did with it.
    pub(crate) course: Course,
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
    /// Where the orders of keys stand that are sent more than once.
    retried: HashMap<u64, usize>,
    units_by_sku: Vec<u64>,
    served: Vec<bool>,
    orders_max: usize,
    read_orders: bool,
}

impl Book {
    /// An empty book; without `read_orders` it only counts.
    pub(crate) fn new(script: &Script, limits: &Limits, read_orders: bool) -> Book {
        Book {
            orders: Vec::new(),
            findings: Findings::new(limits.examples_max),
            not_kept: 0,
            clock: EngineClock::new(),
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
            self.acknowledge_again(script, place, how, body);
            return None;
        }
        let wanted = script.wanted(key);
        let is_full = self.orders.len() == self.orders_max;
        // A repeat counts where the first answer was lost; where nothing is kept, nobody can tell.
        if how == How::Made || (self.read_orders && !is_full) {
            self.units_by_sku[wanted.sku as usize] += u64::from(script.quantity());
            self.served[wanted.buyer as usize] = true;
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
            self.not_kept += u64::from(how == How::Made);
            return None;
        }
        let place = self.orders.len();
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
    ) -> Result<Acknowledged, String> {
        let order = Order::read(body)?;
        let id = order.id().ok_or("order_id is none")?;
        let (created_us, expires_us) = (order.created_us()?, order.expires_us()?);
        let wanted = script.wanted(key);
        if let Some(part) = order.differs_from_request(
            &script.buyer_name(wanted.buyer),
            script.sku(wanted.sku),
            script.quantity(),
        ) {
            self.findings
                .add(Kind::WrongOrder, || format!("{}: {part} of order {id:?}", script.name(key)));
        }
        if how == How::Made {
            self.clock.observe(created_us, sent.sent_ns, sent.now_ns);
        }
        Ok(Acknowledged {
            number: key,
            id,
            fingerprint: order.fingerprint(),
            expires_us,
            from_ns: sent.now_ns,
            until_ns: u64::MAX,
            course: match script.fate(key) {
                Fate::Abandoned => Course::Abandoned,
                Fate::Kept | Fate::Cancelled(_) => Course::Kept,
            },
            is_made: how == How::Made,
        })
    }

    /// One more acknowledgement of an order that is in the book.
    fn acknowledge_again(&mut self, script: &Script, place: usize, how: How, body: &[u8]) {
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
        if how == How::Made && known.is_made {
            self.findings.add(Kind::RepeatNotMarked, || format!("{}: 201 twice", name()));
        }
        self.orders[place].is_made |= how == How::Made;
        if let Some(part) = order.fingerprint().difference(&known.fingerprint) {
            self.findings
                .add(Kind::ChangedOrder, || format!("order {:?}, {}: {part}", known.id, name()));
        }
    }

    /// A request was refused. If its key had an order before it was sent, that is wrong.
    pub(crate) fn refused(&mut self, script: &Script, number: u64, sent: &Sent, code: &str) {
        let known = self.retried.get(&script.key_of(number)).map(|&place| &self.orders[place]);
        if known.is_some_and(|known| known.from_ns < sent.sent_ns) {
            self.findings.add(Kind::KeyForgotten, || format!("{}: {code}", script.name(number)));
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
            script.sku(wanted.sku),
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
