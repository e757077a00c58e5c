//! What must happen sometimes: a mark that is never hit says that the simulator looks away.

/// A situation worth meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Mark {
    /// A crash found a frame written and not synced.
    CrashBetweenWriteAndSync,
    /// A crash found orders in flight on several shards.
    CrashWithSeveralInFlight,
    /// A crash came while the journal was being opened.
    CrashInRecovery,
    /// A crash found a name that was not durable yet.
    CrashBeforeDirectorySync,
    /// Recovery cut a torn tail.
    TornTailCut,
    /// A crash found pages that count as clean and are not on the disk.
    PagesForsaken,
    /// A journal was refused because its disk had rotted.
    RotRefused,
    /// Rot in the last frame passed for a torn tail: the stated gap.
    RotInTheGap,
    /// A stale or missing segment was refused.
    StaleRefused,
    /// A write failed in part.
    WriteFailed,
    /// A sync failed.
    SyncFailed,
    /// Blocks could not be reserved.
    AllocateFailed,
    /// A rename failed.
    RenameFailed,
    /// The directory could not be synced.
    DirectorySyncFailed,
    /// The disk was full while a segment was being made for the writer.
    NoSpaceInRotation,
    /// A segment was made ahead of need.
    SegmentMadeAhead,
    /// The other shards went on after the journal had failed.
    StepAfterFailure,
    /// A retry met the first request in flight and got its order.
    RetryMeetsFirst,
    /// A retry after a crash got the order of before.
    RetryAfterCrash,
    /// A retry after a crash made the order that the crash had taken back.
    OrderMadeAfterLoss,
    /// A hold was parked at a SKU until others settled.
    HoldParked,
    /// Too many waited behind one order in flight, or at one SKU.
    WaitingTurnedAway,
    /// A hold expired while its cancel was on its way.
    ExpiryBeatsCancel,
    /// More holds ended in one step than it may end.
    ExpiriesSliced,
    /// An order of several lines was placed over several shards.
    LinesOverShards,
    /// An order of several lines was refused after some of them were held.
    LinesRefused,
    /// A value moved while orders were in flight.
    MoveInFlight,
    /// A command reached a shard that owned its value no more.
    MovedWhileSelling,
    /// A ring between shards was full.
    PeerRingFull,
    /// A batch reached the journal before one with lower sequences.
    ReorderBufferUsed,
    /// Too many steps waited for the journal.
    UnansweredFull,
    /// A lane in front of a shard was full.
    LaneFull,
    /// An order waited too long in its lane.
    PatienceOver,
    /// The wall clock leapt ahead.
    ClockAhead,
    /// The wall clock leapt back.
    ClockBack,
    /// A node started with its wall clock behind the journal.
    StartBehindJournal,
    /// A node started with another number of shards.
    Resharded,
    /// Refused: sold out.
    SaidSoldOut,
    /// Refused: the buyer's limit.
    SaidBuyerLimit,
    /// Refused: the price.
    SaidPriceChanged,
    /// Refused: the key was used for another request.
    SaidKeyReused,
    /// Refused: too many keys.
    SaidTooManyKeys,
    /// Refused: different currencies.
    SaidCurrenciesDiffer,
    /// Refused: the id is taken.
    SaidOrderIdTaken,
    /// Refused: lots or withdrawals beyond their ceiling.
    SaidCapacity,
    /// Refused: as many orders live as may.
    LiveOrdersFull,
    /// Refused: a lot of that name with another body.
    SaidLotExists,
    /// Refused: a withdrawal of that name with another body.
    SaidWithdrawalExists,
    /// An order left the ledger.
    OrderRetired,
    /// A key made an order after its first one had left.
    KeyUsedAnew,
    /// The store of SQL was put back to an older copy.
    StoreRolledBack,
    /// A step of upkeep failed.
    UpkeepFailed,
    /// A segment was trimmed.
    SegmentTrimmed,
    /// A node started from a snapshot.
    StartedFromSnapshot,
    /// A crash found a snapshot half made.
    CrashInSnapshot,
    /// A rotten snapshot was passed over.
    RottenSnapshotPassedOver,
    /// The disk was full for a while.
    DiskFull,
    /// Refused: the disk has room for endings only.
    SaidDiskReserve,
    /// A hold ended while the disk was full.
    EndedOnFullDisk,
    /// An order waits for units.
    OrderWaits,
    /// A waiting order got its units on a node with several shards.
    PromotedAcrossShards,
    /// Units were set aside for an order that its buyer had cancelled meanwhile.
    PromotionTooLate,
    /// A crash found units set aside for an order that waits.
    CrashInPromotion,
    /// A smaller waiting order passed a larger one.
    StandbyPassed,
    /// A waiting order left because its units would cost too much.
    StandbyTooDear,
    /// Orders were waiting when their sale ended.
    SaleEndedWithWaiting,
    /// A sale ended because its time was over.
    SaleEndedByTime,
    /// A page had orders, and its place was that of no order in the ledger.
    PageBehindNone,
    /// A page had orders of the same moment.
    MomentListed,
    /// A page ended because it had looked at as many orders as it may.
    PageLookedFar,
    /// A SKU was made after the sale that it is in.
    SkuMadeAfterSale,
    /// A start of payment put a deadline off.
    DeadlinePutOff,
    /// A payment was heard of in the very tick in which the hold had ended.
    PaidAtDeadline,
    /// A late payment got its units.
    LatePaymentConfirmed,
    /// A late payment was given back.
    LatePaymentRefunded,
    /// A second payment was given back.
    SecondPaymentRefunded,
    /// An operator gave money back, and units to stock.
    RefundedToStock,
    /// An operator gave money back and withdrew the units.
    RefundedAndWithdrawn,
    /// A provider gave money back.
    RefundSettled,
    /// A provider could not give money back.
    RefundFailed,
    /// A notice fitted no payment.
    NoticeUnmatched,
    /// A notice fitted no payment yet.
    NoticeTooEarly,
    /// A parcel that had left was told once more.
    ShippedAgain,
    /// An order was delivered.
    Delivered,
    /// A basket was refused for a later line, because that reason is named first.
    BasketRanked,
    /// Refused: the sale has not opened.
    SaidSaleNotOpen,
    /// Refused: the sale is paused.
    SaidSalePaused,
    /// Refused: the sale is over.
    SaidSaleEnded,
    /// Refused: the buyer's limit over a sale.
    SaidSaleLimit,
    /// Refused: a SKU is in another sale.
    SaidSkuInSale,
    /// Refused: too many wait.
    SaidStandbyFull,
    /// Refused: too many payments of one order.
    SaidPaymentsFull,
    /// A store needed longer for a batch than anybody waits.
    BatchTookTooLong,
    /// A record had no room in a batch that had others, and began another one.
    BatchCut,
    /// A store did what was asked, and its answer was lost.
    ReplyLost,
    /// A store did what somebody had asked who was gone.
    StoredLate,
    /// A crash found a batch on its way to a store.
    CrashInStoring,
    /// A store lost what it had not synced.
    StoreLostPower,
    /// A store lost everything.
    StoreWiped,
    /// A store was replaced while it was open.
    StoreReplaced,
    /// A sink found fewer records in its store than before.
    SinkRewound,
    /// A sink stopped at a record that its store does not take.
    PoisonMet,
    /// A sink was just trying what an operator wanted to be passed over.
    PromiseRefused,
    /// A record was passed over because an operator said so.
    RecordPassedOver,
    /// A record was taken after all.
    PoisonMended,
    /// Trimming waited for a sink.
    TrimmingWaited,
    /// The journal was kept no longer for a sink.
    SinkDetached,
    /// A segment was trimmed that such a sink may have needed.
    TrimmedForDetached,
    /// Such a sink caught up.
    AttachedAgain,
    /// A sink caught up from the archive.
    ReadFromArchive,
    /// What a sink lacked was gone.
    SinkLost,
}

