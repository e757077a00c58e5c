//! Operators: shelves, sales, refunds and parcels.

use sluice_core::command::{DefineSale, DefineSku, ReceiveLot, Refund, Ship, Withdraw};
use sluice_core::event::SaleMove;
use sluice_core::id::RequestId;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SaleId, SkuId, WithdrawalId};
use sluice_core::quantity::Quantity;

use crate::chance::Chance;
use crate::requests::Body;

use super::{Clients, Sight};

/// Sales that operators know of: one more than there may be.
const SALES: u64 = 5;

impl Clients {
    pub(super) fn define(&self, chance: &mut Chance, sku: SkuId, sight: Sight<'_>) -> Body {
        let second = chance.one_in(8);
        let currency = Currency::new(if second { "EUR" } else { "CNY" }).expect("a code");
        let known = sight.model.skus.get(&sku).map_or(0, |sku| sku.newest_terms().revision);
        Body::Define(Box::new(DefineSku {
            sku,
            title: format!("{:1$}", chance.below(3), chance.index(250)).into(),
            unit_price: Amount::new(chance.between(1, 300)).expect("in range"),
            currency,
            per_buyer_limit: *chance.pick(&[0, 0, 2, 4, 7]),
            hold_seconds: chance.between(1, sight.profile.hold_seconds_max) as u32,
            standby_pass: sight.profile.standby && chance.one_in(4),
            if_revision: chance.one_in(6).then(|| known + u32::from(chance.one_in(3))),
            request: RequestId::NONE,
        }))
    }

    pub(super) fn receive(&mut self, chance: &mut Chance, sku: SkuId, sight: Sight<'_>) -> Body {
        let again = self.lots > 0 && chance.one_in(5);
        if !again {
            self.lots += 1;
        }
        let number = if again { chance.below(self.lots) + 1 } else { self.lots };
        let units = chance.between(1, sight.profile.lot_units_max) as u32;
        let own_price = chance.one_in(2);
        Body::Receive(ReceiveLot {
            sku,
            lot: LotId::new(&format!("lot-{number}")).expect("a name"),
            quantity: Quantity::new(units).expect("in range"),
            unit_price: own_price.then(|| Amount::new(chance.between(1, 300)).expect("in range")),
            request: RequestId::NONE,
        })
    }

    pub(super) fn withdraw(&self, chance: &mut Chance) -> Body {
        Body::Withdraw(Withdraw {
            sku: chance.pick(&self.skus).clone(),
            withdrawal: WithdrawalId::new(&format!("w-{}", chance.below(7))).expect("a name"),
            quantity: Quantity::new(chance.between(1, 2) as u32).expect("in range"),
            reason: "counted again".into(),
            request: RequestId::NONE,
        })
    }
    /// A sale of some SKUs, which may not exist yet. Most are open at once.
    pub(super) fn define_sale(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let sale = some_sale(chance);
        let most = sight.profile.limits.skus_per_sale_max as u64;
        let count = if chance.one_in(12) { most + 1 } else { chance.between(1, most) };
        let mut skus: Vec<SkuId> = (0..count).map(|_| chance.pick(&self.skus).clone()).collect();
        skus.sort_unstable();
        skus.dedup();
        let pace = sight.profile.advance_us_max;
        let starts_at = match chance.below(4) {
            0 => sight.now.plus_micros(chance.below(10 * pace)),
            _ => sight.now,
        };
        let ends_at = sight.now.plus_micros(chance.between(10 * pace, 80 * pace));
        let known = sight.model.sales.get(&sale).and_then(|past| past.last());
        let known = known.map_or(0, |(_, sale)| sale.revision);
        Body::DefineSale(Box::new(DefineSale {
            sale,
            title: format!("sale {}", chance.below(100)).into(),
            starts_at,
            ends_at: ends_at.max(starts_at.plus_micros(1)),
            per_buyer_limit: *chance.pick(&[0, 0, 3, 5]),
            skus,
            if_revision: chance.one_in(6).then(|| known + u32::from(chance.one_in(3))),
            request: RequestId::NONE,
        }))
    }

    /// A pause, a resumption or, now and then, an end; mostly one that changes something.
    pub(super) fn move_sale(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let newest = sight.model.sales.values().filter_map(|past| past.last());
        let running: Vec<_> = newest.map(|(_, sale)| sale).filter(|sale| !sale.ended).collect();
        if !running.is_empty() && !chance.one_in(4) {
            let sale = chance.pick(&running);
            let to = match chance.below(8) {
                0 => SaleMove::Ended,
                _ if sale.paused => SaleMove::Resumed,
                _ => SaleMove::Paused,
            };
            return Body::MoveSale(sale.sale.clone(), to);
        }
        let to = *chance.pick(&[SaleMove::Ended, SaleMove::Paused, SaleMove::Resumed]);
        Body::MoveSale(some_sale(chance), to)
    }

    /// A refund, a parcel that leaves, or one that arrives.
    pub(super) fn follow_up(&self, chance: &mut Chance, sight: Sight<'_>) -> Body {
        let order = self.some_paid(chance, sight);
        let request = RequestId::NONE;
        match chance.below(4) {
            0 => Body::Refund(Refund { order, return_to_stock: chance.one_in(2), request }),
            1 => Body::Deliver(order),
            _ => Body::Ship(Ship {
                order,
                carrier: "by bicycle".into(),
                tracking_number: format!("{}", chance.below(1_000)).into(),
                request,
            }),
        }
    }
}

fn some_sale(chance: &mut Chance) -> SaleId {
    SaleId::new(&format!("sale-{}", chance.below(SALES))).expect("a name")
}
