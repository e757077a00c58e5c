//! What a line asks.

use sluice_core::command::{
    Buyer, Cancel, DefineSale, DefineSku, Key, ListOrders, Notice, Place, PlaceLine, ReceiveLot,
    Refund, Ship, StartPayment, Withdraw,
};
use sluice_core::event::{NoticeKind, SaleMove};
use sluice_core::id::{OrderId, PaymentId, RequestId, SlotId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SaleId, WithdrawalId};
use sluice_core::router::Movable;

use crate::requests::Body;

use super::{Line, Run, quantity, sku};

impl Run {
    pub(super) fn body(&self, line: &Line<'_>) -> Result<Body, String> {
        let request = RequestId::NONE;
        let hash_key = self.world.hash_key().ok_or("the node is down")?;
        let buyer = || line.text("buyer").map(|name| Buyer::new(&hash_key, name));
        Ok(match line.verb {
            "place" => {
                let buyer = buyer()?;
                let key = line.get("key").map(|key| Key::new(&hash_key, &buyer, key));
                let lines = lines(line)?;
                let max_amount = line.amount("max")?;
                let standby = line.get("standby") == Some("yes");
                let fingerprint = Place::fingerprint_of(&lines, standby, max_amount);
                let order = OrderId::from_bits(0);
                let lines = lines.into();
                Body::Place(Box::new(Place {
                    order,
                    buyer,
                    key,
                    lines,
                    standby,
                    max_amount,
                    request,
                    fingerprint,
                }))
            }
            "cancel" => {
                let order = self.order(line)?;
                Body::Cancel(Cancel { order, buyer: buyer()?.digest, request }, name(line)?)
            }
            "read" if line.get("order").is_some() => {
                Body::ReadOrder(self.order(line)?, name(line)?)
            }
            "read" => Body::ReadByKey(name(line)?, line.text("key")?.to_owned()),
            "list" => Body::List(
                ListOrders {
                    slot: buyer()?.slot,
                    buyer: buyer()?.digest,
                    status: None,
                    after: None,
                    limit: line.number("limit", 2)? as usize,
                },
                name(line)?,
            ),
            "pay" | "notify" | "refund" | "ship" | "deliver" => return self.pay(line),
            "sale" | "pause" | "resume" | "end" => return self.sell(line),
            _ => return self.supply(line),
        })
    }

    /// What is asked about payments and parcels.
    fn pay(&self, line: &Line<'_>) -> Result<Body, String> {
        let request = RequestId::NONE;
        Ok(match line.verb {
            "pay" => {
                let (order, buyer) = (self.order(line)?, name(line)?);
                let hash_key = self.world.hash_key().ok_or("the node is down")?;
                let (payment, digest) = (PaymentId::from_bits(0), hash_key.buyer(&buyer));
                Body::StartPayment(StartPayment { payment, order, buyer: digest, request }, buyer)
            }
            "notify" => Body::Notify(self.notice(line)?),
            "refund" => {
                let return_to_stock = line.get("back") != Some("no");
                Body::Refund(Refund { order: self.order(line)?, return_to_stock, request })
            }
            "ship" => Body::Ship(Ship {
                order: self.order(line)?,
                carrier: line.get("carrier").unwrap_or("bicycle").into(),
                tracking_number: line.get("number").unwrap_or("1").into(),
                request,
            }),
            _ => Body::Deliver(self.order(line)?),
        })
    }

    /// What operators ask about sales.
    fn sell(&self, line: &Line<'_>) -> Result<Body, String> {
        let request = RequestId::NONE;
        Ok(match line.verb {
            "sale" => {
                let now = self.world.now();
                let skus = line.text("skus")?.split(',').map(sku);
                let mut skus = skus.collect::<Result<Vec<_>, String>>()?;
                skus.sort_unstable();
                Body::DefineSale(Box::new(DefineSale {
                    sale: sale(line)?,
                    title: line.text("name")?.into(),
                    starts_at: now.plus_micros(line.number("starts", 0)? * 1_000_000),
                    ends_at: now.plus_micros(line.number("ends", 3_600)? * 1_000_000),
                    per_buyer_limit: line.number("limit", 0)? as u32,
                    skus,
                    if_revision: line.get("if").and_then(|text| text.parse().ok()),
                    request,
                }))
            }
            "pause" => Body::MoveSale(sale(line)?, SaleMove::Paused),
            "resume" => Body::MoveSale(sale(line)?, SaleMove::Resumed),
            _ => Body::MoveSale(sale(line)?, SaleMove::Ended),
        })
    }

