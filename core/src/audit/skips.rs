//! Records that operators let the sink pass over: what its copy is to leave out.

use std::collections::BTreeMap;

use crate::event::SinkName;
use crate::event::record;
use crate::journal::{Fatal, Reader};
use crate::storage::Storage;

/// A record that the copy was to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The record.
    pub sequence: u64,
    /// The record that says so.
    pub said: u64,
    /// Why, in the operator's words.
    pub why: Box<str>,
}

/// All of them, by their sequences.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skips(BTreeMap<u64, Skip>);

impl Skips {
    /// Looks through the whole journal: what is to be left out stands before the word that says so.
    /// `through` is durable, and so is what later frames prove.
    pub(super) fn find<S: Storage + Clone>(
        storage: &S,
        sink: SinkName,
        through: u64,
    ) -> Result<Self, Fatal> {
        let mut reader = Reader::open(storage.clone())?;
        let mut found = BTreeMap::new();
        loop {
            let known = reader.next_sequence() <= through && !reader.is_at_end()?;
            let frame = if known { reader.next_durable(through) } else { reader.next_proven() };
            let Some(frame) = frame? else { break };
            for (said, bytes) in (frame.first_sequence..).zip(frame.records) {
                let Some(skipped) = record::skipped(bytes).filter(|it| it.sink == sink) else {
                    continue;
                };
                let (sequence, why) = (skipped.sequence, Box::from(skipped.why));
                found.entry(sequence).or_insert(Skip { sequence, said, why });
            }
        }
        Ok(Self(found))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, sequence: u64) -> bool {
        self.0.contains_key(&sequence)
    }

    /// Those that a copy up to `through` was to leave out.
    pub(super) fn up_to(&self, through: u64) -> Vec<Skip> {
        self.0.range(..=through).map(|(_, skip)| skip.clone()).collect()
    }
}
