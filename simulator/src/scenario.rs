//! Scenarios in text: one line a question, with what it must be answered. Run over the production
//! step like everything here, and judged by the same oracle besides.
//!
//! ```text
//! define  sku=phone price=500 limit=2 hold=600   -> defined
//! receive sku=phone lot=A units=2 price=400      -> received
//! place   buyer=ann key=k1 sku=phone qty=1       -> reserved for 400 from A:1
//! crash
//! place   buyer=ann key=k1 sku=phone qty=1       -> reserved again, same order
//! ```

use std::collections::BTreeMap;

use sluice_core::command::Key;
use sluice_core::command::{
    Buyer, Cancel, DefineSku, ListOrders, Place, PlaceLine, ReceiveLot, Withdraw,
};
use sluice_core::id::{OrderId, RequestId, SlotId};
use sluice_core::limits::TINY;
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId, WithdrawalId};
use sluice_core::outcome::{OrderView, Outcome, Refusal};
use sluice_core::quantity::Quantity;
use sluice_core::router::Movable;

use crate::chance::Chance;
use crate::cuts::Cuts;
use crate::disk::{Crash, FaultRates};
use crate::profile::Profile;
use crate::requests::Body;
use crate::world::World;

/// One line, taken apart.
struct Line<'a> {
    verb: &'a str,
    words: Vec<(&'a str, &'a str)>,
    expected: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let (question, expected) = match text.split_once("->") {
            Some((question, expected)) => (question, Some(expected.trim())),
            None => (text, None),
        };
        let mut parts = question.split_whitespace();
        let verb = parts.next().ok_or("an empty line")?;
        let word = |part: &'a str| part.split_once('=').ok_or(format!("{part:?} has no `=`"));
        Ok(Self { verb, words: parts.map(word).collect::<Result<_, _>>()?, expected })
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.words.iter().find(|(word, _)| *word == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.get(name).ok_or_else(|| format!("{} needs {name}=", self.verb))
    }

    fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.get(name) {
            Some(text) => text.parse().map_err(|_| format!("{name}={text} is no number")),
            None => Ok(default),
        }
    }

    fn units(&self, name: &str) -> Result<Quantity, String> {
        quantity(self.text(name)?)
    }

    fn sku(&self) -> Result<SkuId, String> {
        sku(self.text("sku")?)
    }

    fn amount(&self, name: &str) -> Result<Option<Amount>, String> {
        Ok(match self.get(name) {
            Some(_) => Amount::new(self.number(name, 0)?),
            None => None,
        })
    }
}

fn sku(text: &str) -> Result<SkuId, String> {
    SkuId::new(text).ok_or_else(|| format!("{text:?} is no SKU"))
}

fn quantity(text: &str) -> Result<Quantity, String> {
    let units = text.parse().ok().and_then(Quantity::new);
    units.ok_or_else(|| format!("{text:?} is no quantity"))
}

/// A scenario under way.
struct Run {
    world: World,
    chance: Chance,
    /// The order that each buyer's key made.
    orders: BTreeMap<(String, String), OrderId>,
}

/// Runs a scenario on so many shards.
///
/// # Errors
/// The line that was answered otherwise, or the check that failed.
pub fn run(text: &str, shards: usize) -> Result<(), String> {
    let limits = sluice_core::limits::Limits { inbox_vital_max: 16, ..TINY };
    let profile = Profile {
        shards,
        limits,
        ticks: 0,
        buyers: Vec::new(),
        skus: Vec::new(),
        faults: Vec::new(),
        rates: FaultRates::default(),
        weights: [0; 11],
        bulky: false,
        lot_units_max: 1,
        hold_seconds_max: 1,
        advance_us_max: 1,
        retention_us: 10_000_000,
        journal_keep_bytes: None,
        archives: false,
    };
    let mut world = World::with_profile(1, profile, Cuts::default(), false);
    world.listen();
    world.start(shards)?;
    let mut run = Run { world, chance: Chance::new(1, 1), orders: BTreeMap::new() };
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let played = Line::parse(line).and_then(|parsed| run.play(&parsed));
        played.map_err(|what| format!("line {number}, {shards} shards: {line}\n  {what}"))?;
    }
    run.world.heal()
}

