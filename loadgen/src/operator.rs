//! The operators' side: setting up SKUs, and the counters that only operators see.

use serde_json::{Value, json};

use crate::call::Caller;
use crate::error::Result;
use crate::limits;
use crate::work::{Orders, Setup};

/// The counters of one SKU, as operators see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Units that ever arrived.
    pub(crate) received: u64,
    /// Units nobody holds.
    pub(crate) available: u64,
    /// Units held for unpaid orders.
    pub(crate) held: u64,
    /// Units paid for.
    pub(crate) sold: u64,
    /// Units taken back.
    pub(crate) withdrawn: u64,
    /// The limit for each buyer, where the server tells it.
    pub(crate) per_buyer_limit: Option<u64>,
}

/// Creates the SKUs of a plan and adds a lot (or, for much stock, several) to each.
pub(crate) fn set_up(ops: &Caller, orders: &Orders, setup: &Setup, run_id: &str) -> Result<()> {
    for sku in &orders.skus {
        let body = json!({
            "name": sku,
            "unit_price": setup.unit_price,
            "currency": setup.currency,
            "per_buyer_limit": orders.per_buyer_limit.unwrap_or(0),
            "hold_seconds": setup.hold_seconds,
        });
        let reply = ops.call("PUT", &format!("/admin/v1/skus/{sku}"), Some(&body))?;
        if !matches!(reply.status, 200 | 201 | 204) {
            return Err(reply.refused("the SKU could not be set up"));
        }
        for (lot, quantity) in lots(setup.stock).enumerate() {
            let body = json!({ "lot": format!("{run_id}-{lot}"), "quantity": quantity });
            let reply = ops.call("POST", &format!("/admin/v1/skus/{sku}/lots"), Some(&body))?;
            if !matches!(reply.status, 200 | 201) {
                return Err(reply.refused("the lot could not be added"));
            }
        }
    }
    Ok(())
}

fn lots(stock: u64) -> impl Iterator<Item = u64> {
    let lot_max = u64::from(*limits::QUANTITY.end());
    (0..stock.div_ceil(lot_max)).map(move |lot| lot_max.min(stock - lot * lot_max))
}

/// Reads the counters of one SKU.
pub(crate) fn counters(ops: &Caller, sku: &str) -> Result<Counters> {
    let needed = "the audit needs received, available, held, sold and withdrawn of the SKU";
    let reply = ops.call("GET", &format!("/admin/v1/skus/{sku}"), None)?;
    let value = reply.json(&[200], needed)?;
    read_counters(&value).ok_or_else(|| reply.refused(needed))
}

fn read_counters(value: &Value) -> Option<Counters> {
    let counter = |name: &str| value.get(name).and_then(Value::as_u64);
    Some(Counters {
        received: counter("received")?,
        available: counter("available")?,
        held: counter("held")?,
        sold: counter("sold")?,
        withdrawn: counter("withdrawn")?,
        per_buyer_limit: counter("per_buyer_limit"),
    })
}

/// What the server's own audit says of overselling: `None` where it says nothing.
pub(crate) fn oversold(ops: &Caller) -> Result<Option<u64>> {
    let reply = ops.call("GET", "/admin/v1/audit", None)?;
    let value = reply.json(&[200], "the audit needs the server's own audit")?;
    Ok(read_oversold(&value))
}

/// A number of units, or a list of the SKUs concerned.
fn read_oversold(value: &Value) -> Option<u64> {
    match value.get("oversold")? {
        Value::Array(skus) => Some(skus.len() as u64),
        number => number.as_i64().map(i64::unsigned_abs),
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, lots, read_counters, read_oversold};
    use serde_json::json;

    #[test]
    fn much_stock_comes_in_several_lots() {
        assert_eq!(lots(5).collect::<Vec<_>>(), [5]);
        assert_eq!(lots(1_000_000).collect::<Vec<_>>(), [1_000_000]);
        assert_eq!(lots(2_000_001).collect::<Vec<_>>(), [1_000_000, 1_000_000, 1]);
    }

    #[test]
    fn counters_are_all_there_or_none() {
        let value = json!({"sku":"a","received":5,"available":1,"held":2,"sold":1,"withdrawn":1,"standby":0});
        let counters = Counters {
            received: 5,
            available: 1,
            held: 2,
            sold: 1,
            withdrawn: 1,
            per_buyer_limit: None,
        };
        assert_eq!(read_counters(&value), Some(counters));
        assert_eq!(
            read_counters(&json!({"received":5,"available":-1,"held":2,"sold":1,"withdrawn":1})),
            None
        );
    }

    #[test]
    fn oversold_is_read_as_a_number_or_a_list() {
        assert_eq!(read_oversold(&json!({"oversold":0})), Some(0));
        assert_eq!(read_oversold(&json!({"oversold":[]})), Some(0));
        assert_eq!(read_oversold(&json!({"oversold":3})), Some(3));
        assert_eq!(read_oversold(&json!({"oversold":["a"]})), Some(1));
        assert_eq!(read_oversold(&json!({})), None);
    }
}
