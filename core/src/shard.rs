//! A shard: one thread's worth of ledger, with bounded lanes in front of it and the journal behind.

pub mod inbox;
mod moving;
pub mod parker;
mod publish;
pub mod reply;
mod retention;
mod step;
pub mod worker;

pub use retention::Retention;
pub use step::{Progress, Shard, Surroundings};
