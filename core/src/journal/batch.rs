//! Records that are staged together. Knows their lengths and nothing of what they say.

/// Records one after the other, each behind its length (`u32`, little-endian).
#[derive(Clone, Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    count: usize,
}

/// Bytes of the length that stands before each record.
pub(super) const PREFIX_BYTES: usize = 4;

impl Batch {
    /// No records, no memory.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), count: 0 }
    }

    /// No records, with room for `bytes` of them and their lengths.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    /// Adds the record that `write` appends to the buffer. Returns its length in bytes.
    ///
    /// # Panics
    /// If `write` shortens the buffer, or the record is longer than 4 GiB.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len() + PREFIX_BYTES;
        self.bytes.extend_from_slice(&[0; PREFIX_BYTES]);
        write(&mut self.bytes);
        let length = self.bytes.len().checked_sub(start).expect("the record is appended");
        let prefix = u32::try_from(length).expect("a record has less than 4 GiB").to_le_bytes();
        self.bytes[start - PREFIX_BYTES..start].copy_from_slice(&prefix);
        self.count += 1;
        length
    }

    /// Adds a record that is encoded already.
    pub fn push(&mut self, record: &[u8]) {
        self.push_with(|buffer| buffer.extend_from_slice(record));
    }

    /// How many records it holds.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records with their lengths.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records, without their lengths.
    pub fn records(&self) -> Records<'_> {
        Records::new(&self.bytes)
    }

    /// Takes all records out and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

/// Walks over records behind their lengths. Ends early at a length that leads past the end.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What could not be taken for a record; empty after a walk over well-formed bytes.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (prefix, behind) = self.rest.split_first_chunk::<PREFIX_BYTES>()?;
        let (record, rest) = behind.split_at_checked(u32::from_le_bytes(*prefix) as usize)?;
        self.rest = rest;
        Some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Records};

    #[test]
    fn keeps_records_behind_their_lengths() {
        let mut batch = Batch::new();
        batch.push(b"ab");
        batch.push(b"");
        assert_eq!(batch.push_with(|buffer| buffer.push(7)), 1);
        assert_eq!(batch.bytes(), b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0\x07");
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.records().collect::<Vec<_>>(), [b"ab".as_slice(), b"", b"\x07"]);
        batch.clear();
        assert!(batch.is_empty() && batch.bytes().is_empty());
    }

    #[test]
    fn a_length_that_leads_past_the_end_ends_the_walk() {
        let mut records = Records::new(b"\x01\0\0\0a\x02\0\0\0b");
        assert_eq!(records.next(), Some(b"a".as_slice()));
        assert_eq!(records.next(), None);
        assert_eq!(records.rest(), b"\x02\0\0\0b");
    }
}
