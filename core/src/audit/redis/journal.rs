//! The journal, read on and on as the copy moves.

use std::collections::VecDeque;

use crate::event::record::{self, LastNames};
use crate::journal::Reader;
use crate::storage::Storage;

use super::super::skips::Skips;
use super::super::{AuditError, Record};

/// A place in the journal.
pub(super) struct Journal<S: Storage> {
    reader: Reader<S>,
    /// Records of the last frame that were not asked for yet.
    held: VecDeque<Box<[u8]>>,
    names: LastNames,
    /// The last sequence that was given.
    at: u64,
    /// The one before the first that is kept.
    floor: u64,
}

impl<S: Storage + Clone> Journal<S> {
    /// Before the first record that is kept, which must be `first`.
    pub(super) fn open(storage: &S, first: u64) -> Result<Self, AuditError> {
        let reader = Reader::open(storage.clone())?;
        if reader.next_sequence() != first {
            return Err(AuditError::Trimmed);
        }
        let (held, names, floor) = (VecDeque::new(), LastNames::default(), first - 1);
        Ok(Self { reader, held, names, at: floor, floor })
    }
}

impl<S: Storage> Journal<S> {
    /// The last sequence that was given.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// The last sequence that is proven durable, from here on.
    pub(super) fn last(&mut self) -> Result<u64, AuditError> {
        let mut last = self.at + self.held.len() as u64;
        while let Some(frame) = self.reader.next_proven()? {
            last = last.max(frame.first_sequence + frame.count - 1);
        }
        Ok(last)
    }

    /// Gives the records of one frame, up to `through`. Says whether there were any.
    pub(super) fn step(
        &mut self,
        through: u64,
        skips: &Skips,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<bool, AuditError> {
        if through < self.floor {
            return Err(AuditError::Behind { through, first: self.floor + 1 });
        }
        if through < self.at {
            return Err(AuditError::SetBack { before: self.at, after: through });
        }
        if through == self.at {
            return Ok(false);
        }
        if self.held.is_empty() {
            if self.reader.next_sequence() <= through && self.reader.is_at_end()? {
                return Err(AuditError::Ahead { through, last: self.reader.next_sequence() - 1 });
            }
            if let Some(frame) = self.reader.next_durable(through)? {
                // A mark or a seal holds none.
                self.held.extend(frame.records.map(Box::from));
            }
        }
        while self.at < through {
            let Some(bytes) = self.held.pop_front() else { break };
            self.at += 1;
            self.give(&bytes, skips, visit)?;
        }
        Ok(true)
    }

    fn give(
        &mut self,
        bytes: &[u8],
        skips: &Skips,
        visit: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), AuditError> {
        let (sequence, is_skipped) = (self.at, skips.has(self.at));
        match record::decode_next(bytes, &mut self.names) {
            Ok((meta, event)) => {
                visit(&Record { sequence, meta: &meta, event: &event, bytes, is_skipped });
                Ok(())
            }
            Err(_) if is_skipped => Ok(()),
            Err(error) => Err(AuditError::Record { sequence, what: error.to_string() }),
        }
    }
}
