//! Orders, as the contract shows them.

use sluice_core::event::{Line, OrderStatus};
use sluice_core::money::Amount;
use sluice_core::outcome::OrderView;

use super::write::Writer;

/// Writes one order of `buyer`, if that is known.
pub(crate) fn order(json: &mut Writer, view: &OrderView, buyer: Option<&str>) {
    open_order(json, view, buyer);
    json.raw("}");
}

/// The same without the last brace.
pub(super) fn open_order(json: &mut Writer, view: &OrderView, buyer: Option<&str>) {
    json.raw("{\"order_id\":\"").id(view.order.ascii());
    json.raw("\",\"version\":").number(u64::from(view.version));
    json.raw(",\"status\":\"").raw(view.status.as_str());
    json.raw("\",\"buyer\":").optional_string(buyer);
    json.raw(",\"items\":").list(&view.lines, line);
    json.raw(",\"amount\":");
    amount(json, view.amount);
    json.raw(",\"currency\":\"").raw(view.currency.as_str());
    json.raw("\",\"created_at\":").time(view.created_at);
    if let Some(waits) = view.waits.filter(|_| view.status == OrderStatus::Waiting) {
        json.raw(",\"position\":").number(waits.position);
    }
    if view.status == OrderStatus::Reserved {
        json.raw(",\"expires_at\":").time(view.expires_at);
    }
}

/// Writes an amount; what never got units has none.
fn amount(json: &mut Writer, amount: Option<Amount>) {
    match amount {
        Some(amount) => json.number(amount.minor()),
        None => json.raw("null"),
    };
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
    json.raw(",\"amount\":");
    // The order's amount was checked when it got its units.
    amount(json, line.amount().filter(|_| !line.draws.is_empty()));
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
    use sluice_core::outcome::{OrderView, Waits};
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
            sale: None,
            draws: draws.iter().cloned().collect(),
        };
        OrderView {
            order: OrderId::from_bits(0),
            version: 1,
            status,
            amount: line.amount(),
            lines: [line].into_iter().collect(),
            currency: Currency::new("CNY").expect("a code"),
            created_at: Timestamp::from_micros(1_794_355_200_012_345),
            expires_at: Timestamp::from_micros(1_794_355_800_012_345),
            waits: None,
        }
    }

    fn written(view: &OrderView) -> String {
        let mut json = Writer::default();
        order(&mut json, view, Some("alice"));
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
    fn an_order_that_waits_has_a_place_and_no_price() {
        let mut view = view(&[draw("L1", 2, 7)], OrderStatus::Waiting);
        view.lines[0].draws.clear();
        view.amount = None;
        view.waits = Some(Waits { ticket: 9, position: 3 });
        let text = written(&view);
        let items = "\"items\":[{\"sku\":\"iphone\",\"quantity\":2,\"amount\":null,\"lots\":[]}]";
        assert!(text.contains(items), "{text}");
        assert!(text.contains(",\"amount\":null,\"currency\""), "{text}");
        assert!(text.ends_with(",\"position\":3}"), "{text}");
        view.status = OrderStatus::Cancelled;
        assert!(!written(&view).contains("position"));
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
