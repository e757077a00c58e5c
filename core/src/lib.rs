//! The engine of Sluice: an in-memory inventory ledger, sharded, made durable by a journal.
//!
//! Layers, from the ground up (every arrow points down; `architecture/` enforces it):
//! `limits` · `id`, `name`, `quantity`, `money`, `time` · `command`, `event`, `outcome`, … ·
//! `ledger`, `journal` · `shard`, `sink` · `engine`, `audit`.

pub mod audit;
pub mod command;
pub mod config;
pub mod engine;
pub mod event;
pub mod id;
pub mod journal;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod money;
pub mod name;
pub mod outcome;
pub mod planted;
pub mod quantity;
pub mod router;
pub mod shard;
pub mod sink;
pub mod snapshot;
pub mod storage;
pub mod time;
pub mod view;
pub mod watermark;
