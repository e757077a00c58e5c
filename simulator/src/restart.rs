//! The node's starts: after a crash, after a rest, and over a disk that was spoilt on purpose.

use sluice_core::config::EngineConfig;
use sluice_core::engine::Fatal;
use sluice_core::event::record;
use sluice_core::ledger::{HomeEvent, Ledger};
use sluice_core::limits::Limits;
use sluice_core::outcome::StateDigest;
use sluice_core::router::Movable;
use sluice_core::watermark::Watermark;

use crate::chance::Chance;
use crate::disk::{Crash, SimDisk};
use crate::frame;
use crate::marks::Mark;
use crate::model::Model;
use crate::node::Node;
use crate::world::{Verdict, World};

impl World {
    fn config(&self, shards: usize) -> EngineConfig {
        let mut seed = [0; 32];
        let mut chance = Chance::new(self.seed, (3 << 32) + u64::from(self.run));
        for chunk in seed.chunks_exact_mut(8) {
            chunk.copy_from_slice(&chance.next().to_le_bytes());
        }
        EngineConfig {
            cell: 9,
            shards,
            ports: 1,
            limits: self.profile.limits,
            seed,
            sql: Some(self.sql.clone()),
            retention_us: self.profile.retention_us,
            other_sinks: self.watermarks.iter().skip(1).cloned().collect(),
            journal_keep_bytes: self.profile.journal_keep_bytes,
            journal_max_bytes: self.profile.journal_max_bytes,
            payment_extension_us: self.profile.payment_extension_us,
        }
    }

    /// Starts the node; it may well fail while the disk does.
    pub(crate) fn start(&mut self, shards: usize) -> Verdict {
        self.run += 1;
        // Whether the journal is kept for a sink is forgotten when the process ends.
        let stored = self.sql.get();
        self.sql = Watermark::default();
        self.watermarks = self.profile.sinks.iter().map(|_| Watermark::default()).collect();
        match self.watermarks.first() {
            Some(first) => self.sql = first.clone(),
            None => self.sql.set(stored),
        }
        let config = self.config(shards);
        self.refusals_before = self.disk.space_refusals();
        let opened = Node::open(&self.disk, self.archive.as_ref(), &config, self.reading);
        let words = opened.as_ref().map(|node| node.recovered.clone()).map_err(Fatal::to_string);
        self.note("start", &[shards as u64], || format!("with {shards} shards: {words:?}"));
        self.absorb()?;
        if self.disk.is_dead() {
            self.marks.hit(Mark::CrashInRecovery);
            let mut chance = Chance::new(self.seed, (4 << 32) + u64::from(self.run));
            let crash = if chance.one_in(4) { Crash::Kill } else { Crash::PowerCut };
            return self.crash(crash, &mut chance);
        }
        let node = match opened {
            Ok(node) => node,
            Err(fatal) if fatal.exit_code() == 74 => {
                self.disk.crash(Crash::Kill);
                return Ok(());
            }
            Err(fatal) => return Err(format!("I12 crashes alone made a start fail: {fatal}")),
        };
        if node.recovered.torn_tail.is_some() {
            self.marks.hit(Mark::TornTailCut);
        }
        if node.recovered.records < node.recovered.last_sequence {
            self.marks.hit(Mark::StartedFromSnapshot);
        }
        if self.run > 1 && self.model.alone != (shards == 1) {
            self.marks.hit(Mark::Resharded);
        }
        if node.now(self.reading).micros() > self.reading.wall_us {
            self.marks.hit(Mark::StartBehindJournal);
        }
        if node.recovered.last_sequence < self.model.last_sequence().max(1) - 1 {
            let (found, had) = (node.recovered.last_sequence, self.model.last_sequence());
            return Err(format!("I2 recovery found {found} records, {had} were durable"));
        }
        if node.now(self.reading) < self.model.time {
            return Err("CLOCK engine time begins before the journal ends".to_owned());
        }
        let replayed = node.replayed;
        self.started_at = node.now(self.reading);
        self.model.alone = shards == 1;
        self.model.settled = self.model.last_sequence();
        self.node = Some(node);
        self.more = true;
        self.start_sinks();
        self.compare_replayed(replayed)?;
        self.compare_stocks()
    }

