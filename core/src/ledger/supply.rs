//! What operators do to a SKU: its terms, lots and withdrawals.

use std::sync::Arc;

use crate::command::{DefineSku, ReceiveLot, Withdraw};
use crate::event::{Actor, Event, LotReceived, Meta, SkuDefined, UnitsWithdrawn};
use crate::id::RequestId;
use crate::name::SkuId;
use crate::outcome::{Outcome, Refusal, SaleView, StockView};

use super::stock::Withdrawable;
use super::turn::Turn;
use super::{Ledger, SkuStock};

impl Ledger {
    pub(super) fn define_sku(&mut self, turn: &mut Turn<'_>, define: &DefineSku) -> Outcome {
        let known = self.stocks.get(&define.sku);
        let revision = known.map_or(0, |stock| stock.revision());
        if define.if_revision.is_some_and(|expected| expected != revision) {
            return Outcome::Refused(Refusal::RevisionChanged { revision });
        }
        match known {
            Some(stock) if stock.is_priced() && stock.currency() != define.currency => {
                let currency = stock.currency();
                return Outcome::Refused(Refusal::CurrencyFixed { currency });
            }
            None if self.stocks.len() >= self.limits.skus_max => {
                return Outcome::Refused(Refusal::Capacity { ceiling: "SKUs" });
            }
            _ => {}
        }
        let defined = SkuDefined {
            sku: define.sku.clone(),
            revision: revision + 1,
            title: &define.title,
            unit_price: define.unit_price,
            currency: define.currency,
            per_buyer_limit: define.per_buyer_limit,
            hold_seconds: define.hold_seconds,
            standby_pass: define.standby_pass,
            sale: self.awaited.get(&define.sku).map(|sale| sale.sale.clone()),
        };
        turn.recorder.record(&operator(turn, define.request), &Event::SkuDefined(defined.clone()));
        self.apply_sku_defined(&defined);
        // Those who wait may pass each other now, or no more.
        self.stir(turn, &define.sku);
        self.stock_outcome(turn, &define.sku, revision == 0)
    }

    pub(super) fn receive_lot(&mut self, turn: &mut Turn<'_>, receive: &ReceiveLot) -> Outcome {
        let Some(stock) = self.stocks.get_mut(&receive.sku) else {
            return Outcome::Refused(Refusal::SkuNotFound);
        };
        if let Some(lot) = stock.lots.by_name(&receive.lot) {
            let same = lot.counters.received == receive.quantity.units()
                && lot.unit_price == receive.unit_price;
            return match same {
                true => self.stock_outcome(turn, &receive.sku, false),
                false => Outcome::Refused(Refusal::LotExists),
            };
        }
        let ordinal = stock.lots.as_slice().len();
        if ordinal >= self.limits.lots_per_sku_max {
            return Outcome::Refused(Refusal::Capacity { ceiling: "lots of one SKU" });
        }
        let received = LotReceived {
            sku: receive.sku.clone(),
            lot: receive.lot.clone(),
            ordinal: ordinal as u32,
            quantity: receive.quantity,
            unit_price: receive.unit_price,
        };
        turn.recorder
            .record(&operator(turn, receive.request), &Event::LotReceived(received.clone()));
        stock.receive(&received);
        self.stir(turn, &receive.sku);
        self.stock_outcome(turn, &receive.sku, true)
    }

    pub(super) fn withdraw(&mut self, turn: &mut Turn<'_>, withdraw: &Withdraw) -> Outcome {
        let Some(stock) = self.stocks.get_mut(&withdraw.sku) else {
            return Outcome::Refused(Refusal::SkuNotFound);
        };
        if let Some((quantity, reason)) = stock.withdrawals.get(&withdraw.withdrawal) {
            return match *quantity == withdraw.quantity && *reason == withdraw.reason {
                true => self.stock_outcome(turn, &withdraw.sku, false),
                false => Outcome::Refused(Refusal::WithdrawalExists),
            };
        }
        if stock.withdrawals.len() >= self.limits.withdrawals_per_sku_max {
            return Outcome::Refused(Refusal::Capacity { ceiling: "withdrawals of one SKU" });
        }
        let draws = match stock.offer_withdrawal(withdraw.quantity) {
            Withdrawable::Here(draws) => draws,
            Withdrawable::Lacking => {
                return Outcome::Refused(Refusal::SoldOut { sku: withdraw.sku.clone() });
            }
            // Orders in flight have set them aside, and may let them go again.
            Withdrawable::Unsettled => return Outcome::Refused(Refusal::Overloaded),
        };
        let withdrawn = UnitsWithdrawn {
            sku: withdraw.sku.clone(),
            withdrawal: withdraw.withdrawal.clone(),
            quantity: withdraw.quantity,
            reason: &withdraw.reason,
            draws,
        };
        let meta = operator(turn, withdraw.request);
        turn.recorder.record(&meta, &Event::UnitsWithdrawn(withdrawn.clone()));
        stock.withdraw(&withdrawn);
        self.retry_parked(turn, &withdraw.sku);
        self.stock_outcome(turn, &withdraw.sku, true)
    }

    /// The stocks behind `after`, in order of SKU, at most `limit` of them.
    pub(super) fn list_stocks(
        &self,
        shard: usize,
        after: Option<&SkuId>,
        limit: usize,
        lots: bool,
    ) -> Vec<StockView> {
        let behind = |stock: &&SkuStock| after.is_none_or(|after| stock.sku() > after);
        let mut stocks: Vec<&SkuStock> = self.stocks().filter(behind).collect();
        if stocks.len() > limit {
            stocks.select_nth_unstable_by(limit, |a, b| a.sku().cmp(b.sku()));
            stocks.truncate(limit);
        }
        stocks.sort_unstable_by(|a, b| a.sku().cmp(b.sku()));
        stocks.into_iter().map(|stock| stock.view_with(shard, lots)).collect()
    }

    pub(super) fn apply_sku_defined(&mut self, defined: &SkuDefined<'_>) {
        match self.stocks.get_mut(&defined.sku) {
            Some(stock) => stock.redefine(defined),
            None => {
                let mut stock = SkuStock::new(defined);
                stock.sale = self.awaited.remove(&defined.sku);
                // Its owner may have heard of the sale's end a moment later.
                if let (None, Some(sale), Some(register)) =
                    (&stock.sale, &defined.sale, &self.register)
                {
                    let sale = register.get(sale);
                    let names = |sale: &&Arc<SaleView>| sale.skus.contains(&defined.sku);
                    stock.sale = sale.filter(names).map(Arc::clone);
                }
                self.stocks.insert(defined.sku.clone(), Box::new(stock));
            }
        }
    }

    fn stock_outcome(&self, turn: &mut Turn<'_>, sku: &SkuId, created: bool) -> Outcome {
        turn.effects.touch(sku);
        let stock = self.stocks.get(sku).expect("it was there");
        Outcome::Stock { created, stock: Box::new(stock.view(turn.shard)) }
    }
}

fn operator(turn: &Turn<'_>, request: RequestId) -> Meta {
    Meta { time: turn.now, actor: Actor::Operator, request }
}
