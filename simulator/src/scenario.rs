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

use sluice_core::id::OrderId;
use sluice_core::limits::TINY;
use sluice_core::money::Amount;
use sluice_core::name::SkuId;
use sluice_core::outcome::PaymentView;
use sluice_core::quantity::Quantity;

use crate::chance::Chance;
use crate::cuts::Cuts;
use crate::disk::{Crash, FaultRates};
use crate::profile::Profile;
use crate::world::World;

mod asking;
mod words;

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
    /// The payments that lines gave a name.
    payments: BTreeMap<String, PaymentView>,
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
        payment_extension_us: 5_000_000,
        standby: false,
        sales: false,
        journal_max_bytes: None,
        sinks: Vec::new(),
    };
    let mut world = World::with_profile(1, profile, Cuts::default(), false);
    world.listen();
    world.start(shards)?;
    let (orders, payments) = (BTreeMap::new(), BTreeMap::new());
    let mut run = Run { world, chance: Chance::new(1, 1), orders, payments };
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
                self.world.store_all()?;
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
}