    /// Comes to rest, compares, and starts with another number of shards.
    pub(crate) fn restart(&mut self, shards: usize) -> Verdict {
        self.rest()?;
        if self.node.is_none() {
            return Ok(());
        }
        let live = self.node.as_ref().map(Node::digest).unwrap_or_default();
        self.compare_replayed(live)?;
        self.stop_sinks()?;
        self.node = None;
        self.end_sinks(Crash::Kill);
        self.disk.crash(Crash::Kill);
        self.requests.abandon();
        self.start(shards)
    }

    /// I5: what is in memory is what the journal says, by a replay of its own.
    pub(crate) fn compare_replayed(&self, memory: StateDigest) -> Verdict {
        let folded = fold(&self.model, self.profile.limits)?;
        if memory.half_way != 0 {
            return Err(format!("I5 at rest, {} things are half-way", memory.half_way));
        }
        if folded == memory {
            Ok(())
        } else {
            Err("I5 memory is not what a replay gives".to_owned())
        }
    }

    /// While the node is down: spoils a copy of its disk and sees whether a start would tell.
    pub(crate) fn damage(&mut self, chance: &mut Chance) -> Verdict {
        let segments = segments(&self.disk);
        let stale = chance.one_in(2);
        if !segments.is_empty() && chance.one_in(2) {
            let clean = self.try_start(&self.disk.fork());
            let Ok(clean) = clean else { return Ok(()) };
            let torn = clean.recovered.torn_tail.as_ref();
            let torn = torn.map(|torn| (format!("{:016x}.segment", torn.segment), torn.offset));
            let last = segments
                .iter()
                .rposition(|(name, bytes)| frame_ends(bytes, name, torn.as_ref()).is_some());
            if let Some(last) = last {
                let judged = match stale {
                    true => self.swap_segment(chance, &segments, last, &clean),
                    false => self.rot(chance, &segments, (last, torn.as_ref()), &clean),
                };
                judged?;
            }
        }
        if chance.one_in(2) {
            self.attic.extend(segments);
        }
        if chance.one_in(3) { self.rot_snapshot(chance) } else { Ok(()) }
    }

    /// Flips bits of the newest snapshot: the one before it, or the journal, has what it held.
    fn rot_snapshot(&mut self, chance: &mut Chance) -> Verdict {
        let files = self.disk.files();
        let newest = files.into_iter().rfind(|(name, _)| name.ends_with(".snapshot"));
        let Some((name, length)) = newest else { return Ok(()) };
        let Ok(clean) = self.try_start(&self.disk.fork()) else { return Ok(()) };
        let mut spoilt = self.disk.content(&name);
        let at = chance.index(length);
        spoilt[at] ^= 1 << chance.below(8);
        let disk = self.disk.fork();
        disk.spoil(&name, Some(spoilt));
        match self.try_start(&disk) {
            Ok(node) if node.replayed == clean.replayed => {
                self.marks.hit(Mark::RottenSnapshotPassedOver);
                Ok(())
            }
            Ok(_) => Err(format!("I12 rot at {name}, byte {at} passed")),
            Err(fatal) => Err(format!("I12 rot at {name}, byte {at} made a start fail: {fatal}")),
        }
    }

