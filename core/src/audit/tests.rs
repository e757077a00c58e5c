//! The merge and the fold, without a database.

use super::stock::Stocks;
use crate::event::{Actor, Draw, Event, Line, LotReceived, Meta, OrderEnded};
use crate::id::{OrderId, RequestId};
use crate::money::Amount;
use crate::name::{LotId, SkuId};
use crate::quantity::Quantity;
use crate::time::Timestamp;
use smallvec::smallvec;

fn meta() -> Meta {
    Meta { time: Timestamp::from_micros(5), actor: Actor::Engine, request: RequestId::NONE }
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("in range")
}

#[test]
fn a_lot_that_gives_more_than_it_had_is_told_with_the_first_record_that_shows_it() {
    let (sku, lot) = (SkuId::new("a").expect("a name"), LotId::new("L").expect("a name"));
    let mut stocks = Stocks::default();
    let received = LotReceived {
        sku: sku.clone(),
        lot: lot.clone(),
        ordinal: 0,
        quantity: quantity(5),
        unit_price: None,
    };
    stocks.take(1, &meta(), &Event::LotReceived(received));
    assert_eq!((stocks.oversold(), stocks.unbalanced().count()), (0, 0));
    let draw = Draw { lot, ordinal: 0, quantity: quantity(2), unit_price: Amount::ZERO };
    let draws = smallvec![draw];
    let lines = smallvec![Line { sku: sku.clone(), quantity: quantity(2), sale: None, draws }];
    // Units come back that nobody held.
    let ended = OrderEnded { order: OrderId::from_bits(1), version: 2, lines };
    stocks.take(2, &meta(), &Event::OrderCancelled(ended.clone()));
    stocks.take(3, &meta(), &Event::OrderExpired(ended));
    assert_eq!(stocks.unbalanced().collect::<Vec<_>>(), [(&sku, 2)]);
}
