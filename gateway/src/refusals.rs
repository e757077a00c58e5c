//! What the contract answers for each refusal of the engine. No wildcard: a new refusal does not
//! compile until it has a status and a code.

use sluice_core::command::Lane;
use sluice_core::engine::Busy;
use sluice_core::outcome::Refusal;
use sluice_core::time::Timestamp;

use crate::problem::{Code, Opening, Problem};

impl Problem {
    /// What a refusal of the engine is answered with at `now`, in engine time.
    pub(crate) fn refused(refusal: Refusal, now: Timestamp) -> Self {
        match refusal {
            Refusal::SkuNotFound => Self::new(Code::SkuNotFound, "no SKU of this name"),
            Refusal::OrderNotFound => no_such_order(),
            Refusal::SaleNotFound => no_such_sale(),
            Refusal::SaleNotOpen { opens_at } => Self {
                opening: Some(Box::new(Opening { opens_at, server_time: now })),
                ..Self::new(Code::SaleNotOpen, format!("the sale opens at {opens_at}"))
            },
            Refusal::SalePaused => Self::new(Code::SalePaused, "the sale is paused"),
            Refusal::SaleEnded => Self::new(Code::SaleEnded, "the sale is over"),
            Refusal::SaleWouldBeOver => {
                Self::invalid(format!("ends_at: must be later than now, which is {now}"))
            }
            Refusal::SkuInSale { sku, sale } => {
                Self::new(Code::SkuInSale, format!("skus: {sku} is in the sale {sale}"))
            }
            Refusal::SaleLimit { sku, limit, has } => Self::new(
                Code::BuyerLimit,
                format!(
                    "{sku}: one buyer may have {limit} units of all its sale's SKUs, this one \
                     has {has}"
                ),
            ),
            Refusal::BuyerLimit { sku, limit, has } => Self::new(
                Code::BuyerLimit,
                format!("{sku}: one buyer may have {limit} units, this one has {has}"),
            ),
            Refusal::SoldOut { sku } => {
                Self::new(Code::SoldOut, format!("{sku}: fewer units are left than asked for"))
            }
            Refusal::PriceChanged { amount } => Self::new(
                Code::PriceChanged,
                format!("the order would cost {amount}, more than max_amount"),
            ),
            Refusal::AmountTooLarge => {
                Self::invalid("quantity: the order's amount would exceed 9007199254740991")
            }
            Refusal::CurrenciesDiffer => {
                Self::invalid("items: the SKUs are sold in different currencies")
            }
            Refusal::OrderState { status } => {
                Self::new(Code::OrderState, format!("the order is {}", status.as_str()))
            }
            Refusal::KeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "Idempotency-Key: this key was used for an order with other contents",
            ),
            Refusal::TooManyKeys => {
                Self::new(Code::TooManyKeys, "Idempotency-Key: the buyer has too many live keys")
            }
            Refusal::LotExists => {
                Self::new(Code::LotExists, "lot: this lot is there with other contents")
            }
            Refusal::WithdrawalExists => Self::new(
                Code::IdempotencyKeyReused,
                "withdrawal: this withdrawal is there with other contents",
            ),
            Refusal::RevisionChanged { revision: 0 } => {
                Self::new(Code::PreconditionFailed, "If-Match: there is none of this name")
            }
            Refusal::RevisionChanged { revision } => Self::new(
                Code::PreconditionFailed,
                format!("If-Match: it is at revision \"{revision}\""),
            ),
            Refusal::CurrencyFixed { currency } => Self::invalid(format!(
                "currency: must be {currency}, which the SKU's lots are priced in"
            )),
            // Whoever needs an id draws again; nobody else can meet it.
            Refusal::IdTaken => Self::new(Code::Internal, "no id could be drawn"),
            Refusal::Capacity { ceiling } => {
                Self::new(Code::Capacity, format!("the ceiling on {ceiling} is met"))
            }
            Refusal::DiskReserve => Self::new(
                Code::DiskReserve,
                "the disk is full: what is left is kept for payments and endings",
            ),
            Refusal::Overloaded => {
                Self::new(Code::Overloaded, "too much waits in front of it, or it waited too long")
            }
            Refusal::NoSuchShard => Self::new(Code::NotFound, "no such shard"),
        }
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        match busy {
            Busy::LaneFull(Lane::Orders) => {
                Self::new(Code::Overloaded, "too many orders are waiting")
            }
            Busy::LaneFull(Lane::Vital) => {
                Self::new(Code::Overloaded, "too many requests are waiting")
            }
            Busy::NotAccepting => Self::new(Code::ShuttingDown, "no new orders are taken"),
        }
    }
}

