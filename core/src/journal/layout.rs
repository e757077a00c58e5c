//! The bytes of segments and frames. Everything that must never change stands here.
//!
//! All numbers are little-endian. A segment is one header sector and then frames, each beginning
//! on a sector of 512 bytes and padded with zeros to the next. Numbers of retired kinds are never
//! given out again.
//!
//! The checksum of a frame (CRC32C) begins with the random id of its segment and covers all of
//! the padded frame behind the checksum field, which includes the frame's own offset. So bytes of
//! another segment or of an earlier life of the same blocks do not pass, and a frame that is
//! intact but stands elsewhere can be told from a damaged one.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits::SECTOR_BYTES;

/// The sector, for arithmetic on offsets.
pub(super) const SECTOR: u64 = SECTOR_BYTES as u64;

/// First bytes of a segment.
pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"SLUICEJ1";

/// First bytes of a frame.
pub(super) const FRAME_MAGIC: [u8; 4] = *b"SLFR";

/// The version of all layouts here.
pub(super) const VERSION: u16 = 1;

/// No frame of this version is longer, whatever the settings: what a torn write can have touched.
pub(super) const FRAME_BYTES_CEILING: u64 = 1 << 20;

/// Bytes of a frame's header.
pub(super) const FRAME_HEADER_BYTES: usize = size_of::<FrameHeader>();

/// Bytes of a seal, before padding: header and the next segment's id.
pub(super) const SEAL_BYTES: usize = FRAME_HEADER_BYTES + 8;

/// The first sector of a segment.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SegmentHeader {
    pub(super) magic: [u8; 8],
    /// CRC32C of everything behind this field, to the end of the sector.
    pub(super) checksum: U32,
    pub(super) version: U16,
    pub(super) cell: U16,
    /// As in the file's name.
    pub(super) index: U64,
    /// Random; begins the checksum of each frame.
    pub(super) id: U64,
    /// Of the file, in bytes.
    pub(super) length: U64,
    pub(super) reserved: [u8; SECTOR_BYTES - 40],
}

/// What stands before the records of a frame.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FrameHeader {
    pub(super) magic: [u8; 4],
    /// CRC32C of the segment's id and everything behind this field, padding included.
    pub(super) checksum: U32,
    /// Header and body in bytes, without padding.
    pub(super) length: U32,
    /// Records in the body.
    pub(super) count: U32,
    /// Of the first record; of the next one to come if there is none.
    pub(super) first_sequence: U64,
    /// All records up to this one were durable when the frame was written.
    pub(super) durable_up_to: U64,
    /// Engine time in microseconds; never falls.
    pub(super) time: U64,
    /// Rises with each opening of the journal.
    pub(super) epoch: U32,
    pub(super) cell: U16,
    /// See [`Kind`].
    pub(super) kind: u8,
    pub(super) reserved_a: u8,
    /// Of this frame in its segment, in bytes.
    pub(super) offset: U64,
    pub(super) reserved_b: U64,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Holds records.
    Records = 1,
    /// Holds none: proves that the frame before it is durable, or begins an epoch.
    Mark = 2,
    /// The last frame of its segment. Its body is the id of the next one.
    Seal = 3,
}

impl Kind {
    pub(super) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Records),
            2 => Some(Self::Mark),
            3 => Some(Self::Seal),
            _ => None,
        }
    }
}

/// The length of a frame with its padding.
pub(super) const fn padded(length: u64) -> u64 {
    length.next_multiple_of(SECTOR)
}

impl SegmentHeader {
    /// A header with its checksum.
    pub(super) fn new(cell: u16, index: u64, id: u64, length: u64) -> Self {
        let mut header = Self {
            magic: SEGMENT_MAGIC,
            checksum: U32::ZERO,
            version: U16::new(VERSION),
            cell: U16::new(cell),
            index: U64::new(index),
            id: U64::new(id),
            length: U64::new(length),
            reserved: [0; SECTOR_BYTES - 40],
        };
        header.checksum = U32::new(header.computed_checksum());
        header
    }

    /// The checksum that belongs to the other fields.
    pub(super) fn computed_checksum(&self) -> u32 {
        crc32c::crc32c(&self.as_bytes()[12..])
    }
}

/// The checksum of a padded frame in the segment with this id.
pub(super) fn frame_checksum(segment_id: u64, padded_frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&segment_id.to_le_bytes()), &padded_frame[8..])
}

#[cfg(test)]
mod tests {
    use super::{
        FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, Kind, SegmentHeader, frame_checksum,
    };
    use zerocopy::byteorder::little_endian::{U16, U32, U64};
    use zerocopy::{FromBytes, IntoBytes};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn golden_bytes_of_a_segment_header() {
        let header = SegmentHeader::new(3, 0x12, 0x1122_3344_5566_7788, 4_608);
        let bytes = header.as_bytes();
        assert_eq!(bytes.len(), 512);
        assert_eq!(
            hex(&bytes[..40]),
            "534c554943454a3132269c260100030012000000000000008877665544332211\
             0012000000000000"
        );
        assert!(bytes[40..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn golden_bytes_of_a_frame() {
        let header = FrameHeader {
            magic: FRAME_MAGIC,
            checksum: U32::ZERO,
            length: U32::new(70),
            count: U32::new(1),
            first_sequence: U64::new(9),
            durable_up_to: U64::new(8),
            time: U64::new(0x0006_4000_0000_0001),
            epoch: U32::new(2),
            cell: U16::new(3),
            kind: Kind::Records as u8,
            reserved_a: 0,
            offset: U64::new(512),
            reserved_b: U64::ZERO,
        };
        let mut frame = header.as_bytes().to_vec();
        frame.extend_from_slice(b"\x02\0\0\0hi");
        frame.resize(512, 0);
        let checksum = frame_checksum(0x1122_3344_5566_7788, &frame);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(FRAME_HEADER_BYTES, 64);
        assert_eq!(
            hex(&frame[..70]),
            "534c46528259d91946000000010000000900000000000000080000000000000001000000\
             00400600020000000300010000020000000000000000000000000000020000006869"
        );
        let again = FrameHeader::read_from_bytes(&frame[..64]).expect("as long as a header");
        assert_eq!(again.first_sequence.get(), 9);
        assert_ne!(frame_checksum(1, &frame), checksum, "another segment, another checksum");
    }
}
