//! Orders and refusals as the contract writes them, read strictly, and what of an order may never change.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};

use serde::Deserialize;

use crate::limits::ORDER_ID_BYTES_MAX;

/// An order as the server tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Order<'a> {
    /// Its id.
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    /// Its state.
    #[serde(borrow)]
    pub(crate) status: Cow<'a, str>,
    #[serde(borrow)]
    buyer: Cow<'a, str>,
    #[serde(borrow)]
    items: Vec<Item<'a>>,
    amount: Option<u64>,
    #[serde(borrow, default)]
    currency: Option<Cow<'a, str>>,
    /// Its place among those who wait, from 1; `None` unless it waits.
    #[serde(default)]
    pub(crate) position: Option<u64>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow, default)]
    expires_at: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize, Hash)]
struct Item<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    quantity: u64,
    unit_price: Option<u64>,
    amount: Option<u64>,
    #[serde(borrow, default)]
    lots: Vec<Lot<'a>>,
}

impl Item<'_> {
    fn adds_up(&self) -> bool {
        if self.lots.is_empty() {
            return true;
        }
        let units = saturating_sum(self.lots.iter().map(|lot| lot.quantity));
        let amount =
            saturating_sum(self.lots.iter().map(|lot| lot.quantity.saturating_mul(lot.unit_price)));
        units == self.quantity && Some(amount) == self.amount
    }
}

#[derive(Debug, Deserialize, Hash)]
struct Lot<'a> {
    #[serde(borrow)]
    lot: Cow<'a, str>,
    quantity: u64,
    unit_price: u64,
}

impl<'a> Order<'a> {
    /// Reads an order; says in words what is wrong with it otherwise.
    pub(crate) fn read(body: &'a [u8]) -> Result<Order<'a>, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    /// Its id, if it can be put into a path.
    pub(crate) fn id(&self) -> Option<OrderId> {
        OrderId::new(&self.order_id)
    }

    /// When it was made, in microseconds since 1970 of the server's time.
    pub(crate) fn created_us(&self) -> Result<i64, String> {
        read_time("created_at", &self.created_at)
    }

    /// When its hold ends, in microseconds since 1970 of the server's time; `None` unless it is reserved.
    pub(crate) fn expires_us(&self) -> Result<Option<i64>, String> {
        self.expires_at.as_deref().map(|text| read_time("expires_at", text)).transpose()
    }

    /// What of the order is not what was asked for: `quantity` of each of `skus`.
    pub(crate) fn differs_from_request(
        &self,
        buyer: &str,
        skus: &[&str],
        quantity: u32,
    ) -> Option<&'static str> {
        if self.buyer != buyer {
            return Some("buyer");
        }
        let is_asked =
            |item: &Item<'_>| item.quantity == u64::from(quantity) && skus.contains(&&*item.sku);
        let twice =
            self.items.iter().enumerate().any(|(index, item)| {
                self.items[..index].iter().any(|earlier| earlier.sku == item.sku)
            });
        if twice || self.items.len() != skus.len() || !self.items.iter().all(is_asked) {
            return Some("items");
        }
        (!self.adds_up()).then_some("amount")
    }

    /// Whether its amount is that of its lines, and theirs those of their lots. Only what waits has none.
    fn adds_up(&self) -> bool {
        let Some(amount) = self.amount else {
            return !self.takes_units();
        };
        let sum = saturating_sum(self.items.iter().map(|item| item.amount.unwrap_or(u64::MAX)));
        sum == amount && self.items.iter().all(Item::adds_up)
    }

    /// What may never change of it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let asked: Vec<(&str, u64)> =
            self.items.iter().map(|item| (&*item.sku, item.quantity)).collect();
        Fingerprint {
            buyer: short_hash(&self.buyer),
            asked: short_hash(&asked),
            drawn: self.amount.map(|_| short_hash(&self.items)),
            amount: self.amount.map(|amount| amount_hash(amount, self.currency.as_deref())),
            created_at: short_hash(&self.created_at),
        }
    }

    /// Whether it waits for units.
    pub(crate) fn waits(&self) -> bool {
        self.status == "waiting"
    }

    /// Whether its units are taken: from stock, and of the buyer's limit.
    pub(crate) fn takes_units(&self) -> bool {
        !matches!(&*self.status, "waiting" | "expired" | "cancelled" | "refunding" | "refunded")
    }
}

/// A sum of what a server tells, which may be anything.
fn saturating_sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// Reads a time as RFC 3339 writes it.
fn read_time(field: &str, text: &str) -> Result<i64, String> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(jiff::Timestamp::as_microsecond).map_err(|_| format!("{field} is no time"))
}