impl Run {
    fn play(&mut self, line: &Line<'_>) -> Result<(), String> {
        match line.verb {
            "crash" => {
                let crash =
                    if line.get("kind") == Some("kill") { Crash::Kill } else { Crash::PowerCut };
                let shards = self.world.shards();
                self.world.crash(crash, &mut self.chance)?;
                return self.world.start(shards);
            }
            "restart" => return self.world.restart(line.number("shards", 1)? as usize),
            "advance" => {
                self.world.advance(line.number("seconds", 0)? * 1_000_000)?;
                self.world.advance(line.number("millis", 0)? * 1_000)?;
                return self.world.rest();
            }
            "store" => {
                self.world.store_all();
                return self.world.rest();
            }
            _ => {}
        }
        let body = self.body(line)?;
        let outcome = self.world.converse(body, &mut self.chance)?;
        let (head, details) = self.words(line, &outcome)?;
        let Some(expected) = line.expected else { return Ok(()) };
        let right = expected == head
            || (expected.starts_with(&head) && !details.is_empty() && {
                let rest = expected[head.len()..].trim();
                details.iter().any(|detail| detail == rest)
            });
        if right { Ok(()) } else { Err(format!("was answered: {head} {details:?}")) }
    }

    fn body(&self, line: &Line<'_>) -> Result<Body, String> {
        let request = RequestId::NONE;
        let hash_key = self.world.hash_key().ok_or("the node is down")?;
        let buyer = || line.text("buyer").map(|name| Buyer::new(&hash_key, name));
        Ok(match line.verb {
            "define" => Body::Define(Box::new(DefineSku {
                sku: line.sku()?,
                title: line.text("sku")?.into(),
                unit_price: Amount::new(line.number("price", 500)?).ok_or("price")?,
                currency: Currency::new(line.get("currency").unwrap_or("CNY")).ok_or("currency")?,
                per_buyer_limit: line.number("limit", 0)? as u32,
                hold_seconds: line.number("hold", 600)? as u32,
                standby_pass: false,
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
            "place" => {
                let buyer = buyer()?;
                let key = line.get("key").map(|key| Key::new(&hash_key, &buyer, key));
                let lines = lines(line)?;
                let max_amount = line.amount("max")?;
                let fingerprint = Place::fingerprint_of(&lines, false, max_amount);
                let order = OrderId::from_bits(0);
                let lines = lines.into();
                let place = Place { order, buyer, key, lines, max_amount, request, fingerprint };
                Body::Place(Box::new(place))
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

    /// The order that the line means: by its maker's key.
    fn order(&self, line: &Line<'_>) -> Result<OrderId, String> {
        let of = line.get("of").unwrap_or(line.text("buyer")?).to_owned();
        let key = line.get("order").or(line.get("key")).ok_or("which order?")?.to_owned();
        self.orders.get(&(of, key)).copied().ok_or_else(|| "there was no such order".to_owned())
    }

    /// An answer in words: what must be expected, and what may be.
    fn words(
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
                (format!("available={free} held={held} withdrawn={gone}"), Vec::new())
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
            (_, Outcome::Relocated) => ("moved".to_owned(), Vec::new()),
            (_, other) => return Err(format!("{other:?} answers nothing here")),
        })
    }
}

fn name(line: &Line<'_>) -> Result<String, String> {
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

fn details(view: &OrderView) -> Vec<String> {
    let draws = view.lines.iter().flat_map(|line| &line.draws);
    let lots: Vec<String> = draws.map(|draw| format!("{}:{}", draw.lot, draw.quantity)).collect();
    let (amount, lots) = (format!("for {}", view.amount), format!("from {}", lots.join(" ")));
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
        _ => "refused",
    }
}
