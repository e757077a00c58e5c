//! An answer in words.

use sluice_core::id::OrderId;
use sluice_core::outcome::{OrderView, Outcome, Refusal};

use super::asking::name;
use super::{Line, Run};

impl Run {
    /// An answer in words: what must be expected, and what may be.
    pub(super) fn words(
        &mut self,
        line: &Line<'_>,
        outcome: &Outcome,
    ) -> Result<(String, Vec<String>), String> {
        Ok(match (line.verb, outcome) {
            (_, Outcome::Refused(refusal)) => (code(refusal).to_owned(), Vec::new()),
            (_, Outcome::Placed(view)) => {
                if let Some(key) = line.get("key") {
                    self.orders.insert((name(line)?, key.to_owned()), view.order);
                }
                (view.status.as_str().to_owned(), details(view))
            }
            (_, Outcome::Repeated(view)) => {
                let key = (name(line)?, line.text("key")?.to_owned());
                let same = self.orders.get(&key).is_none_or(|order| *order == view.order);
                let order = if same { "same order" } else { "another order" };
                (format!("{} again, {order}", view.status.as_str()), details(view))
            }
            (_, Outcome::Order(view)) => (view.status.as_str().to_owned(), details(view)),
            (_, Outcome::Orders(page)) => {
                let key = |order: &OrderId| {
                    let found = self.orders.iter().find(|(_, other)| *other == order);
                    found.map_or("?", |((_, key), _)| key.as_str())
                };
                let keys: Vec<&str> = page.orders.iter().map(|view| key(&view.order)).collect();
                let more = if page.next.is_some() { " and more" } else { "" };
                (format!("{}{more}", keys.join(" ")), Vec::new())
            }
            ("stock", Outcome::Stock { stock, .. }) => {
                let now = stock.counters;
                let (free, held, gone) = (now.available, now.held, now.withdrawn);
                let more = |name: &str, count: u64| match count {
                    0 => String::new(),
                    count => format!(" {name}={count}"),
                };
                let (sold, standby) = (more("sold", now.sold), more("standby", stock.standby));
                let all = format!("available={free} held={held} withdrawn={gone}{sold}{standby}");
                (all, Vec::new())
            }
            (verb, Outcome::Stock { created, .. }) => {
                let done = match verb {
                    "receive" => "received",
                    "withdraw" => "withdrawn",
                    _ => return Ok(("defined".to_owned(), Vec::new())),
                };
                let again = if *created { "" } else { " again" };
                (format!("{done}{again}"), Vec::new())
            }
            (_, Outcome::Payment { created, payment }) => {
                if let Some(name) = line.get("payment") {
                    self.payments.insert(name.to_owned(), **payment);
                }
                let again = if *created { "" } else { " again" };
                let amount = vec![format!("for {}", payment.amount)];
                (format!("{}{again}", payment.status.as_str()), amount)
            }
            (_, Outcome::Noted) => ("noted".to_owned(), Vec::new()),
            (_, Outcome::Sale { sale, .. }) => {
                (sale.state(self.world.now()).as_str().to_owned(), Vec::new())
            }
            (_, Outcome::Relocated) => ("moved".to_owned(), Vec::new()),
            (_, other) => return Err(format!("{other:?} answers nothing here")),
        })
    }
}

fn details(view: &OrderView) -> Vec<String> {
    let draws = view.lines.iter().flat_map(|line| &line.draws);
    let lots: Vec<String> = draws.map(|draw| format!("{}:{}", draw.lot, draw.quantity)).collect();
    let place = view.waits.map(|waits| format!("at place {}", waits.position));
    let Some(amount) = view.amount else { return place.into_iter().collect() };
    let (amount, lots) = (format!("for {amount}"), format!("from {}", lots.join(" ")));
    vec![format!("{amount} {lots}"), amount, lots]
}

/// The contract's word for a refusal.
fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::SkuNotFound => "sku_not_found",
        Refusal::OrderNotFound => "order_not_found",
        Refusal::BuyerLimit { .. } => "buyer_limit",
        Refusal::SoldOut { .. } => "sold_out",
        Refusal::PriceChanged { .. } => "price_changed",
        Refusal::OrderState { .. } => "order_state",
        Refusal::KeyReused => "idempotency_key_reused",
        Refusal::TooManyKeys => "too_many_keys",
        Refusal::LotExists => "lot_exists",
        Refusal::WithdrawalExists => "withdrawal_exists",
        Refusal::RevisionChanged { .. } => "precondition_failed",
        Refusal::Capacity { .. } => "capacity",
        Refusal::CurrenciesDiffer => "currencies_differ",
        Refusal::CurrencyFixed { .. } => "currency_fixed",
        Refusal::Overloaded => "overloaded",
        Refusal::SaleNotFound => "sale_not_found",
        Refusal::SaleNotOpen { .. } => "sale_not_open",
        Refusal::SalePaused => "sale_paused",
        Refusal::SaleEnded => "sale_ended",
        Refusal::SaleWouldBeOver => "sale_would_be_over",
        Refusal::SaleLimit { .. } => "buyer_limit",
        Refusal::SkuInSale { .. } => "sku_in_sale",
        _ => "refused",
    }
}