/// Hashes of the parts of an order that may never change. An order that waits has no lots and no amount yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    buyer: u32,
    asked: u32,
    drawn: Option<u32>,
    amount: Option<u32>,
    created_at: u32,
}

impl Fingerprint {
    /// The first part that differs.
    pub(crate) fn difference(&self, other: &Fingerprint) -> Option<&'static str> {
        let both = |left: Option<u32>, right: Option<u32>| left.zip(right).unwrap_or_default();
        [
            ("buyer", (self.buyer, other.buyer)),
            ("items", (self.asked, other.asked)),
            ("items", both(self.drawn, other.drawn)),
            ("amount", both(self.amount, other.amount)),
            ("created_at", (self.created_at, other.created_at)),
        ]
        .into_iter()
        .find_map(|(part, (left, right))| (left != right).then_some(part))
    }

    /// The same without the lots: units that a late payment takes again may come from others.
    pub(crate) fn without_lots(self) -> Fingerprint {
        Fingerprint { drawn: None, ..self }
    }

    /// Whether this is the amount of the order; one that waits has none.
    pub(crate) fn is_amount(&self, amount: u64, currency: &str) -> bool {
        self.amount == Some(amount_hash(amount, Some(currency)))
    }
}

fn amount_hash(amount: u64, currency: Option<&str>) -> u32 {
    short_hash(&(amount, currency))
}

fn short_hash(value: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish() as u32
}

/// The id of an order or a payment, held in place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OrderId {
    length: u8,
    bytes: [u8; ORDER_ID_BYTES_MAX],
}

impl OrderId {
    /// Reads an id that can be put into a path.
    pub(crate) fn new(text: &str) -> Option<OrderId> {
        let fits = !text.is_empty() && text.len() <= ORDER_ID_BYTES_MAX;
        if !fits || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return None;
        }
        let mut bytes = [0; ORDER_ID_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(OrderId { length: text.len() as u8, bytes })
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A payment as the server tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Payment<'a> {
    #[serde(borrow)]
    payment_id: Cow<'a, str>,
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    /// What is to be paid.
    pub(crate) amount: u64,
    /// In which currency.
    #[serde(borrow)]
    pub(crate) currency: Cow<'a, str>,
    /// Its state.
    #[serde(borrow)]
    #[expect(dead_code, reason = "the contract demands it; nothing is decided by it")]
    status: Cow<'a, str>,
}

impl<'a> Payment<'a> {
    /// Reads a payment; says in words what is wrong with it otherwise.
    pub(crate) fn read(body: &'a [u8]) -> Result<Payment<'a>, String> {
        serde_json::from_slice(body).map_err(|error| error.to_string())
    }

    /// Its id, if it is one.
    pub(crate) fn id(&self) -> Option<OrderId> {
        OrderId::new(&self.payment_id)
    }

    /// The id of its order.
    pub(crate) fn order_id(&self) -> Option<OrderId> {
        OrderId::new(&self.order_id)
    }
}

#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
}

/// The code of a refusal, if its body is a problem with one.
pub(crate) fn refusal_code(body: &[u8]) -> Option<Cow<'_, str>> {
    serde_json::from_slice::<Problem<'_>>(body).ok().map(|problem| problem.code)
}

#[cfg(test)]
mod tests {
    use super::{Order, refusal_code};

