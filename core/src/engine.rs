//! The engine: opens the journal, recovers, starts the threads, takes commands, drains.

mod clock;
mod handle;

pub use clock::EngineClock;
pub use handle::{Busy, Handle, Shared};
