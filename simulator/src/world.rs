//! One run: a node, its disk, its clocks and its clients under a seed, tick by tick.
//!
//! A tick draws from a stream of its own, so that leaving ticks out changes the others as little
//! as possible. Faults come first; then the disk heals and everything must come to rest.

use std::collections::{BTreeMap, VecDeque};

use sluice_core::engine::Reading;
use sluice_core::id::HashKey;
use sluice_core::journal::Fatal;
use sluice_core::ledger::Ledger;
use sluice_core::outcome::Outcome;
use sluice_core::snapshot::Upkept;
use sluice_core::time::Timestamp;
use sluice_core::watermark::Watermark;

use crate::chance::Chance;
use crate::clients::{Clients, Question, Sight};
use crate::cuts::Cuts;
use crate::disk::{Crash, SimDisk};
use crate::marks::{Mark, Marks};
use crate::model::Model;
use crate::node::Node;
use crate::profile::{Fault, Profile};
use crate::requests::{Body, Request, Requests};
use crate::sink::Sinks;

/// What broke, in words; the first one is the invariant or the kind of check.
pub type Verdict = Result<(), String>;

/// How many events a report shows.
const EVENTS_KEPT: usize = 60;

/// One run.
pub struct World {
    /// The seed.
    pub seed: u64,
    /// What the seed is like.
    pub profile: Profile,
    /// What is left out of it.
    pub(crate) cuts: Cuts,
    pub(crate) disk: SimDisk,
    pub(crate) node: Option<Node>,
    pub(crate) model: Model,
    pub(crate) requests: Requests,
    pub(crate) clients: Clients,
    pub(crate) marks: Marks,
    pub(crate) reading: Reading,
    pub(crate) frozen: bool,
    /// Which run of the node this is.
    pub(crate) run: u32,
    /// Engine time when the node started.
    pub(crate) started_at: Timestamp,
    /// Calls that the disk had refused for want of space when the node started.
    pub(crate) refusals_before: u64,
    /// The journal has failed; the process is about to end.
    pub(crate) failed: bool,
    /// Calls to the disk before the step under way.
    calls: u64,
    /// Whether a step said that another may be taken at once.
    pub(crate) more: bool,
    /// Whether an operator was just told that a sale has changed.
    pub(crate) sale_changed: bool,
    pub(crate) window: bool,
    tick: u64,
    hash: u64,
    events: VecDeque<String>,
    tracing: bool,
    /// Answers, for whoever listens.
    pub(crate) heard: Option<BTreeMap<u128, Outcome>>,
    /// Older contents of segments.
    pub(crate) attic: BTreeMap<String, Vec<u8>>,
    /// Where trimmed segments go.
    pub(crate) archive: Option<SimDisk>,
    /// What SQL has stored.
    pub(crate) sql: Watermark,
    pub(crate) sinks: Sinks,
    /// What this run of the node hears from its sinks.
    pub(crate) watermarks: Vec<Watermark>,
}

impl World {
    /// Before the first start.
    pub fn new(seed: u64, cuts: Cuts, tracing: bool) -> Self {
        let profile = Profile::draw(seed);
        Self::with_profile(seed, profile, cuts, tracing)
    }

    /// Before the first start, with a profile of the caller's.
    pub fn with_profile(seed: u64, profile: Profile, cuts: Cuts, tracing: bool) -> Self {
        Self {
            seed,
            disk: SimDisk::new(Chance::new(seed, 1)),
            node: None,
            model: Model {
                retention_us: profile.retention_us,
                extension_us: profile.payment_extension_us,
                alone: profile.shards == 1,
                ..Model::default()
            },
            requests: Requests::new(profile.limits),
            clients: Clients::new(&profile),
            marks: Marks::default(),
            reading: Reading { boot_us: 5_000_000, wall_us: 1_794_355_200_000_000 },
            frozen: false,
            run: 0,
            started_at: Timestamp::ZERO,
            refusals_before: 0,
            failed: false,
            calls: 0,
            more: false,
            sale_changed: false,
            window: false,
            tick: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            events: VecDeque::new(),
            tracing,
            heard: None,
            attic: BTreeMap::new(),
            archive: profile.archives.then(|| SimDisk::new(Chance::new(seed, 1 << 40))),
            sql: Watermark::default(),
            sinks: Sinks::new(&profile.sinks),
            watermarks: Vec::new(),
            profile,
            cuts,
        }
    }

