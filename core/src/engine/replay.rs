//! Replay: the journal's records become a ledger.
//!
//! Records are applied in order but a few at a time: the tables that a handful of orders will
//! look into are looked into first, so that their cache misses overlap instead of queueing up.

use crate::event::{Event, Genesis, record};
use crate::journal::RecordError;
use crate::ledger::Ledger;
use crate::limits::Limits;
use crate::quantity::Sequence;
use crate::time::Timestamp;

/// Records that are looked at before the first of them is applied.
const LOOKAHEAD: usize = 16;

/// A ledger that is being rebuilt.
pub struct Replay {
    ledger: Ledger,
    genesis: Option<Genesis>,
    last_time: Timestamp,
    last_sequence: u64,
    /// Records that wait, one after the other, with their sequences and ends.
    bytes: Vec<u8>,
    waiting: Vec<(Sequence, usize)>,
}

impl Replay {
    /// Of a journal that has not begun.
    pub fn new(limits: Limits) -> Self {
        Self {
            ledger: Ledger::new(limits),
            genesis: None,
            last_time: Timestamp::ZERO,
            last_sequence: 0,
            bytes: Vec::new(),
            waiting: Vec::with_capacity(LOOKAHEAD),
        }
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// Which record makes the journal unreadable for this program, and why.
    ///
    /// # Panics
    /// If a record contradicts the state (I1, I3, I10).
    pub fn take(&mut self, sequence: Sequence, record: &[u8]) -> Result<(), RecordError> {
        self.bytes.extend_from_slice(record);
        self.waiting.push((sequence, self.bytes.len()));
        if self.waiting.len() < LOOKAHEAD { Ok(()) } else { self.flush() }
    }

    /// Applies what waits and gives the ledger, the journal's identity and its last time.
    ///
    /// # Errors
    /// As [`Replay::take`].
    pub fn finish(mut self) -> Result<(Ledger, Option<Genesis>, Timestamp), RecordError> {
        self.flush()?;
        Ok((self.ledger, self.genesis, self.last_time))
    }

    /// The sequence of the last record that was begun to be applied.
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        let bytes = std::mem::take(&mut self.bytes);
        let ends = self.waiting.iter().map(|(_, end)| *end);
        let starts = std::iter::once(0).chain(ends.clone());
        let records = starts.zip(ends).map(|(start, end)| &bytes[start..end]);
        self.ledger.warm(records.filter_map(record::peek_placed));
        let mut start = 0;
        for (sequence, end) in std::mem::take(&mut self.waiting) {
            let applied = self.apply(sequence, &bytes[start..end]);
            applied.map_err(|what| RecordError::new(format!("sequence {sequence}: {what}")))?;
            start = end;
        }
        self.bytes = bytes;
        self.bytes.clear();
        Ok(())
    }

    fn apply(&mut self, sequence: Sequence, bytes: &[u8]) -> Result<(), String> {
        self.last_sequence = sequence.get();
        let (meta, event) = record::decode(bytes).map_err(|error| error.to_string())?;
        match &event {
            Event::Genesis(first) if self.genesis.is_none() => self.genesis = Some(*first),
            Event::Genesis(_) => return Err("the journal begins twice".to_owned()),
            _ if self.genesis.is_none() => return Err("the journal has no beginning".to_owned()),
            _ => {}
        }
        self.last_time = self.last_time.max(meta.time);
        self.ledger.replay(&meta, &event)
    }
}
