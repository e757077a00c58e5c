//! Lists as JSON, spelled as the HTTP contract spells them. Names and numbers need no escapes.

use std::fmt::Write as _;

use crate::event::Line;
use crate::name::SkuId;

/// The items of an order. What waits has no amount and no lots.
pub(super) fn items(lines: &[Line]) -> String {
    list(lines, |json, line| {
        let (sku, quantity) = (&line.sku, line.quantity.units());
        let _ = write!(json, "{{\"sku\":\"{sku}\",\"quantity\":{quantity}");
        let price = line.draws.first().map(|draw| draw.unit_price);
        if let Some(price) = price
            && line.draws.iter().all(|draw| draw.unit_price == price)
        {
            let _ = write!(json, ",\"unit_price\":{}", price.minor());
        }
        match line.amount().filter(|_| !line.draws.is_empty()) {
            Some(amount) => {
                let _ = write!(json, ",\"amount\":{}", amount.minor());
            }
            None => json.push_str(",\"amount\":null"),
        }
        json.push_str(",\"lots\":");
        json.push_str(&list(&line.draws, |json, draw| {
            let (lot, quantity) = (&draw.lot, draw.quantity.units());
            let price = draw.unit_price.minor();
            let _ = write!(json, "{{\"lot\":\"{lot}\",\"quantity\":{quantity}");
            let _ = write!(json, ",\"unit_price\":{price}}}");
        }));
        json.push('}');
    })
}

/// The names of SKUs.
pub(super) fn names(skus: &[SkuId]) -> String {
    list(skus, |json, sku| {
        let _ = write!(json, "\"{sku}\"");
    })
}

fn list<T>(elements: &[T], mut write: impl FnMut(&mut String, &T)) -> String {
    let mut json = String::from("[");
    for (number, element) in elements.iter().enumerate() {
        if number > 0 {
            json.push(',');
        }
        write(&mut json, element);
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::{items, names};
    use crate::event::{Draw, Line};
    use crate::money::Amount;
    use crate::name::{LotId, SkuId};
    use crate::quantity::Quantity;

    fn sku(name: &str) -> SkuId {
        SkuId::new(name).expect("a name")
    }

    fn draw(lot: &str, units: u32, price: u64) -> Draw {
        Draw {
            lot: LotId::new(lot).expect("a name"),
            ordinal: 0,
            quantity: Quantity::new(units).expect("in range"),
            unit_price: Amount::new(price).expect("in range"),
        }
    }

    fn line(draws: &[Draw]) -> Line {
        Line {
            sku: sku("a"),
            quantity: Quantity::new(2).expect("in range"),
            sale: None,
            draws: draws.iter().cloned().collect(),
        }
    }

    #[test]
    fn items_are_spelled_as_in_the_contract() {
        assert_eq!(
            items(&[line(&[draw("L", 2, 7)])]),
            "[{\"sku\":\"a\",\"quantity\":2,\"unit_price\":7,\"amount\":14,\
             \"lots\":[{\"lot\":\"L\",\"quantity\":2,\"unit_price\":7}]}]"
        );
        let two = items(&[line(&[draw("L", 1, 7), draw("M", 1, 8)]), line(&[])]);
        assert!(two.starts_with("[{\"sku\":\"a\",\"quantity\":2,\"amount\":15,"), "{two}");
        let waiting = "{\"sku\":\"a\",\"quantity\":2,\"amount\":null,\"lots\":[]}]";
        assert!(two.ends_with(waiting), "{two}");
        assert_eq!(names(&[]), "[]");
        assert_eq!(names(&[sku("a"), sku("b")]), "[\"a\",\"b\"]");
    }
}
