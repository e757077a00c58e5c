//! Scenarios of one ledger.
