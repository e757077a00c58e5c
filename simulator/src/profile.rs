//! What one seed is like: how many shards, how tight the limits, which faults and how often.

use sluice_core::config::RETENTION_US;
use sluice_core::event::SinkName;
use sluice_core::limits::{Limits, SECTOR_BYTES, TINY};

use crate::chance::Chance;
use crate::disk::FaultRates;
use crate::sink::Character;

/// A kind of fault, which a shrunk run may do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fault {
    /// The process is killed between two steps.
    Kill,
    /// The power goes between two steps.
    PowerCut,
    /// The machine stops in the middle of a step or of recovery.
    MidStep,
    /// Calls to the disk fail.
    Disk,
    /// Synced bytes rot, segments are stale or missing.
    Rot,
    /// The wall clock leaps or stands still.
    Clock,
    /// Values move between shards.
    Move,
    /// A node comes to rest and starts with another number of shards.
    Restart,
    /// Shards are slow between reserving sequences and sending their batch.
    Dawdle,
    /// What SQL had stored is put back to an older copy.
    Store,
    /// The disk is full for a while.
    Space,
    /// What is asked of a sink's store, or what it answers, is lost or late.
    Answers,
    /// A sink's store is gone or locked for a while.
    Away,
    /// A sink's store does not take some records.
    Poison,
}

impl Fault {
    /// All kinds, with the words that regression files use.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Kill, "kill"),
        (Self::PowerCut, "power_cut"),
        (Self::MidStep, "mid_step"),
        (Self::Disk, "disk"),
        (Self::Rot, "rot"),
        (Self::Clock, "clock"),
        (Self::Move, "move"),
        (Self::Restart, "restart"),
        (Self::Dawdle, "dawdle"),
        (Self::Store, "store"),
        (Self::Space, "space"),
        (Self::Answers, "answers"),
        (Self::Away, "away"),
        (Self::Poison, "poison"),
    ];

    /// How many of them any run may have; the others need a sink.
    const OF_ALL: usize = 11;
}

/// Of so many runs, one has sinks.
const SEEDS_A_SINK: u64 = 3;

/// The weight of what befalls stores; see `World::tick`.
const STORE_WEIGHT: usize = 8;

/// The weight of upkeep.
const UPKEEP_WEIGHT: usize = 9;

/// A retention that ends while a run lasts, in microseconds.
const RETENTION_SHORT_US: u64 = 2_000_000;

/// The character of a run.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Shards of the first start.
    pub shards: usize,
    /// The ceilings.
    pub limits: Limits,
    /// Ticks before the healing begins.
    pub ticks: u64,
    /// Buyers.
    pub buyers: Vec<String>,
    /// SKUs that operators define, and one more that they do not.
    pub skus: Vec<String>,
    /// Which faults happen.
    pub faults: Vec<Fault>,
    /// How often the disk fails while a fault window is open.
    pub rates: FaultRates,
    /// Weights of what a tick does; see `World::tick`.
    pub weights: [u64; 11],
    /// Whether all names are long, so that most frames have several sectors.
    pub bulky: bool,
    /// Most units of a lot.
    pub lot_units_max: u64,
    /// Longest hold, in seconds.
    pub hold_seconds_max: u64,
    /// Longest ordinary step of the clock, in microseconds.
    pub advance_us_max: u64,
    /// How long final orders stay, in microseconds.
    pub retention_us: u64,
    /// Bytes of the journal that are kept at least; `None`: all.
    pub journal_keep_bytes: Option<u64>,
    /// Whether trimmed segments go to an archive.
    pub archives: bool,
    /// How long a hold lasts at least from the first start of its payment, in microseconds.
    pub payment_extension_us: u64,
    /// Whether buyers wait.
    pub standby: bool,
    /// Whether operators run sales.
    pub sales: bool,
    /// Bytes of the journal at which it is kept no longer for a sink that is behind.
    pub journal_max_bytes: Option<u64>,
    /// The sinks that follow the journal. Without one, SQL has stored what chance says.
    pub sinks: Vec<Character>,
}

