//! Frames of the journal, read by a parser of its own, so that the oracle does not share the
//! journal's mistakes. Checks no checksum: it looks at what the journal is about to write.

/// A frame on its way to the disk.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The first sequence in it, or the next one to come.
    pub first_sequence: u64,
    /// How many records it holds.
    pub count: u64,
    /// What it calls durable.
    pub durable_up_to: u64,
    /// Its records.
    pub records: Vec<Box<[u8]>>,
}

/// Bytes of a frame's header.
const HEADER_BYTES: usize = 64;

impl Frame {
    /// The frame that these bytes are; `None` if they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(b"SLFR") {
            return None;
        }
        let length = word(bytes, 8) as usize;
        let count = word(bytes, 12);
        let mut rest = bytes.get(HEADER_BYTES..length)?;
        let mut records = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (prefix, behind) = rest.split_at_checked(4)?;
            let (record, after) = behind.split_at_checked(word(prefix, 0) as usize)?;
            records.push(Box::from(record));
            rest = after;
        }
        Some(Self {
            first_sequence: long(bytes, 16),
            count,
            durable_up_to: long(bytes, 24),
            records,
        })
    }

    /// The last sequence in it; the one before it if it holds none.
    pub const fn last_sequence(&self) -> u64 {
        self.first_sequence + self.count - 1
    }
}

/// Where in a segment frames seem to begin, in bytes.
pub fn offsets(segment: &[u8]) -> Vec<usize> {
    let starts = (0..segment.len()).step_by(512);
    starts.filter(|start| segment[*start..].starts_with(b"SLFR")).collect()
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
