//! Records of what sinks pass over.

use super::RecordError;
use super::fields::{Reader, length, put};
use crate::event::layout;
use crate::event::{RecordSkipped, SinkName};

pub(super) fn encode_record_skipped(skipped: &RecordSkipped<'_>, out: &mut Vec<u8>) {
    put(
        out,
        &layout::RecordSkippedV1 {
            sink: skipped.sink as u8,
            sequence: skipped.sequence.into(),
            why_length: length(skipped.why.as_bytes()),
        },
    );
    out.extend_from_slice(skipped.why.as_bytes());
}

pub(super) fn decode_record_skipped<'a>(
    reader: &mut Reader<'a, '_>,
) -> Result<RecordSkipped<'a>, RecordError> {
    let fixed: layout::RecordSkippedV1 = reader.fixed()?;
    let sink = SinkName::from_number(fixed.sink);
    Ok(RecordSkipped {
        sink: sink.ok_or(RecordError::Field { field: "sink" })?,
        sequence: fixed.sequence.get(),
        why: reader.text(fixed.why_length, "why")?,
    })
}
