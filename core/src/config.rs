//! What an engine is opened with.

use crate::limits::{DEFAULT, Limits};
use crate::watermark::Watermark;

/// The settings of an engine. The caller has checked their ranges.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The number of this cell; stands in frames and ids.
    pub cell: u16,
    /// How many shards: 1 … `limits.shards_max`.
    pub shards: usize,
    /// How many reply ports (gateway workers and other submitters): 1 … `limits.ports_max`.
    pub ports: usize,
    /// Every ceiling.
    pub limits: Limits,
    /// Where segment ids and the first hash key come from: random bytes of the caller's.
    pub seed: [u8; 32],
    /// How far the SQL sink has come, if there is one. What it has not stored stays.
    pub sql: Option<Watermark>,
    /// How far all other sinks have come. Their copies need the journal, too.
    pub other_sinks: Vec<Watermark>,
    /// How long a final order stays in the ledger, and its key with it, in microseconds.
    pub retention_us: u64,
    /// Bytes of the journal that are kept at least; `None`: all.
    pub journal_keep_bytes: Option<u64>,
    /// Bytes of the journal at which it is kept no longer for a sink that is behind; `None`: only
    /// when the disk is full. Counts if `journal_keep_bytes` does.
    pub journal_max_bytes: Option<u64>,
    /// How long a hold lasts at least from the first start of its payment, in microseconds: at most
    /// [`PAYMENT_EXTENSION_US_MAX`]. 0: a payment puts no deadline off.
    pub payment_extension_us: u64,
}

/// The longest that a start of payment may put a deadline off, in microseconds: one hour.
pub const PAYMENT_EXTENSION_US_MAX: u64 = 3_600 * 1_000_000;

/// How long final orders stay by default: 30 days.
pub const RETENTION_US: u64 = 30 * 86_400 * 1_000_000;

impl EngineConfig {
    /// One shard and one port with the default ceilings, over 32 random bytes.
    pub const fn new(seed: [u8; 32]) -> Self {
        Self {
            cell: 1,
            shards: 1,
            ports: 1,
            limits: DEFAULT,
            seed,
            sql: None,
            other_sinks: Vec::new(),
            retention_us: RETENTION_US,
            journal_keep_bytes: None,
            journal_max_bytes: None,
            payment_extension_us: 0,
        }
    }
}
