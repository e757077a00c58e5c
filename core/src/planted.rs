//! Planted bugs, which the simulator must find before its silence means anything.
//!
//! Without the cargo feature `planted-bugs` every question is answered `false` at compile time
//! and nothing of this is left in the program. With it, a thread may switch on one bug for itself.

/// A bug that can be planted. Each names the line of thought that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bug {
    /// Answers leave before the sync of the record they rest on (I2).
    AckBeforeSync,
    /// Refusals leave at once, although a record staged before them is not synced (I2).
    RefusalBeforeSync,
    /// A failed sync is tried again and its success believed (I12).
    RetryFailedSync,
    /// The directory is not synced after a segment got its name.
    NoDirectorySync,
    /// Recovery believes a frame without looking at its checksum.
    ChecksumSkipped,
    /// Recovery takes a frame that a recycled or stale segment still holds.
    StaleSegmentAccepted,
    /// Damage in the middle is taken for a torn tail (I12).
    DamagedMiddleCut,
    /// The torn tail is left in place behind the cut.
    TornTailLeft,
    /// One unit more is granted than there is (I1).
    OffByOneInStock,
    /// A cancel gives back the units to the wrong lot.
    UnitsReturnedToFirstLot,
    /// A cancelled order's units come back twice (I1).
    ReturnedTwice,
    /// The key is not claimed when the order is applied (I3).
    KeyForgotten,
    /// The per-buyer limit looks at the order alone, not at what the buyer holds.
    BuyerLimitPerOrder,
    /// A hold ends a moment before its deadline (I10).
    ExpiresEarly,
    /// An order that was cancelled expires as well (I10).
    ExpiresAfterCancel,
    /// A released provisional hold is forgotten: its units are gone until restart.
    ProvisionalLeaked,
    /// A confirmed provisional hold is not taken off the provisional count.
    ConfirmKeepsProvisional,
    /// `sold_out` is said although the missing units are only held provisionally.
    SoldOutWhileProvisional,
    /// A shard hands its batch to the journal without reserving its sequences first.
    SequenceOutOfOrder,
    /// A moved SKU takes messages before the other shards have paused.
    MoveWithoutBarrier,
    /// Views show stock before the records it rests on are durable (I2).
    ViewBeforeSync,
    /// Recovery takes the last frame for durable because it can be read.
    TailTrusted,
    /// Orders of a slot that came from elsewhere do not count against the ceiling (I6).
    MovedOrdersUncounted,
    /// A retired order can still be found.
    RetiredOrderStays,
    /// Orders leave before their retention is over (I3).
    RetiredEarly,
    /// Orders leave although SQL has not stored them.
    RetiredUnstored,
    /// Keys are left out of snapshots (I3).
    SnapshotWithoutKeys,
    /// A snapshot gets its name before it is synced.
    SnapshotUnsynced,
    /// A snapshot is taken for whole although its last sections are missing.
    SnapshotUnchecked,
    /// Segments are trimmed that no snapshot covers.
    TrimmedPastSnapshots,
    /// Segments are trimmed that SQL has not stored (I7).
    TrimmedPastWatermark,
    /// New orders take what is kept for endings on a full disk.
    ReserveTakenByOrders,
    /// Whoever came last is served first (I11).
    StandbyLastFirst,
    /// The limit of a sale is not looked at.
    SaleLimitForgotten,
    /// A change of a sale is answered before all SKU owners know.
    SaleAnsweredEarly,
    /// A success that is told twice gives the money back.
    PaidTwiceRefunded,
    /// A notice with a wrong amount confirms the payment.
    MismatchConfirmed,
    /// A hold ends at the deadline that its payment put off (I10).
    ExtensionForgotten,
    /// Those who wait are left out of what is read from a snapshot (I11).
    SnapshotWithoutQueue,
    /// A late payment takes units that others wait for (I11).
    LatePaymentJumps,
    /// A place in the queue that is given back stays taken.
    ReleasedTicketStays,
    /// A newcomer takes units that others wait for (I11).
    NewcomerPasses,
    /// Whoever waits when a sale ends waits for ever.
    DismissedNever,
    /// A step serves and dismisses as many as there are who wait.
    ServedWithoutEnd,
    /// A page of orders is the last one if the order that the one before ended with has left.
    PageEndsWithItsOrder,
    /// Orders of one moment are listed as they came, not by their ids.
    MomentOutOfOrder,
    /// A page that looked at as many orders as it may is taken for the last one.
    PageLookedFarEnough,
    /// A sink that has lost its store goes on from where it remembers to have been (I8).
    SinkTrustsItsMemory,
    /// A batch whose answer was lost is sent again without asking what the store has.
    BatchRepeatedBlindly,
    /// A batch that takes longer than anybody waits is tried again as it is, for ever.
    BatchNeverShrinks,
    /// What a full batch leaves of a frame is forgotten (I8).
    RestOfFrameLost,
    /// A record that is to begin another batch is in neither (I8).
    CutRecordLost,
    /// Others are told what a store has stored, not what it has synced.
    UnsyncedTold,
    /// What an earlier process stored is told without a sync.
    EarlierUnsyncedTold,
    /// A record that a store does not take is passed over without a word (I8).
    PoisonPassedOver,
    /// What is to be passed over is forgotten when the store is opened again.
    SkipsForgotten,
    /// A sink passes over what another one was to pass over (I8).
    SkipsOfOthersHonoured,
    /// A record is tried again although somebody is about to say that it is passed over.
    PromisedRecordTried,
    /// A sink stores what is written and not synced yet (I2).
    StoredBeyondDurable,
    /// The journal is kept again for a sink that lacks what is gone.
    AttachedTooEarly,
    /// Segments are trimmed that a sink other than SQL has not stored (I7).
    OtherSinksTrimmed,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 61] = [
        Self::AckBeforeSync,
        Self::RefusalBeforeSync,
        Self::RetryFailedSync,
        Self::NoDirectorySync,
        Self::ChecksumSkipped,
        Self::StaleSegmentAccepted,
        Self::DamagedMiddleCut,
        Self::TornTailLeft,
        Self::OffByOneInStock,
        Self::UnitsReturnedToFirstLot,
        Self::ReturnedTwice,
        Self::KeyForgotten,
        Self::BuyerLimitPerOrder,
        Self::ExpiresEarly,
        Self::ExpiresAfterCancel,
        Self::ProvisionalLeaked,
        Self::ConfirmKeepsProvisional,
        Self::SoldOutWhileProvisional,
        Self::SequenceOutOfOrder,
        Self::MoveWithoutBarrier,
        Self::ViewBeforeSync,
        Self::TailTrusted,
        Self::MovedOrdersUncounted,
        Self::RetiredOrderStays,
        Self::RetiredEarly,
        Self::RetiredUnstored,
        Self::SnapshotWithoutKeys,
        Self::SnapshotUnsynced,
        Self::SnapshotUnchecked,
        Self::TrimmedPastSnapshots,
        Self::TrimmedPastWatermark,
        Self::ReserveTakenByOrders,
        Self::StandbyLastFirst,
        Self::SaleLimitForgotten,
        Self::SaleAnsweredEarly,
        Self::PaidTwiceRefunded,
        Self::MismatchConfirmed,
        Self::ExtensionForgotten,
        Self::SnapshotWithoutQueue,
        Self::LatePaymentJumps,
        Self::ReleasedTicketStays,
        Self::NewcomerPasses,
        Self::DismissedNever,
        Self::ServedWithoutEnd,
        Self::PageEndsWithItsOrder,
        Self::MomentOutOfOrder,
        Self::PageLookedFarEnough,
        Self::SinkTrustsItsMemory,
        Self::BatchRepeatedBlindly,
        Self::BatchNeverShrinks,
        Self::RestOfFrameLost,
        Self::CutRecordLost,
        Self::UnsyncedTold,
        Self::EarlierUnsyncedTold,
        Self::PoisonPassedOver,
        Self::SkipsForgotten,
        Self::SkipsOfOthersHonoured,
        Self::PromisedRecordTried,
        Self::StoredBeyondDurable,
        Self::AttachedTooEarly,
        Self::OtherSinksTrimmed,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
    static DAWDLES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// No bug: lets the shards of this thread be slow between reserving sequences and sending their
/// batch, as a thread may be that is preempted there. One thread alone never is.
#[cfg(feature = "planted-bugs")]
pub fn dawdle(dawdles: bool) {
    DAWDLES.with(|cell| cell.set(dawdles));
}

/// Whether shards are slow between reserving and sending.
#[cfg(feature = "planted-bugs")]
pub fn dawdles() -> bool {
    DAWDLES.with(std::cell::Cell::get)
}

/// Whether shards are slow on purpose: never, in a build without the feature.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn dawdles() -> bool {
    false
}

/// Switches one bug on, or all off, for this thread.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    ACTIVE.with(|active| active.set(bug));
}

/// Whether this bug is planted in this thread.
#[cfg(feature = "planted-bugs")]
#[inline]
pub fn is(bug: Bug) -> bool {
    ACTIVE.with(|active| active.get() == Some(bug))
}

/// Whether this bug is planted: never, in a build without the feature.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}
