//! Every ceiling of the engine, in one place (I6).
//!
//! Two values: [`DEFAULT`] for production and [`TINY`] for tests, so that every edge is met.
//! The relations between the ceilings are checked when this file is compiled.

/// Number of buyer slots of a node. Part of the journal's format: an order id names its slot.
pub const SLOTS: usize = 1_024;

/// Longest buyer id, in bytes.
pub const BUYER_BYTES_MAX: usize = 255;

/// Longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// Longest name of a SKU, lot or withdrawal, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Longest free text (title of a SKU, reason of a withdrawal), in bytes.
pub const TEXT_BYTES_MAX: usize = 255;

/// How much is kept of an id in a notice, in bytes. More than an id of ours has, so that no cut makes
/// one of another's.
pub const NOTICE_ID_BYTES_MAX: usize = 64;

/// How much is kept of a currency in a notice, in bytes. More than a code has.
pub const NOTICE_CURRENCY_BYTES_MAX: usize = 16;

/// Smallest unit of a torn write that the journal counts with, in bytes.
pub const SECTOR_BYTES: usize = 512;

/// The ceilings. One value per process, chosen at start, passed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Shards of one node.
    pub shards_max: usize,
    /// Gateway workers (reply ports) of one node.
    pub ports_max: usize,
    /// Requests one port may have in flight.
    pub port_requests_max: usize,
    /// New orders that may wait in front of one shard.
    pub inbox_orders_max: usize,
    /// Vital commands that may wait in front of one shard.
    pub inbox_vital_max: usize,
    /// Batches of messages that may wait between one pair of shards.
    pub inbox_peer_max: usize,
    /// Commands that one step takes from its lanes.
    pub batch_commands_max: usize,
    /// Orders of one shard that may wait for other shards' answers.
    pub orders_in_flight_max: usize,
    /// Orders that may wait at one SKU until provisional holds settle.
    pub parked_per_sku_max: usize,
    /// Commands of one buyer that may wait for that buyer's order in flight.
    pub parked_per_buyer_max: usize,
    /// Steps of one shard whose answers may wait for the journal.
    pub steps_unanswered_max: usize,
    /// Holds that one step ends because their time is over.
    pub expiries_per_step_max: usize,
    /// How long an order may wait in an inbox before it is refused undecided, in microseconds.
    pub order_patience_us: u64,
    /// SKUs of one shard.
    pub skus_max: usize,
    /// Lots of one SKU.
    pub lots_per_sku_max: usize,
    /// Withdrawals of one SKU.
    pub withdrawals_per_sku_max: usize,
    /// Live orders of one node. Each shard counts its own, up to the share of its slots.
    pub live_orders_max: usize,
    /// Live idempotency keys of one buyer.
    pub keys_per_buyer_max: usize,
    /// Orders that may wait for one SKU.
    pub standby_per_sku_max: u64,
    /// Waiting orders of one buyer.
    pub standby_per_buyer_max: usize,
    /// Payments that may be begun for one order.
    pub payments_per_order_max: usize,
    /// Sales of one node, ended ones included.
    pub sales_max: usize,
    /// SKUs of one sale.
    pub skus_per_sale_max: usize,
    /// Lines of one order.
    pub lines_per_order_max: usize,
    /// Lots that one order may draw from, over all its lines.
    pub draws_per_order_max: usize,
    /// Orders on one page of a listing.
    pub page_orders_max: usize,
    /// Orders that one page of a listing looks at, fitting or not; the next one goes on from there.
    pub page_looked_at_max: usize,
    /// Newer orders that a page passes over to find its place, if the order that the page before
    /// ended with has left.
    pub page_passed_max: usize,
    /// SKUs on one page of a listing.
    pub page_skus_max: usize,
    /// Longest encoded record, in bytes.
    pub record_bytes_max: usize,
    /// Longest frame with its header and padding, in bytes.
    pub frame_bytes_max: usize,
    /// Records of one frame.
    pub frame_records_max: usize,
    /// Length of a journal segment, in bytes.
    pub segment_bytes: u64,
    /// Length of the first segment of an empty directory, in bytes.
    pub first_segment_bytes: u64,
    /// Segments that are prepared ahead of need.
    pub segments_ahead: usize,
    /// Segments beyond these that are kept for endings when the disk is full.
    pub segments_reserve: usize,
    /// Finished segments that make a new snapshot worth its while.
    pub snapshot_segments: u64,
    /// Bytes of a snapshot that are written and synced at once.
    pub snapshot_chunk_bytes: usize,
    /// Batches that shards may have queued at the journal thread.
    pub journal_queue_max: usize,
    /// Records of one transaction of a sink; what more the last frame holds is stored with them.
    pub sink_batch_records_max: usize,
    /// Encoded bytes of the records of one transaction of a sink, the last frame not counted.
    pub sink_batch_bytes_max: usize,
    /// Records of one call of the sink that fills Redis: everybody else there waits for it.
    pub redis_batch_records_max: usize,
    /// Encoded bytes of records that a sink stores until it makes the store sync them.
    pub sink_unsynced_bytes_max: usize,
    /// Names of SKUs and lots that a sink keeps at hand.
    pub sink_names_max: usize,
    /// Requests for retired orders that may wait for the database.
    pub reads_waiting_max: usize,
    /// Retired orders that are kept in memory once they were read.
    pub retired_orders_max: usize,
    /// Ids of which it is remembered that no retired order has them.
    pub absent_orders_max: usize,
    /// Orders that one pass of an audit holds.
    pub audit_orders_max: usize,
    /// Rows that an audit reads at once.
    pub audit_rows_max: usize,
}

