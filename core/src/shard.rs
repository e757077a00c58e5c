//! A shard: one thread's worth of ledger, with bounded lanes in front of it and the journal behind.

pub mod inbox;
pub mod parker;
pub mod reply;