impl Mark {
    /// All marks, in order.
    pub const ALL: [Self; 111] = [
        Self::CrashBetweenWriteAndSync,
        Self::CrashWithSeveralInFlight,
        Self::CrashInRecovery,
        Self::CrashBeforeDirectorySync,
        Self::TornTailCut,
        Self::PagesForsaken,
        Self::RotRefused,
        Self::RotInTheGap,
        Self::StaleRefused,
        Self::WriteFailed,
        Self::SyncFailed,
        Self::AllocateFailed,
        Self::RenameFailed,
        Self::DirectorySyncFailed,
        Self::NoSpaceInRotation,
        Self::SegmentMadeAhead,
        Self::StepAfterFailure,
        Self::RetryMeetsFirst,
        Self::RetryAfterCrash,
        Self::OrderMadeAfterLoss,
        Self::HoldParked,
        Self::WaitingTurnedAway,
        Self::ExpiryBeatsCancel,
        Self::ExpiriesSliced,
        Self::LinesOverShards,
        Self::LinesRefused,
        Self::MoveInFlight,
        Self::MovedWhileSelling,
        Self::PeerRingFull,
        Self::ReorderBufferUsed,
        Self::UnansweredFull,
        Self::LaneFull,
        Self::PatienceOver,
        Self::ClockAhead,
        Self::ClockBack,
        Self::StartBehindJournal,
        Self::Resharded,
        Self::SaidSoldOut,
        Self::SaidBuyerLimit,
        Self::SaidPriceChanged,
        Self::SaidKeyReused,
        Self::SaidTooManyKeys,
        Self::SaidCurrenciesDiffer,
        Self::SaidOrderIdTaken,
        Self::SaidCapacity,
        Self::LiveOrdersFull,
        Self::SaidLotExists,
        Self::SaidWithdrawalExists,
        Self::OrderRetired,
        Self::KeyUsedAnew,
        Self::StoreRolledBack,
        Self::UpkeepFailed,
        Self::SegmentTrimmed,
        Self::StartedFromSnapshot,
        Self::CrashInSnapshot,
        Self::RottenSnapshotPassedOver,
        Self::DiskFull,
        Self::SaidDiskReserve,
        Self::EndedOnFullDisk,
        Self::OrderWaits,
        Self::PromotedAcrossShards,
        Self::PromotionTooLate,
        Self::CrashInPromotion,
        Self::StandbyPassed,
        Self::StandbyTooDear,
        Self::SaleEndedWithWaiting,
        Self::SaleEndedByTime,
        Self::PageBehindNone,
        Self::MomentListed,
        Self::PageLookedFar,
        Self::SkuMadeAfterSale,
        Self::DeadlinePutOff,
        Self::PaidAtDeadline,
        Self::LatePaymentConfirmed,
        Self::LatePaymentRefunded,
        Self::SecondPaymentRefunded,
        Self::RefundedToStock,
        Self::RefundedAndWithdrawn,
        Self::RefundSettled,
        Self::RefundFailed,
        Self::NoticeUnmatched,
        Self::NoticeTooEarly,
        Self::ShippedAgain,
        Self::Delivered,
        Self::BasketRanked,
        Self::SaidSaleNotOpen,
        Self::SaidSalePaused,
        Self::SaidSaleEnded,
        Self::SaidSaleLimit,
        Self::SaidSkuInSale,
        Self::SaidStandbyFull,
        Self::SaidPaymentsFull,
        Self::BatchTookTooLong,
        Self::BatchCut,
        Self::ReplyLost,
        Self::StoredLate,
        Self::CrashInStoring,
        Self::StoreLostPower,
        Self::StoreWiped,
        Self::StoreReplaced,
        Self::SinkRewound,
        Self::PoisonMet,
        Self::PromiseRefused,
        Self::RecordPassedOver,
        Self::PoisonMended,
        Self::TrimmingWaited,
        Self::SinkDetached,
        Self::TrimmedForDetached,
        Self::AttachedAgain,
        Self::ReadFromArchive,
        Self::SinkLost,
    ];
}

/// How often each mark was hit.
#[derive(Clone, Debug)]
pub struct Marks {
    hits: [u64; Mark::ALL.len()],
}

impl Default for Marks {
    fn default() -> Self {
        Self { hits: [0; Mark::ALL.len()] }
    }
}

impl Marks {
    /// The situation was met.
    pub const fn hit(&mut self, mark: Mark) {
        self.hits[mark as usize] += 1;
    }

    /// How often it was met.
    pub const fn hits(&self, mark: Mark) -> u64 {
        self.hits[mark as usize]
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.hits.iter_mut().zip(other.hits) {
            *mine += theirs;
        }
    }

    /// What was never met.
    pub fn missing(&self) -> Vec<Mark> {
        Mark::ALL.into_iter().filter(|mark| self.hits(*mark) == 0).collect()
    }
}