/// No sale of this name.
pub(crate) fn no_such_sale() -> Problem {
    Problem::new(Code::SaleNotFound, "no sale of this name")
}

/// No order of this id, or somebody else's: the two are answered alike.
pub(crate) fn no_such_order() -> Problem {
    Problem::new(Code::OrderNotFound, "no order of yours is found")
}

#[cfg(test)]
mod tests {
    use super::{Problem, Refusal};
    use sluice_core::event::OrderStatus;
    use sluice_core::id::RequestId;
    use sluice_core::money::{Amount, Currency};
    use sluice_core::name::{SaleId, SkuId};
    use sluice_core::time::Timestamp;

    #[test]
    fn every_refusal_has_the_status_and_code_of_the_contract() {
        let sku = SkuId::new("a").expect("a name");
        let sale = SaleId::new("s").expect("a name");
        let currency = Currency::new("CNY").expect("a currency");
        for (refusal, status, code) in [
            (Refusal::SkuNotFound, 404, "sku_not_found"),
            (Refusal::OrderNotFound, 404, "order_not_found"),
            (Refusal::BuyerLimit { sku: sku.clone(), limit: 1, has: 1 }, 409, "buyer_limit"),
            (Refusal::SaleLimit { sku: sku.clone(), limit: 1, has: 1 }, 409, "buyer_limit"),
            (Refusal::SkuInSale { sku: sku.clone(), sale }, 409, "sku_in_sale"),
            (Refusal::SoldOut { sku }, 409, "sold_out"),
            (Refusal::SaleNotFound, 404, "sale_not_found"),
            (Refusal::SaleNotOpen { opens_at: Timestamp::ZERO }, 409, "sale_not_open"),
            (Refusal::SalePaused, 409, "sale_paused"),
            (Refusal::SaleEnded, 409, "sale_ended"),
            (Refusal::IdTaken, 500, "internal"),
            (Refusal::PriceChanged { amount: Amount::ZERO }, 409, "price_changed"),
            (Refusal::AmountTooLarge, 400, "invalid_request"),
            (Refusal::CurrenciesDiffer, 400, "invalid_request"),
            (Refusal::OrderState { status: OrderStatus::Paid }, 409, "order_state"),
            (Refusal::KeyReused, 422, "idempotency_key_reused"),
            (Refusal::TooManyKeys, 429, "too_many_keys"),
            (Refusal::LotExists, 409, "lot_exists"),
            (Refusal::WithdrawalExists, 422, "idempotency_key_reused"),
            (Refusal::SaleWouldBeOver, 400, "invalid_request"),
            (Refusal::RevisionChanged { revision: 1 }, 412, "precondition_failed"),
            (Refusal::CurrencyFixed { currency }, 400, "invalid_request"),
            (Refusal::Capacity { ceiling: "SKUs" }, 503, "capacity"),
            (Refusal::DiskReserve, 503, "disk_reserve"),
            (Refusal::Overloaded, 503, "overloaded"),
            (Refusal::NoSuchShard, 404, "not_found"),
        ] {
            let problem = Problem::refused(refusal.clone(), Timestamp::ZERO);
            let document = problem.document(RequestId::NONE);
            let json: serde_json::Value = serde_json::from_slice(&document).expect("valid JSON");
            assert_eq!(json["status"], status, "{refusal:?}");
            assert_eq!(json["code"], code, "{refusal:?}");
        }
    }
}
