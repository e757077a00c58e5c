//! What the server acknowledged, as a buyer would write it down: order ids, what may not change, units.
//!
//! Knows nothing of stock; grows only with acknowledgements, up to a ceiling.

use crate::finding::{Findings, Kind};
use crate::limits::Limits;
use crate::order::{Fingerprint, Order, OrderId};
use crate::script::Script;

/// One acknowledged order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    /// The number of its request.
    pub(crate) number: u64,
    /// Its id.
    pub(crate) id: OrderId,
    /// What may not change.
    pub(crate) fingerprint: Fingerprint,
}

/// Everything acknowledged in a run.
pub(crate) struct Book {
    /// The orders, for the audit.
    pub(crate) orders: Vec<Acknowledged>,
    /// What is wrong with the answers.
    pub(crate) findings: Findings,
    /// Acknowledgements that the ceiling did not let in.
    pub(crate) not_kept: u64,
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
            units_by_sku: vec![0; script.skus().len()],
            served: vec![false; script.buyers() as usize],
            orders_max: limits.acknowledged_max,
            read_orders,
        }
    }

    /// Writes down the acknowledgement of request `number`.
    pub(crate) fn acknowledge(&mut self, script: &Script, number: u64, body: &[u8]) {
        let wanted = script.wanted(number);
        self.units_by_sku[wanted.sku as usize] += u64::from(script.quantity());
        self.served[wanted.buyer as usize] = true;
        if !self.read_orders {
            return;
        }
        let read = Order::read(body).and_then(|order| match order.id() {
            Some(id) => Ok((order, id)),
            None => Err("order_id is none".to_owned()),
        });
        let (order, id) = match read {
            Ok(read) => read,
            Err(why) => {
                self.findings
                    .add(Kind::MalformedOrder, || format!("{}: {why}", script.name(number)));
                return;
            }
        };
        if let Some(part) = order.differs_from_request(
            &script.buyer_name(wanted.buyer),
            script.sku(wanted.sku),
            script.quantity(),
        ) {
            self.findings.add(Kind::WrongOrder, || {
                format!("{}: {part} of order {id:?}", script.name(number))
            });
        }
        if self.orders.len() == self.orders_max {
            self.not_kept += 1;
            return;
        }
        self.orders.push(Acknowledged { number, id, fingerprint: order.fingerprint() });
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
    use super::Book;
    use crate::finding::Kind;
    use crate::limits::Limits;
    use crate::script::Script;
    use crate::script::tests::script;

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
            book.acknowledge(&script, number, &body(&script, number, &format!("order-{number}")));
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
        book.acknowledge(&script, 0, b"{}");
        book.acknowledge(&script, 0, &body(&script, 0, ""));
        book.acknowledge(&script, 0, &body(&script, 1, "of-another-buyer"));
        assert_eq!(book.findings.count(Kind::MalformedOrder), 2);
        assert_eq!(book.findings.count(Kind::WrongOrder), 1);
    }

    #[test]
    fn one_order_for_two_keys_is_found() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        book.acknowledge(&script, 0, &body(&script, 0, "same"));
        book.acknowledge(&script, 2, &body(&script, 2, "same"));
        book.check_ids(&script);
        assert_eq!(book.findings.count(Kind::SharedOrder), 1);
    }

    #[test]
    fn the_book_ends_at_its_ceiling_and_says_so() {
        let script = script(2, 1);
        let mut book = Book::new(&script, &Limits::TINY, true);
        for number in 0..6 {
            book.acknowledge(&script, number, &body(&script, number, &format!("order-{number}")));
        }
        assert_eq!((book.orders.len(), book.not_kept, book.units_by_sku()[0]), (4, 2, 6));
    }
}