    /// The hash over all events so far: the same for the same seed.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The marks hit so far.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// How many records the journal has.
    pub fn records(&self) -> u64 {
        self.model.last_sequence()
    }

    /// The last tick that was begun.
    pub fn tick_number(&self) -> u64 {
        self.tick
    }

    /// The last events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &String> {
        self.events.iter()
    }

    /// All of the run: faults, healing, last checks.
    ///
    /// # Errors
    /// The check that failed.
    pub fn live(&mut self) -> Verdict {
        self.start(self.profile.shards)?;
        for tick in 1..=self.profile.ticks.min(self.cuts.ticks_max) {
            self.tick = tick;
            if !self.cuts.leaves_out(tick) {
                self.one_tick(tick)?;
            }
        }
        self.tick = self.profile.ticks + 1;
        self.heal()
    }

    fn one_tick(&mut self, tick: u64) -> Verdict {
        let mut chance = Chance::new(self.seed, 2 * tick);
        self.disk.reseed(Chance::new(self.seed, 2 * tick + 1));
        if self.node.is_none() {
            let shards = match self.has(Fault::Restart) && chance.one_in(3) {
                true => *chance.pick(&[1, 2, 3, 7]),
                false => self.profile.shards,
            };
            if self.has(Fault::MidStep) && chance.one_in(4) {
                self.disk.crash_in(Some(chance.below(12)));
            }
            return self.start(shards);
        }
        if self.failed && chance.one_in(3) {
            return self.crash(Crash::Kill, &mut chance);
        }
        if std::mem::take(&mut self.sale_changed) {
            return self.ask_with(&mut chance, Clients::rush);
        }
        let mut drawn = chance.below(self.profile.weights.iter().sum());
        let mut kind = 0;
        while drawn >= self.profile.weights[kind] {
            drawn -= self.profile.weights[kind];
            kind += 1;
        }
        match kind {
            0 => self.ask_with(&mut chance, Clients::draw),
            1 => {
                let shard = chance.index(self.shards());
                self.step(shard)
            }
            2 => self.commit(),
            3 => self.prepare(),
            4 => self.advance(chance.between(1, self.profile.advance_us_max)),
            5 => self.idle(&mut chance),
            6 => self.draw_crash(&mut chance),
            7 => self.draw_change(&mut chance),
            8 if !self.sinks.is_none() => self.tick_sinks(&mut chance),
            8 => self.store(&mut chance),
            9 => self.upkeep(chance.between(1, 24)),
            _ => self.draw_window(&mut chance),
        }
    }

    /// Whether this kind of fault happens in this run.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.profile.faults.contains(&fault) && !self.cuts.is_off(fault)
    }

    pub(crate) fn shards(&self) -> usize {
        self.node.as_ref().map_or(0, Node::shards)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.node.as_ref().map_or(Timestamp::ZERO, |node| node.now(self.reading))
    }

    /// Takes an event into the hash and, if somebody looks, into the report.
    pub(crate) fn note(&mut self, kind: &str, numbers: &[u64], words: impl FnOnce() -> String) {
        let mut mix = |value: u64| {
            self.hash = (self.hash ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        };
        kind.bytes().for_each(|byte| mix(u64::from(byte)));
        numbers.iter().for_each(|number| mix(*number));
        mix(self.tick);
        if self.tracing {
            if self.events.len() == EVENTS_KEPT {
                self.events.pop_front();
            }
            self.events.push_back(format!("{:>4} {kind} {}", self.tick, words()));
        }
    }

    /// Keeps the answers from now on.
    pub(crate) fn listen(&mut self) {
        self.heard = Some(BTreeMap::new());
    }

    /// By which buyers and keys are hashed, while the node runs.
    pub(crate) fn hash_key(&self) -> Option<HashKey> {
        self.node.as_ref().map(|node| *node.hash_key())
    }

    /// Asks one question and waits for the answer.
    pub(crate) fn converse(&mut self, body: Body, chance: &mut Chance) -> Result<Outcome, String> {
        let mut clients = std::mem::replace(&mut self.clients, Clients::new(&self.profile));
        let question = self.sight().map(|sight| clients.question(chance, body, sight));
        self.clients = clients;
        let question = question.ok_or("the node is down")?;
        let id = question.id;
        if !self.submit(question, false) {
            return Err("the lane is full".to_owned());
        }
        self.rest()?;
        let heard = self.heard.as_mut().and_then(|heard| heard.remove(&id));
        heard.ok_or_else(|| "no answer came".to_owned())
    }

    pub(crate) fn sight(&self) -> Option<Sight<'_>> {
        let node = self.node.as_ref()?;
        Some(Sight {
            hash_key: node.hash_key(),
            now: node.now(self.reading),
            model: &self.model,
            shards: node.shards(),
            profile: &self.profile,
        })
    }

    fn ask_with(
        &mut self,
        chance: &mut Chance,
        draw: fn(&mut Clients, &mut Chance, Sight<'_>) -> Vec<Question>,
    ) -> Verdict {
        let mut clients = std::mem::replace(&mut self.clients, Clients::new(&self.profile));
        let questions = self.sight().map(|sight| draw(&mut clients, chance, sight));
        let questions = questions.unwrap_or_default();
        self.clients = clients;
        for question in questions {
            let by_port = chance.one_in(3);
            self.submit(question, by_port);
        }
        Ok(())
    }

    /// Sends a question to the node. Says whether there was room.
    pub(crate) fn submit(&mut self, question: Question, by_port: bool) -> bool {
        let Question { id, body, command } = question;
        let now = self.now();
        let Some(node) = self.node.as_ref() else { return false };
        let moves = matches!(body, Body::Relocate(..));
        let in_flight = node.ledgers().iter().any(|ledger| ledger.in_flight() > 0);
        // The port takes no more than its worker may have open.
        let by_port = by_port && self.requests.open() < self.profile.limits.port_requests_max;
        let taken = node.submit(id, command, by_port, now).is_ok();
        let shards = node.shards();
        if !taken {
            self.marks.hit(Mark::LaneFull);
        } else {
            if moves && in_flight {
                self.marks.hit(Mark::MoveInFlight);
            }
            if moves {
                self.marks.hit(Mark::MovedWhileSelling);
            }
            let from = self.disk.durable_through();
            let settled = self.model.settled.min(from);
            let told = self.requests.told();
            let words = body.clone();
            let run = self.run;
            self.requests.ask(
                id,
                Request { body, from, settled, told, asked_at: now, shards, run, closed: false },
            );
            self.note("ask", &[id as u64], || format!("{id} {words:?}"));
        }
        taken
    }

    pub(crate) fn step(&mut self, shard: usize) -> Verdict {
        let now = self.now();
        self.calls = self.disk.calls();
        let orders = self.requests.orders();
        let Some(node) = self.node.as_mut() else { return Ok(()) };
        let was_low = node.is_low();
        let result = node.step(shard, now);
        let served = node.ledgers().into_iter().map(Ledger::served).max().unwrap_or_default();
        if self.failed && self.shards() > 1 {
            self.marks.hit(Mark::StepAfterFailure);
        }
        let worked = u64::from(result.as_ref().is_ok_and(|progress| progress.worked));
        self.more |= result.as_ref().is_ok_and(|progress| progress.more);
        self.note("step", &[shard as u64, worked], || format!("{shard} at {now}: {result:?}"));
        self.after(result.map(|_| ()))?;
        if served > self.profile.limits.expiries_per_step_max {
            return Err(format!("I6 a step served {served} who wait"));
        }
        let is_low = was_low && self.node.as_ref().is_some_and(Node::is_low);
        if is_low && self.model.alone && self.requests.orders() > orders {
            return Err("RESERVE an order took what is kept for endings".to_owned());
        }
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Verdict {
        let now = self.now();
        self.calls = self.disk.calls();
        let Some(node) = self.node.as_mut() else { return Ok(()) };
        let result = node.commit(now);
        if node.early() > 0 {
            self.marks.hit(Mark::ReorderBufferUsed);
        }
        let durable = self.disk.durable_through();
        self.note("commit", &[durable], || format!("through {durable}: {result:?}"));
        self.after(result)
    }

    pub(crate) fn prepare(&mut self) -> Verdict {
        if let Some(node) = self.node.as_mut() {
            node.prepare();
        }
        self.note("prepare", &[], String::new);
        self.after(Ok(()))
    }

    fn idle(&mut self, chance: &mut Chance) -> Verdict {
        let shard = chance.index(self.shards());
        self.idle_shard(shard)?;
        if chance.one_in(2) { self.mark() } else { Ok(()) }
    }

    pub(crate) fn idle_shard(&mut self, shard: usize) -> Verdict {
        let now = self.now();
        self.calls = self.disk.calls();
        let Some(node) = self.node.as_mut() else { return Ok(()) };
        let result = node.idle(shard, now);
        self.note("idle", &[shard as u64], || format!("{shard}: {result:?}"));
        self.after(result)
    }

    pub(crate) fn mark(&mut self) -> Verdict {
        let now = self.now();
        self.calls = self.disk.calls();
        let Some(node) = self.node.as_mut() else { return Ok(()) };
        let result = node.mark(now);
        self.note("mark", &[], || format!("{result:?}"));
        self.after(result)
    }

    /// Snapshots and trimming go on by some steps.
    pub(crate) fn upkeep(&mut self, steps: u64) -> Verdict {
        for _ in 0..steps {
            let Some(node) = self.node.as_mut() else { return Ok(()) };
            let metrics = node.upkeep_metrics();
            let (before, let_go) = (metrics.segments_trimmed.get(), metrics.sinks_detached.get());
            let upkept = node.upkeep();
            let metrics = node.upkeep_metrics();
            let trimmed = metrics.segments_trimmed.get() > before;
            let let_go = metrics.sinks_detached.get() - let_go;
            self.note("upkeep", &[u64::from(upkept.is_ok())], || format!("{upkept:?}"));
            self.after(Ok(()))?;
            self.look_at_detached(let_go)?;
            match upkept {
                Ok(Upkept::Idle) => {
                    self.look_at_waiting();
                    return Ok(());
                }
                Ok(Upkept::More { .. }) => {}
                Err(error) if error.exit_code() == 74 => {
                    self.marks.hit(Mark::UpkeepFailed);
                    return Ok(());
                }
                Err(error) => return Err(format!("UPKEEP {error}")),
            }
            if trimmed {
                self.look_at_trimmed()?;
            }
        }
        Ok(())
    }

    /// Time goes on, for both clocks.
    pub(crate) fn advance(&mut self, micros: u64) -> Verdict {
        let before = self.now();
        self.reading.boot_us += micros;
        if !self.frozen {
            self.reading.wall_us += micros;
        }
        let right = self.now().micros_since(before) == micros || self.node.is_none();
        if let Some(node) = &self.node {
            let shown = node.now(self.reading).micros() as i64;
            node.slew(self.reading);
            let slewed = node.now(self.reading).micros() as i64 - shown;
            if !right || slewed.unsigned_abs() > micros / 2_000 + 1 {
                return Err(format!("CLOCK engine time went {micros} us and slewed {slewed} us"));
            }
        }
        let now = self.now();
        self.note("advance", &[micros], || format!("{micros} us to {now}"));
        self.advance_sinks(micros)
    }

    /// What a step left: frames, answers, pages; and whether it was the last.
    pub(crate) fn after(&mut self, result: Result<(), Fatal>) -> Verdict {
        self.absorb()?;
        if self.disk.is_dead() {
            let mut chance = Chance::new(self.seed, 2 * self.tick + (1 << 32));
            let crash = if chance.one_in(4) { Crash::Kill } else { Crash::PowerCut };
            return self.crash(crash, &mut chance);
        }
        match (result, self.failed) {
            (Ok(()), _) => Ok(()),
            (Err(fatal), _) if fatal.exit_code() != 74 => {
                Err(format!("I12 a running journal says: {fatal}"))
            }
            (Err(_), true) if self.disk.calls() > self.calls => {
                Err("I12 the disk was touched after the journal had failed".to_owned())
            }
            (Err(_), _) => {
                self.failed = true;
                Ok(())
            }
        }
    }

    /// Whether the journal has failed and the process is about to end.
    pub(crate) fn is_failed(&self) -> bool {
        self.failed
    }
}