/// What production runs with.
pub const DEFAULT: Limits = checked(Limits {
    shards_max: 64,
    ports_max: 128,
    port_requests_max: 16_384,
    inbox_orders_max: 16_384,
    inbox_vital_max: 16_384,
    inbox_peer_max: 1_024,
    batch_commands_max: 4_096,
    orders_in_flight_max: 65_536,
    parked_per_sku_max: 4_096,
    parked_per_buyer_max: 64,
    steps_unanswered_max: 1_024,
    expiries_per_step_max: 1_024,
    order_patience_us: 5_000_000,
    skus_max: 65_536,
    lots_per_sku_max: 1_000,
    withdrawals_per_sku_max: 10_000,
    live_orders_max: 50_000_000,
    keys_per_buyer_max: 1_000,
    standby_per_sku_max: 2_000_000,
    standby_per_buyer_max: 20,
    payments_per_order_max: 100,
    sales_max: 4_096,
    skus_per_sale_max: 1_000,
    lines_per_order_max: 20,
    draws_per_order_max: 1_000,
    page_orders_max: 100,
    page_looked_at_max: 1_000,
    page_passed_max: 10_000,
    page_skus_max: 1_000,
    record_bytes_max: 128 << 10,
    // The largest of which two fit into the smallest segment that may be set, 1 MiB.
    frame_bytes_max: 1_023 * SECTOR_BYTES,
    frame_records_max: 8_192,
    segment_bytes: 64 << 20,
    first_segment_bytes: 2 << 20,
    segments_ahead: 1,
    segments_reserve: 2,
    snapshot_segments: 4,
    snapshot_chunk_bytes: 1 << 20,
    journal_queue_max: 256,
    sink_batch_records_max: 8_192,
    sink_batch_bytes_max: 2 << 20,
    // Half a millisecond to one; 12 to 18 microseconds a record.
    redis_batch_records_max: 32,
    sink_unsynced_bytes_max: 16 << 20,
    sink_names_max: 65_536,
    reads_waiting_max: 16_384,
    retired_orders_max: 65_536,
    absent_orders_max: 65_536,
    audit_orders_max: 262_144,
    audit_rows_max: 4_096,
});

