//! A deterministic simulator for the engine of Sluice.
//!
//! The production shards, journal and recovery run in one thread under a seed, over a simulated
//! disk and clock; a naive model judges every record and every answer. The same seed is the same
//! run, event by event.

pub mod chance;
mod checks;
pub mod clients;
pub mod cuts;
pub mod deadlines;
pub mod disk;
mod faults;
pub mod frame;
mod healing;
pub mod marks;
pub mod model;
pub mod mutants;
pub mod node;
pub mod profile;
pub mod refusals;
pub mod requests;
mod restart;
pub mod run;
pub mod scenario;
mod sectors;
pub mod sink;
pub mod world;
