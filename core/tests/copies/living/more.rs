//! More orders, as often as they are asked for: each time of the same SKU, which gets more units.

use std::sync::atomic::{AtomicU64, Ordering};

use sluice_core::command::{Buyer, Cancel, Command, DefineSku, Place, PlaceLine, ReceiveLot};
use sluice_core::engine::Handle;
use sluice_core::id::OrderId;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId};
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;
use smallvec::smallvec;

use super::selling::{REQUEST, ask};

/// No two orders of a process draw the same.
static DRAWN: AtomicU64 = AtomicU64::new(5_000_000);

/// Sells `orders` more of the SKU `more`, every third of which is cancelled.
pub(crate) fn sell_more(handle: &Handle, orders: u32) {
    sell_for(handle, orders, 600);
}

/// The same, held for so many seconds.
pub(crate) fn sell_for(handle: &Handle, orders: u32, hold_seconds: u32) {
    let sku = SkuId::new("more").expect("a name");
    let units = |units: u32| Quantity::new(units).expect("in range");
    ask(
        handle,
        Command::DefineSku(Box::new(DefineSku {
            sku: sku.clone(),
            title: Box::from("More"),
            unit_price: Amount::new(500).expect("in range"),
            currency: Currency::new("CNY").expect("a code"),
            per_buyer_limit: 0,
            hold_seconds,
            standby_pass: false,
            if_revision: None,
            request: REQUEST,
        })),
    );
    let lot = format!("L{}", DRAWN.fetch_add(1, Ordering::Relaxed));
    let receive = ReceiveLot {
        sku: sku.clone(),
        lot: LotId::new(&lot).expect("a name"),
        quantity: units(orders),
        unit_price: None,
        request: REQUEST,
    };
    ask(handle, Command::ReceiveLot(Box::new(receive)));
    for number in 0..orders {
        let buyer = Buyer::new(handle.hash_key(), &format!("buyer-{}", number % 7));
        let drawn = DRAWN.fetch_add(1, Ordering::Relaxed);
        let order = OrderId::new(handle.now(), 1, buyer.slot, drawn);
        let lines = smallvec![PlaceLine { sku: sku.clone(), quantity: units(1) }];
        let (digest, request) = (buyer.digest, REQUEST);
        let place = Place {
            order,
            key: None,
            fingerprint: Place::fingerprint_of(&lines, false, None),
            buyer,
            lines,
            standby: false,
            max_amount: None,
            request,
        };
        let outcome = ask(handle, Command::Place(Box::new(place)));
        assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
        if number % 3 == 0 {
            let cancel = Cancel { order, buyer: digest, request };
            ask(handle, Command::Cancel(Box::new(cancel)));
        }
    }
}
