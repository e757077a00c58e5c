//! The table of verdicts: what recovery makes of what it found where the frames of a segment end.
//!
//! Owns no files. [`judge`] is a pure function of [`Findings`], so each row is a line of a test.

use super::error::{Fatal, Place};
use super::layout::FRAME_BYTES_CEILING;
use crate::planted::{self, Bug};

/// Why the walk over a segment's frames stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Behind a seal.
    Sealed,
    /// At a sector of zeros or at the end of the segment.
    Nothing,
    /// At an intact frame that was written for another offset.
    Misplaced,
    /// At anything else that is not zero.
    Damaged(&'static str),
}

/// What is behind this segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// No segment.
    Missing,
    /// Segments of zeros only, made ahead of need. Not looked for behind a seal.
    Empty,
    /// A segment with anything else than zeros in it, by its index.
    Written(u64),
    /// Behind a seal: the segment that the seal names.
    Named,
    /// Behind a seal: a segment with another id than the seal names.
    Stranger,
}

/// All that a verdict rests on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Findings {
    pub(super) stop: Stop,
    /// Where it stopped.
    pub(super) offset: u64,
    /// The sequence that was expected there.
    pub(super) next_sequence: u64,
    /// The highest sequence that any intact frame calls durable.
    pub(super) mark: u64,
    /// The segment's length by its header, and by the file system.
    pub(super) length: u64,
    pub(super) file_length: u64,
    /// The end of the last sector behind `offset` that is not zero; 0 if there is none.
    pub(super) dirty_end: u64,
    /// Where the first intact frame behind the stop stands.
    pub(super) frame_behind: Option<u64>,
    pub(super) behind: Behind,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on in the next segment.
    Next,
    /// The journal ends here, as it should.
    CleanEnd,
    /// The last write did not reach the disk whole, and nothing rests on it: zero up to `end`.
    Cut {
        /// The end of what is not zero.
        end: u64,
        /// What the damage looks like.
        what: &'static str,
    },
    /// Refuse to start (I12).
    Refuse(String),
}

/// Judges. The first row that fits counts.
///
/// | stopped at | found | verdict |
/// |---|---|---|
/// | anything | the file is shorter or longer than its header says | refuse: a segment gets its name after its length is synced |
/// | an intact frame of another offset | – | refuse: no crash moves a frame |
/// | a seal | anything but zeros behind it | refuse: a seal is last, and synced before the next segment is used |
/// | a seal | no next segment | refuse: it was durable before the seal was written |
/// | a seal | a next segment with another id than the seal names | refuse: stale or of another journal |
/// | a seal | the next segment that the seal names | go on there |
/// | zeros or damage | a later segment that is not all zeros | refuse: it was used, so this one was sealed |
/// | zeros or damage | an intact frame behind | refuse: it proves that what stood here was durable |
/// | zeros or damage | a durable mark at or above the expected sequence | refuse: what stood here was durable |
/// | zeros or damage | bytes further behind than one frame can be long | refuse: one write was in flight, and did not reach there |
/// | damage | – | cut: a torn tail |
/// | zeros | other bytes behind | cut: a torn tail, of which the first sector is lost |
/// | zeros | – | clean end |
pub(super) fn judge(found: &Findings) -> Verdict {
    let stale_accepted = planted::is(Bug::StaleSegmentAccepted);
    if found.file_length != found.length {
        return Verdict::Refuse(format!(
            "the file has {} bytes and should have {}",
            found.file_length, found.length
        ));
    }
    match found.stop {
        Stop::Misplaced => {
            return Verdict::Refuse("an intact frame stands here that belongs elsewhere".into());
        }
        Stop::Sealed => return judge_seal(found, stale_accepted),
        Stop::Nothing | Stop::Damaged(_) => {}
    }
    let what = match found.stop {
        Stop::Damaged(what) => what,
        _ => "zeros stand where a frame should begin",
    };
    if planted::is(Bug::DamagedMiddleCut) && found.dirty_end > 0 {
        return Verdict::Cut { end: found.dirty_end, what };
    }
    if let Behind::Written(index) = found.behind {
        if stale_accepted {
            return Verdict::Next;
        }
        return Verdict::Refuse(format!(
            "{what}, and segment {index:016x} was written after it: damaged, or an old copy"
        ));
    }
    if let Some(offset) = found.frame_behind {
        return Verdict::Refuse(format!("{what}, and an intact frame follows at {offset}"));
    }
    if found.mark >= found.next_sequence {
        return Verdict::Refuse(format!("{what}, and it was durable up to {}", found.mark));
    }
    if found.dirty_end > found.offset + FRAME_BYTES_CEILING {
        return Verdict::Refuse(format!(
            "{what}, and other bytes follow up to {}, further than one write",
            found.dirty_end
        ));
    }
    if found.dirty_end > 0 {
        return Verdict::Cut { end: found.dirty_end, what };
    }
    Verdict::CleanEnd
}

