//! Orders, as the contract shows them.

use sluice_core::event::{Line, OrderStatus};
use sluice_core::outcome::OrderView;

use super::write::Writer;

/// Writes one order of `buyer`.
pub(crate) fn order(json: &mut Writer, view: &OrderView, buyer: &str) {
    json.raw("{\"order_id\":\"").id(view.order.ascii());
    json.raw("\",\"version\":").number(u64::from(view.version));
    json.raw(",\"status\":\"").raw(view.status.as_str());
    json.raw("\",\"buyer\":").string(buyer);
    json.raw(",\"items\":").list(&view.lines, line);
    json.raw(",\"amount\":").number(view.amount.minor());
    json.raw(",\"currency\":\"").raw(view.currency.as_str());
    json.raw("\",\"created_at\":").time(view.created_at);
    if view.status == OrderStatus::Reserved {
        json.raw(",\"expires_at\":").time(view.expires_at);
    }
    json.raw("}");
}

fn line(json: &mut Writer, line: &Line) {
    json.raw("{\"sku\":\"").raw(line.sku.as_str());
    json.raw("\",\"quantity\":").number(line.quantity.units());
    let price = line.draws.first().map(|draw| draw.unit_price);
    if let Some(price) = price
        && line.draws.iter().all(|draw| draw.unit_price == price)
    {
        json.raw(",\"unit_price\":").number(price.minor());
    }
    let amount = line.amount().expect("the order's amount was checked when it was placed");
    json.raw(",\"amount\":").number(amount.minor());
    json.raw(",\"lots\":").list(&line.draws, |json, draw| {
        json.raw("{\"lot\":\"").raw(draw.lot.as_str());
        json.raw("\",\"quantity\":").number(draw.quantity.units());
        json.raw(",\"unit_price\":").number(draw.unit_price.minor()).raw("}");
    });
    json.raw("}");
}

#[cfg(test)]
mod tests {
    use super::{Writer, order};
    use sluice_core::event::{Draw, Line, OrderStatus};
    use sluice_core::id::OrderId;
    use sluice_core::money::{Amount, Currency};
    use sluice_core::name::{LotId, SkuId};
    use sluice_core::outcome::OrderView;
    use sluice_core::quantity::Quantity;
    use sluice_core::time::Timestamp;

    fn draw(lot: &str, units: u32, price: u64) -> Draw {
        Draw {
            lot: LotId::new(lot).expect("a name"),
            ordinal: 0,
            quantity: Quantity::new(units).expect("in range"),
            unit_price: Amount::new(price).expect("in range"),
        }
    }

    fn view(draws: &[Draw], status: OrderStatus) -> OrderView {
        let units = draws.iter().map(|draw| draw.quantity.get()).sum();
        let line = Line {
            sku: SkuId::new("iphone").expect("a name"),
            quantity: Quantity::new(units).expect("in range"),
            draws: draws.iter().cloned().collect(),
        };
        OrderView {
            order: OrderId::from_bits(0),
            version: 1,
            status,
            amount: line.amount().expect("in range"),
            lines: [line].into_iter().collect(),
            currency: Currency::new("CNY").expect("a code"),
            created_at: Timestamp::from_micros(1_794_355_200_012_345),
            expires_at: Timestamp::from_micros(1_794_355_800_012_345),
        }
    }

    fn written(view: &OrderView) -> String {
        let mut json = Writer::default();
        order(&mut json, view, "alice");
        String::from_utf8(json.into_bytes()).expect("UTF-8")
    }

    #[test]
    fn an_order_is_written_as_in_the_contract() {
        let view = view(&[draw("L1", 1, 599_900)], OrderStatus::Reserved);
        assert_eq!(
            written(&view),
            "{\"order_id\":\"00000000000000000000000000\",\"version\":1,\"status\":\"reserved\",\
             \"buyer\":\"alice\",\"items\":[{\"sku\":\"iphone\",\"quantity\":1,\"unit_price\":599900,\
             \"amount\":599900,\"lots\":[{\"lot\":\"L1\",\"quantity\":1,\"unit_price\":599900}]}],\
             \"amount\":599900,\"currency\":\"CNY\",\"created_at\":\"2026-11-11T00:00:00.012Z\",\
             \"expires_at\":\"2026-11-11T00:10:00.012Z\"}"
        );
    }

    #[test]
    fn a_line_has_a_price_only_if_its_lots_agree_and_a_deadline_only_while_reserved() {
        let agreeing = view(&[draw("L1", 1, 7), draw("L2", 2, 7)], OrderStatus::Cancelled);
        let text = written(&agreeing);
        assert!(text.contains("\"quantity\":3,\"unit_price\":7,\"amount\":21"), "{text}");
        assert!(!text.contains("expires_at"), "{text}");
        let text = written(&view(&[draw("L1", 1, 7), draw("L2", 2, 8)], OrderStatus::Reserved));
        assert!(text.contains("\"quantity\":3,\"amount\":23"), "{text}");
        serde_json::from_str::<serde_json::Value>(&text).expect("valid JSON");
    }
}