    /// Flips bits, or loses a sector, of what was synced.
    fn rot(
        &mut self,
        chance: &mut Chance,
        segments: &[(String, Vec<u8>)],
        (last, torn): (usize, Option<&(String, u64)>),
        clean: &Node,
    ) -> Verdict {
        let victim = chance.index(last + 1);
        let (name, bytes) = &segments[victim];
        let (last_frame, end) = frame_ends(bytes, name, torn).unwrap_or((0, bytes.len()));
        let at = chance.index(end);
        let mut spoilt = bytes.clone();
        match chance.below(3) {
            0 => spoilt[at] ^= 1 << chance.below(8),
            1 => spoilt[at] = chance.next() as u8,
            _ => {
                let sector = at / 512 * 512;
                spoilt[sector..sector + 512].fill(0);
            }
        }
        let disk = self.disk.fork();
        disk.spoil(name, Some(spoilt));
        let gap = victim == last && at >= last_frame;
        let where_ = format!("{name}, byte {at}");
        match self.try_start(&disk) {
            Ok(node) if node.replayed == clean.replayed => Ok(()),
            // What no node alone can know: rot in the last frame looks like a torn tail.
            Ok(node) if gap && node.recovered.last_sequence < clean.recovered.last_sequence => {
                self.marks.hit(Mark::RotInTheGap);
                Ok(())
            }
            Ok(_) => Err(format!("I12 rot at {where_} passed")),
            Err(fatal) if fatal.exit_code() == 65 => {
                self.marks.hit(Mark::RotRefused);
                Ok(())
            }
            Err(fatal) => Err(format!("I12 rot at {where_} was taken for: {fatal}")),
        }
    }

    /// Puts an old copy in place of a segment, or another segment, or nothing.
    fn swap_segment(
        &mut self,
        chance: &mut Chance,
        segments: &[(String, Vec<u8>)],
        last: usize,
        clean: &Node,
    ) -> Verdict {
        if last == 0 {
            return Ok(());
        }
        let (name, bytes) = &segments[chance.index(last)];
        let content = match chance.below(4) {
            0 => None,
            1 => Some(chance.pick(segments).1.clone()),
            _ => self.attic.get(name).cloned(),
        };
        if content.as_ref() == Some(bytes) {
            return Ok(());
        }
        let disk = self.disk.fork();
        disk.spoil(name, content);
        match self.try_start(&disk) {
            Ok(node) if node.replayed == clean.replayed => Ok(()),
            Ok(_) => Err(format!("I12 a stale or missing {name} passed")),
            Err(fatal) if fatal.exit_code() == 65 => {
                self.marks.hit(Mark::StaleRefused);
                Ok(())
            }
            Err(fatal) => Err(format!("I12 a stale or missing {name} was taken for: {fatal}")),
        }
    }

    fn try_start(&self, disk: &SimDisk) -> Result<Node, Fatal> {
        Node::open(disk, None, &self.config(1), self.reading)
    }
}

/// A fresh replay of the model's records, over three shards.
fn fold(model: &Model, limits: Limits) -> Result<StateDigest, String> {
    let mut ledger = Ledger::new(limits);
    for bytes in &model.records {
        let (meta, event) = record::decode(bytes).map_err(|error| error.to_string())?;
        ledger.replay_stocks(&event)?;
        if let Some(event) = HomeEvent::of(event) {
            ledger.replay_home(&meta, &event);
        }
    }
    let parts = ledger.split(3, |value| match value {
        Movable::Bucket(bucket) => usize::from(bucket) % 3,
        Movable::Slot(slot) => slot.index() % 3,
    });
    let digests = parts.iter().map(Ledger::digest);
    Ok(digests.fold(StateDigest::default(), StateDigest::plus))
}

fn segments(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.files().into_iter().filter(|(name, _)| name.ends_with(".segment"));
    files.map(|(name, _)| (name.clone(), disk.content(&name))).collect()
}

/// Where the last frame of a segment begins and all of them end. `None` without a frame.
fn frame_ends(bytes: &[u8], name: &str, torn: Option<&(String, u64)>) -> Option<(usize, usize)> {
    let end = match torn {
        Some((segment, offset)) if segment == name => *offset as usize,
        _ => {
            bytes.chunks(512).rposition(|s| s.iter().any(|b| *b != 0)).map_or(0, |n| (n + 1) * 512)
        }
    };
    frame::offsets(bytes).into_iter().rfind(|offset| *offset < end).map(|last| (last, end))
}
