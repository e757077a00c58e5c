//! Opens a journal as an engine does, and keeps what it reads.

use sluice_core::journal::{Fatal, JournalConfig, Opened, open};
use sluice_core::storage::Storage;
use sluice_core::time::Timestamp;

/// Opens the journal in `storage`. `records` gets all records up to where reading ended, which come
/// without a gap.
pub(crate) fn open_into<S: Storage + Clone>(
    storage: S,
    config: JournalConfig,
    now: Timestamp,
    records: &mut Vec<Vec<u8>>,
) -> Result<Opened<S>, Fatal> {
    let mut visit = |sequence: sluice_core::quantity::Sequence, _: Timestamp, record: &[u8]| {
        assert_eq!(sequence.get(), records.len() as u64 + 1);
        records.push(record.to_vec());
        Ok(())
    };
    open(storage, config, None, now, &mut visit, &mut || {})
}