/// What tests run with, so that every ceiling is met.
pub const TINY: Limits = checked(Limits {
    shards_max: 8,
    ports_max: 4,
    port_requests_max: 64,
    inbox_orders_max: 4,
    inbox_vital_max: 8,
    inbox_peer_max: 4,
    batch_commands_max: 2,
    orders_in_flight_max: 4,
    parked_per_sku_max: 2,
    parked_per_buyer_max: 2,
    steps_unanswered_max: 4,
    expiries_per_step_max: 2,
    order_patience_us: 1_000_000,
    skus_max: 16,
    lots_per_sku_max: 4,
    withdrawals_per_sku_max: 4,
    live_orders_max: 64,
    keys_per_buyer_max: 3,
    standby_per_sku_max: 4,
    standby_per_buyer_max: 2,
    payments_per_order_max: 3,
    sales_max: 4,
    skus_per_sale_max: 3,
    lines_per_order_max: 3,
    draws_per_order_max: 4,
    page_orders_max: 2,
    page_looked_at_max: 3,
    page_passed_max: 6,
    page_skus_max: 2,
    record_bytes_max: 1_024,
    frame_bytes_max: 2_048,
    frame_records_max: 4,
    segment_bytes: 4_608,
    first_segment_bytes: 4_608,
    segments_ahead: 1,
    segments_reserve: 1,
    snapshot_segments: 1,
    snapshot_chunk_bytes: 8 << 10,
    journal_queue_max: 8,
    sink_batch_records_max: 4,
    sink_batch_bytes_max: 512,
    redis_batch_records_max: 2,
    sink_unsynced_bytes_max: 1_024,
    sink_names_max: 2,
    reads_waiting_max: 4,
    retired_orders_max: 8,
    absent_orders_max: 8,
    audit_orders_max: 3,
    audit_rows_max: 2,
});

/// Checks the relations between the ceilings; a broken one does not compile.
const fn checked(limits: Limits) -> Limits {
    assert!(limits.inbox_orders_max >= limits.batch_commands_max);
    // Gateway workers keep shards as bits of one word.
    assert!(limits.shards_max >= 1 && limits.shards_max <= 64);
    assert!(limits.frame_bytes_max.is_multiple_of(SECTOR_BYTES));
    assert!(limits.segment_bytes.is_multiple_of(SECTOR_BYTES as u64));
    assert!(limits.first_segment_bytes.is_multiple_of(SECTOR_BYTES as u64));
    assert!(limits.first_segment_bytes <= limits.segment_bytes);
    // A record fits into a frame beside the frame's header (one sector is ample for it).
    assert!(limits.record_bytes_max + SECTOR_BYTES <= limits.frame_bytes_max);
    // A frame never straddles segments; two fit, beside the segment's own header sector.
    assert!(2 * limits.frame_bytes_max as u64 + SECTOR_BYTES as u64 <= limits.first_segment_bytes);
    // A shard may have as few slots as there are slots for the most shards.
    assert!(limits.live_orders_max >= limits.shards_max);
    // A buyer's keys and waiting orders are counted in 16 bits.
    assert!(limits.keys_per_buyer_max <= u16::MAX as usize);
    assert!(limits.standby_per_buyer_max <= u16::MAX as usize);
    assert!(limits.payments_per_order_max >= 1);
    // The definition of the largest sale fits into a record.
    assert!(
        2 * TEXT_BYTES_MAX + limits.skus_per_sale_max * (NAME_BYTES_MAX + 1)
            <= limits.record_bytes_max
            || limits.skus_per_sale_max <= 4
    );
    // An empty batch, page or pass would never end.
    assert!(limits.sink_batch_records_max >= 1 && limits.sink_batch_bytes_max >= 1);
    assert!(limits.redis_batch_records_max >= 1);
    assert!(limits.audit_orders_max >= 1 && limits.audit_rows_max >= 1);
    assert!(limits.reads_waiting_max >= 1);
    // The largest order: two raw strings, lines and draws with their names, and fixed fields.
    assert!(
        BUYER_BYTES_MAX
            + KEY_BYTES_MAX
            + 128
            + limits.lines_per_order_max * 8
            + limits.draws_per_order_max * (NAME_BYTES_MAX + 24)
            <= limits.record_bytes_max
            || limits.draws_per_order_max <= 4
    );
    limits
}

impl Default for Limits {
    fn default() -> Self {
        DEFAULT
    }
}
