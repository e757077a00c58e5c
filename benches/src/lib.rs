//! Benchmarks of Sluice and of the peers it is compared with.
//!
//! `benches/` holds the criterion benchmarks, `src/bin/` the runs over HTTP. Results worth keeping
//! go to `history.jsonl`.

pub mod bare;
pub mod calls;
pub mod commands;
pub mod contest;
pub mod entrant;
pub mod filled;
pub mod goal;
pub mod history;
pub mod peer;
pub mod processor;
pub mod quantiles;
pub mod rush;
pub mod server;
pub mod service;
pub mod single;
pub mod sinks;
pub mod standing;

/// The allocator that the server uses, for every benchmark as well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