fn judge_seal(found: &Findings, stale_accepted: bool) -> Verdict {
    if found.dirty_end > 0 {
        return Verdict::Refuse("bytes stand behind the seal of this segment".into());
    }
    match found.behind {
        Behind::Named => Verdict::Next,
        Behind::Stranger if stale_accepted => Verdict::Next,
        Behind::Stranger => Verdict::Refuse(
            "the next segment is not the one that this seal names: an old copy, or of another \
             journal"
                .into(),
        ),
        Behind::Missing | Behind::Empty | Behind::Written(_) => {
            Verdict::Refuse("this segment is sealed, and the next one is missing".into())
        }
    }
}

/// A refusal, in words.
pub(super) fn corrupt(segment: u64, offset: u64, sequence: u64, what: impl Into<String>) -> Fatal {
    Fatal::Corrupt { place: Place { segment, offset }, sequence, what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::{Behind, FRAME_BYTES_CEILING, Findings, Stop, Verdict, judge};

    const CLEAN: Findings = Findings {
        stop: Stop::Nothing,
        offset: 1_024,
        next_sequence: 8,
        mark: 7,
        length: 8 << 20,
        file_length: 8 << 20,
        dirty_end: 0,
        frame_behind: None,
        behind: Behind::Missing,
    };

    fn refuses(found: &Findings, words: &str) {
        match judge(found) {
            Verdict::Refuse(what) => assert!(what.contains(words), "{what}"),
            other => panic!("{other:?} instead of a refusal for {words}"),
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let damaged = Findings { stop: Stop::Damaged("torn"), dirty_end: 2_048, ..CLEAN };
        let sealed = Findings { stop: Stop::Sealed, behind: Behind::Named, ..CLEAN };

        refuses(&Findings { file_length: 4_096, ..sealed }, "should have");
        refuses(&Findings { file_length: 9 << 20, ..CLEAN }, "should have");
        refuses(&Findings { stop: Stop::Misplaced, ..CLEAN }, "belongs elsewhere");

        refuses(&Findings { dirty_end: 2_048, ..sealed }, "behind the seal");
        refuses(&Findings { behind: Behind::Missing, ..sealed }, "missing");
        refuses(&Findings { behind: Behind::Stranger, ..sealed }, "old copy");
        assert_eq!(judge(&sealed), Verdict::Next);

        for stopped in [CLEAN, damaged] {
            refuses(&Findings { behind: Behind::Written(2), ..stopped }, "written after");
            refuses(&Findings { frame_behind: Some(4_096), ..stopped }, "intact frame follows");
            refuses(&Findings { mark: 8, ..stopped }, "durable up to 8");
            let far = Findings { dirty_end: 1_536 + FRAME_BYTES_CEILING, ..stopped };
            refuses(&far, "further than one write");
        }

        assert_eq!(judge(&damaged), Verdict::Cut { end: 2_048, what: "torn" });
        assert_eq!(judge(&Findings { behind: Behind::Empty, ..damaged }), judge(&damaged));
        let headless = Findings { dirty_end: 2_048, ..CLEAN };
        assert!(matches!(judge(&headless), Verdict::Cut { end: 2_048, .. }));
        assert_eq!(judge(&CLEAN), Verdict::CleanEnd);
        assert_eq!(judge(&Findings { behind: Behind::Empty, ..CLEAN }), Verdict::CleanEnd);
    }
}
