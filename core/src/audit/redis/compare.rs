//! Two hashes: what the journal says, and what is there.

use std::collections::BTreeMap;

use crate::sink::RedisHash;

use super::Audit;

/// A hash that the journal calls for.
pub(super) struct Expected {
    /// The last record that made it what it is.
    pub(super) sequence: u64,
    /// Its fields; `None` for one of which a trimmed journal does not tell.
    pub(super) fields: BTreeMap<&'static str, Option<String>>,
}

impl Audit<'_> {
    /// Compares one hash. `expected` is nothing if the journal calls for none.
    pub(super) fn compare(
        &mut self,
        table: &'static str,
        key: &str,
        expected: Option<&Expected>,
        found: &RedisHash,
    ) {
        let key = key.to_owned();
        match (expected, found) {
            (None, RedisHash::None) => {}
            (Some(expected), RedisHash::None) => {
                self.differs(table, key, "row", ("present", "missing"), expected.sequence);
            }
            (Some(expected), RedisHash::NoHash) => {
                self.differs(table, key, "row", ("a hash", "something else"), expected.sequence);
            }
            (None, RedisHash::NoHash) => {
                self.differs(table, key, "row", ("missing", "something else"), 0);
            }
            (None, found) => {
                // Without the beginning, what else there is was made before.
                let sequence = sequence_of(found);
                if self.first == 1 || sequence >= self.first {
                    self.differs(table, key, "row", ("missing", "present"), sequence);
                }
            }
            (Some(expected), RedisHash::Fields(fields)) => {
                self.count(table, 1);
                self.compare_fields(table, &key, expected, fields);
            }
        }
    }

    fn compare_fields(
        &mut self,
        table: &'static str,
        key: &str,
        expected: &Expected,
        found: &BTreeMap<String, String>,
    ) {
        for (field, wanted) in &expected.fields {
            let Some(wanted) = wanted else { continue };
            let found = found.get(*field);
            if found != Some(wanted) {
                let found = found.map_or("nothing", String::as_str);
                self.differs(table, key.to_owned(), field, (wanted, found), expected.sequence);
            }
        }
        for (field, value) in found {
            // A field that may be there although the journal does not tell stands as `None`.
            if !expected.fields.contains_key(field.as_str()) {
                let found = format!("{field} {value}");
                let what = ("nothing", found.as_str());
                self.differs(table, key.to_owned(), "row", what, expected.sequence);
            }
        }
    }
}

/// The record that a hash says it is from; 0 if it says none.
fn sequence_of(found: &RedisHash) -> u64 {
    let RedisHash::Fields(fields) = found else { return 0 };
    fields.get("sequence").and_then(|sequence| sequence.parse().ok()).unwrap_or(0)
}