    const ORDER: &str = r#"{"order_id":"01KA0000000000000000000001","version":1,"status":"reserved","buyer":"alice",
        "items":[{"sku":"iphone","quantity":1,"unit_price":599900,"amount":599900,
        "lots":[{"lot":"L1","quantity":1,"unit_price":599900}]}],"amount":599900,"currency":"CNY",
        "created_at":"2026-11-11T00:00:00.012Z","expires_at":"2026-11-11T00:10:00.012Z","new_field":[1]}"#;

    #[test]
    fn what_may_change_does_not_count_as_a_change() {
        let first = Order::read(ORDER.as_bytes()).unwrap().fingerprint();
        let later =
            ORDER.replace(r#""version":1"#, r#""version":2"#).replace("reserved", "expired");
        assert_eq!(Order::read(later.as_bytes()).unwrap().fingerprint().difference(&first), None);
    }

    #[test]
    fn what_may_not_change_is_named() {
        let first = Order::read(ORDER.as_bytes()).unwrap().fingerprint();
        for (from, to, part) in [
            ("alice", "bob", "buyer"),
            (r#""L1""#, r#""L2""#, "items"),
            (r#""amount":599900,"currency""#, r#""amount":599901,"currency""#, "amount"),
            ("CNY", "EUR", "amount"),
            ("00:00:00.012Z\",\"exp", "00:00:00.013Z\",\"exp", "created_at"),
        ] {
            let changed = ORDER.replace(from, to);
            assert_ne!(changed, ORDER);
            assert_eq!(
                Order::read(changed.as_bytes()).unwrap().fingerprint().difference(&first),
                Some(part)
            );
        }
    }

    #[test]
    fn an_order_is_held_against_its_request() {
        let order = Order::read(ORDER.as_bytes()).unwrap();
        let differs =
            |buyer, skus: &[&str], quantity| order.differs_from_request(buyer, skus, quantity);
        assert_eq!(differs("alice", &["iphone"], 1), None);
        assert_eq!(differs("bob", &["iphone"], 1), Some("buyer"));
        assert_eq!(differs("alice", &["iphone"], 2), Some("items"));
        assert_eq!(differs("alice", &["case"], 1), Some("items"));
        assert_eq!(differs("alice", &["iphone", "case"], 1), Some("items"));
    }

    #[test]
    fn the_lines_of_a_basket_are_those_asked_for_and_add_up() {
        let item = |sku: &str, amount: u64| {
            format!(
                r#"{{"sku":"{sku}","quantity":2,"amount":{amount},"lots":[{{"lot":"L","quantity":1,"unit_price":5}},
                {{"lot":"M","quantity":1,"unit_price":7}}]}}"#
            )
        };
        let differs = |items: [String; 2], amount: u64| {
            let text = format!(
                r#"{{"order_id":"01KA","status":"reserved","buyer":"b","items":[{}],"amount":{amount},
                "currency":"CNY","created_at":"2026-11-11T00:00:00Z"}}"#,
                items.join(",")
            );
            Order::read(text.as_bytes()).unwrap().differs_from_request("b", &["x", "y"], 2)
        };
        assert_eq!(differs([item("y", 12), item("x", 12)], 24), None);
        assert_eq!(differs([item("y", 12), item("y", 12)], 24), Some("items"));
        assert_eq!(differs([item("y", 12), item("x", 12)], 23), Some("amount"));
        assert_eq!(differs([item("y", 13), item("x", 12)], 25), Some("amount"));
    }

    #[test]
    fn an_order_that_waited_may_get_its_amount_and_keep_it() {
        let waiting = ORDER
            .replace("reserved", "waiting")
            .replace(r#""amount":599900,"currency""#, r#""amount":null,"currency""#);
        let before = Order::read(waiting.as_bytes()).unwrap();
        assert_eq!(before.differs_from_request("alice", &["iphone"], 1), None);
        let after = Order::read(ORDER.as_bytes()).unwrap().fingerprint();
        assert_eq!(after.difference(&before.fingerprint()), None);
        assert!(after.is_amount(599_900, "CNY") && !after.is_amount(599_901, "CNY"));
        assert!(!before.fingerprint().is_amount(599_900, "CNY"));
        let unpriced =
            ORDER.replace(r#""amount":599900,"currency""#, r#""amount":null,"currency""#);
        let unpriced = Order::read(unpriced.as_bytes()).unwrap();
        assert_eq!(unpriced.differs_from_request("alice", &["iphone"], 1), Some("amount"));
    }

    #[test]
    fn times_are_read_in_microseconds() {
        let order = Order::read(ORDER.as_bytes()).unwrap();
        let created = order.created_us().unwrap();
        assert_eq!(created % 1_000_000, 12_000);
        assert_eq!(order.expires_us(), Ok(Some(created + 600_000_000)));
        let waiting = ORDER.replace(r#","expires_at":"2026-11-11T00:10:00.012Z""#, "");
        assert_eq!(Order::read(waiting.as_bytes()).unwrap().expires_us(), Ok(None));
        let broken = ORDER.replace("2026-11-11T00:10", "soon");
        assert!(Order::read(broken.as_bytes()).unwrap().expires_us().is_err());
    }

    #[test]
    fn ids_that_do_not_fit_a_path_are_no_ids() {
        for id in ["", "a/b", "0123456789012345678901234567890123456789", "a b"] {
            let body = ORDER.replace("01KA0000000000000000000001", id);
            assert_eq!(Order::read(body.as_bytes()).unwrap().id(), None, "{id}");
        }
        let order = Order::read(ORDER.as_bytes()).unwrap();
        assert_eq!(order.id().unwrap().as_str(), "01KA0000000000000000000001");
    }

    #[test]
    fn codes_are_read_from_problems_only() {
        assert_eq!(
            refusal_code(br#"{"title":"x","code":"sold_out"}"#).as_deref(),
            Some("sold_out")
        );
        assert_eq!(refusal_code(br#"{"title":"the \"code\":\"x\""}"#), None);
        assert_eq!(refusal_code(b"Bad Gateway"), None);
    }
}