impl Profile {
    /// The profile of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0);
        let bulky = chance.one_in(4);
        let limits = limits(&mut chance, bulky);
        let faults = Fault::ALL[..Fault::OF_ALL].iter().map(|(fault, _)| *fault);
        let faults = faults.filter(|_| !chance.one_in(3)).collect();
        let mut rate = |often: u64| match chance.below(3) {
            0 => 0,
            _ => chance.between(1, often),
        };
        let rates = FaultRates {
            write: rate(600),
            space: rate(600),
            sync: rate(800),
            rename: rate(1_500),
            directory: rate(1_500),
        };
        let shards = *chance.pick(&[1, 1, 2, 3, 7]);
        let count = chance.between(2, 6);
        let buyers = (0..count).map(|n| name(&mut chance, n, bulky)).collect();
        let skus = (0..chance.between(2, 5)).map(|n| format!("sku-{}", n * 7 % 5)).collect();
        let steps = chance.between(15, 45) * shards.min(3) as u64;
        let torn = bulky && chance.one_in(2);
        let weights = [
            if bulky { 60 } else { chance.between(10, 40) },
            // Few steps make large frames, of which more can tear.
            if torn { 8 } else { steps },
            if shards == 1 { 0 } else { chance.between(4, 25) },
            chance.between(1, 8),
            chance.between(3, 12),
            chance.between(1, 6),
            // Some nodes are short-lived, some are restless.
            match (torn, chance.one_in(4)) {
                (true, _) => chance.between(8, 16),
                (false, true) => chance.between(3, 9),
                (false, false) => chance.between(1, 3),
            },
            if shards > 1 && chance.one_in(3) {
                chance.between(4, 16)
            } else {
                chance.between(1, 3)
            },
            chance.between(1, 3),
            chance.between(1, 8),
            chance.between(1, 8),
        ];
        let mut profile = Self {
            shards,
            limits,
            ticks: chance.between(120, 500),
            buyers,
            skus,
            faults,
            rates,
            weights,
            bulky,
            lot_units_max: if bulky { 12 } else { *chance.pick(&[2, 5, 12]) },
            hold_seconds_max: *chance.pick(&[1, 3, 20]),
            advance_us_max: *chance.pick(&[2_000, 50_000, 400_000]),
            retention_us: *chance.pick(&[0, RETENTION_SHORT_US, RETENTION_US]),
            journal_keep_bytes: *chance.pick(&[None, Some(0), Some(30_000)]),
            archives: chance.one_in(2),
            payment_extension_us: *chance.pick(&[0, 1_500_000, 4_000_000]),
            standby: !chance.one_in(3),
            sales: chance.one_in(2),
            journal_max_bytes: None,
            sinks: Vec::new(),
        };
        profile.draw_sinks(&mut Chance::new(seed, 9 << 32));
        profile
    }

    /// Draws sinks for some runs, from a stream of their own: runs without are as they were.
    fn draw_sinks(&mut self, chance: &mut Chance) {
        if !chance.one_in(SEEDS_A_SINK) {
            return;
        }
        let count = chance.between(1, SinkName::ALL.len() as u64) as usize;
        self.sinks = SinkName::ALL[..count].iter().map(|_| Character::draw(chance)).collect();
        let more = Fault::ALL[Fault::OF_ALL..].iter().map(|(fault, _)| *fault);
        self.faults.extend(more.filter(|_| !chance.one_in(3)));
        self.weights[STORE_WEIGHT] = chance.between(6, 24);
        self.weights[UPKEEP_WEIGHT] = chance.between(2, 12);
        self.journal_keep_bytes = *chance.pick(&[None, Some(0), Some(0), Some(10_000)]);
        self.journal_max_bytes = *chance.pick(&[None, Some(12_000), Some(25_000), Some(60_000)]);
        self.limits.sink_unsynced_bytes_max = *chance.pick(&[1 << 10, 1 << 20]);
        self.limits.sink_batch_records_max = *chance.pick(&[4, 4, 32]);
        for sink in &mut self.sinks {
            if chance.one_in(4) {
                sink.rows_max = chance.between(1, 8);
            }
        }
    }
}

/// The ceilings: as low as tests have them, some of them higher or lower yet.
fn limits(chance: &mut Chance, bulky: bool) -> Limits {
    let mut limits = TINY;
    if bulky || chance.one_in(3) {
        limits.inbox_orders_max = 16;
        limits.inbox_vital_max = 16;
        limits.batch_commands_max = 8;
        limits.steps_unanswered_max = 8;
        limits.expiries_per_step_max = 4;
        limits.keys_per_buyer_max = 8;
    }
    if chance.one_in(3) {
        limits.inbox_peer_max = 1;
    }
    if chance.one_in(2) {
        // Where a segment ends among its frames decides what a crash may leave behind its seal.
        limits.segment_bytes = SECTOR_BYTES as u64 * chance.between(9, 18);
    }
    if chance.one_in(4) {
        limits.order_patience_us = 20_000;
    }
    limits.payments_per_order_max = chance.between(1, 3) as usize;
    limits.live_orders_max = match chance.one_in(6) {
        true => chance.between(8, 24) as usize,
        false => 4_096,
    };
    limits
}

/// Short names and long ones, so that frames have one sector or several.
fn name(chance: &mut Chance, number: u64, bulky: bool) -> String {
    let filling = match bulky {
        true => 240,
        false if chance.one_in(2) => 0,
        false => chance.index(240),
    };
    format!("buyer-{number}{}", "x".repeat(filling))
}
