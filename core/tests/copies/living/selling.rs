//! A sale of some orders, some of which are cancelled.

use std::sync::mpsc::sync_channel;

use sluice_core::command::{
    Buyer, Cancel, Command, DefineSku, Key, Place, PlaceLine, ReceiveLot, ReplyTo, Withdraw,
};
use sluice_core::engine::Handle;
use sluice_core::id::{OrderId, RequestId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::Outcome;
use sluice_core::quantity::Quantity;
use smallvec::smallvec;

pub(crate) const REQUEST: RequestId = RequestId::from_bits(7);

pub(crate) fn ask(handle: &Handle, command: Command) -> Outcome {
    let (sender, receiver) = sync_channel(1);
    let reply = ReplyTo::Call(Box::new(move |outcome| {
        let _ = sender.send(outcome);
    }));
    handle.submit(command, reply, handle.now()).expect("there is room");
    receiver.recv().expect("an answer")
}

pub(crate) fn sell(handle: &Handle, orders: u64) {
    let sku = |number: u64| SkuId::new(&format!("sku-{}", number % 3)).expect("a name");
    let quantity = |units: u32| Quantity::new(units).expect("in range");
    for number in 0..3 {
        ask(
            handle,
            Command::DefineSku(Box::new(DefineSku {
                sku: sku(number),
                title: Box::from("it's a \"title\""),
                unit_price: Amount::new(500).expect("in range"),
                currency: Currency::new("CNY").expect("a code"),
                per_buyer_limit: 0,
                hold_seconds: 600,
                standby_pass: false,
                if_revision: None,
                request: REQUEST,
            })),
        );
        for (lot, price) in [("L1", None), ("L2", Some(700))] {
            ask(
                handle,
                Command::ReceiveLot(Box::new(ReceiveLot {
                    sku: sku(number),
                    lot: LotId::new(lot).expect("a name"),
                    quantity: quantity(orders as u32),
                    unit_price: price.and_then(Amount::new),
                    request: REQUEST,
                })),
            );
        }
    }
    for number in 0..orders {
        let buyer = Buyer::new(handle.hash_key(), &format!("buyer-{}", number % 7));
        let key = (number % 2 == 0)
            .then(|| Key::new(handle.hash_key(), &buyer, &format!("key-{number}")));
        let mut lines = smallvec![PlaceLine { sku: sku(number), quantity: quantity(2) }];
        if number % 5 == 0 {
            lines.push(PlaceLine { sku: sku(number + 1), quantity: quantity(1) });
        }
        lines.sort_unstable_by(|a: &PlaceLine, b| a.sku.cmp(&b.sku));
        let order = OrderId::new(handle.now(), 1, buyer.slot, number);
        let (digest, request) = (buyer.digest, REQUEST);
        let outcome = ask(
            handle,
            Command::Place(Box::new(Place {
                order,
                key,
                fingerprint: Place::fingerprint_of(&lines, false, None),
                buyer,
                lines,
                standby: false,
                max_amount: None,
                request,
            })),
        );
        assert!(matches!(outcome, Outcome::Placed(_)), "{outcome:?}");
        if number % 3 == 0 {
            let cancel = Cancel { order, buyer: digest, request };
            let outcome = ask(handle, Command::Cancel(Box::new(cancel)));
            assert!(matches!(outcome, Outcome::Order(_)), "{outcome:?}");
        }
    }
    let withdraw = Withdraw {
        sku: sku(0),
        withdrawal: WithdrawalId::new("W1").expect("a name"),
        quantity: quantity(1),
        reason: Box::from("broken"),
        request: REQUEST,
    };
    ask(handle, Command::Withdraw(Box::new(withdraw)));
}
