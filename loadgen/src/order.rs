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
    #[serde(borrow)]
    currency: Cow<'a, str>,
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

    /// What of the order is not what was asked for.
    pub(crate) fn differs_from_request(
        &self,
        buyer: &str,
        sku: &str,
        quantity: u32,
    ) -> Option<&'static str> {
        if self.buyer != buyer {
            return Some("buyer");
        }
        match self.items.as_slice() {
            [item] if item.sku == sku && item.quantity == u64::from(quantity) => None,
            _ => Some("items"),
        }
    }

    /// What may never change of it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            buyer: short_hash(&self.buyer),
            items: short_hash(&self.items),
            amount: short_hash(&(self.amount, &self.currency)),
            created_at: short_hash(&self.created_at),
        }
    }

    /// Whether its units are taken: from stock, and of the buyer's limit.
    pub(crate) fn takes_units(&self) -> bool {
        !matches!(&*self.status, "waiting" | "expired" | "cancelled" | "refunding" | "refunded")
    }
}

/// Reads a time as RFC 3339 writes it.
fn read_time(field: &str, text: &str) -> Result<i64, String> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(jiff::Timestamp::as_microsecond).map_err(|_| format!("{field} is no time"))
}

/// Hashes of the parts of an order that may never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    buyer: u32,
    items: u32,
    amount: u32,
    created_at: u32,
}

impl Fingerprint {
    /// The first part that differs.
    pub(crate) fn difference(&self, other: &Fingerprint) -> Option<&'static str> {
        [
            ("buyer", self.buyer, other.buyer),
            ("items", self.items, other.items),
            ("amount", self.amount, other.amount),
            ("created_at", self.created_at, other.created_at),
        ]
        .into_iter()
        .find_map(|(part, left, right)| (left != right).then_some(part))
    }
}

fn short_hash(value: &impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish() as u32
}

/// The id of an order, held in place.
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
        assert_eq!(order.differs_from_request("alice", "iphone", 1), None);
        assert_eq!(order.differs_from_request("bob", "iphone", 1), Some("buyer"));
        assert_eq!(order.differs_from_request("alice", "iphone", 2), Some("items"));
        assert_eq!(order.differs_from_request("alice", "case", 1), Some("items"));
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