    /// What operators ask about SKUs, and where values are.
    fn supply(&self, line: &Line<'_>) -> Result<Body, String> {
        let request = RequestId::NONE;
        Ok(match line.verb {
            "define" => Body::Define(Box::new(DefineSku {
                sku: line.sku()?,
                title: line.text("sku")?.into(),
                unit_price: Amount::new(line.number("price", 500)?).ok_or("price")?,
                currency: Currency::new(line.get("currency").unwrap_or("CNY")).ok_or("currency")?,
                per_buyer_limit: line.number("limit", 0)? as u32,
                hold_seconds: line.number("hold", 600)? as u32,
                standby_pass: line.get("pass") == Some("yes"),
                if_revision: line.get("if").and_then(|text| text.parse().ok()),
                request,
            })),
            "receive" => Body::Receive(ReceiveLot {
                sku: line.sku()?,
                lot: LotId::new(line.text("lot")?).ok_or("lot")?,
                quantity: line.units("units")?,
                unit_price: line.amount("price")?,
                request,
            }),
            "withdraw" => Body::Withdraw(Withdraw {
                sku: line.sku()?,
                withdrawal: WithdrawalId::new(line.text("id")?).ok_or("id")?,
                quantity: line.units("units")?,
                reason: line.get("reason").unwrap_or("counted").into(),
                request,
            }),
            "stock" => Body::ReadStock(line.sku()?),
            "move" => {
                let to = line.number("to", 0)? as usize % self.world.shards();
                let value = match line.get("sku") {
                    Some(text) => Movable::Bucket(sku(text)?.bucket()),
                    None => Movable::Slot(SlotId::of_buyer(line.text("buyer")?)),
                };
                Body::Relocate(value, to)
            }
            verb => return Err(format!("nobody can {verb:?}")),
        })
    }

    /// A provider's notice of a payment that a line named, true but for what the line says.
    fn notice(&self, line: &Line<'_>) -> Result<Notice, String> {
        let known = self.payments.get(line.text("payment")?);
        let known = known.ok_or("there was no such payment")?;
        let kind = line.get("kind").unwrap_or("payment.succeeded");
        let amount = line.amount("amount")?.unwrap_or(known.amount);
        Ok(Notice {
            kind: NoticeKind::parse(kind).ok_or("kind")?,
            payment: known.payment.to_string().into(),
            order: known.order.to_string().into(),
            amount,
            currency: line.get("currency").unwrap_or(known.currency.as_str()).into(),
            request: RequestId::NONE,
        })
    }

    /// The order that the line means: by its maker's key.
    fn order(&self, line: &Line<'_>) -> Result<OrderId, String> {
        let of = match line.get("of") {
            Some(of) => of.to_owned(),
            None => name(line)?,
        };
        let key = line.get("order").or(line.get("key")).ok_or("which order?")?.to_owned();
        self.orders.get(&(of, key)).copied().ok_or_else(|| "there was no such order".to_owned())
    }
}

pub(super) fn name(line: &Line<'_>) -> Result<String, String> {
    line.text("buyer").map(str::to_owned)
}

/// The pairs `sku= qty=` of a line, in ascending order of SKU.
fn lines(line: &Line<'_>) -> Result<Vec<PlaceLine>, String> {
    let of = |word: &'static str| line.words.iter().filter(move |(name, _)| *name == word);
    let mut lines = of("sku")
        .zip(of("qty"))
        .map(|((_, name), (_, units))| {
            Ok(PlaceLine { sku: sku(name)?, quantity: quantity(units)? })
        })
        .collect::<Result<Vec<_>, String>>()?;
    lines.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
    Ok(lines)
}

fn sale(line: &Line<'_>) -> Result<SaleId, String> {
    SaleId::new(line.text("name")?).ok_or_else(|| "name".to_owned())
}
