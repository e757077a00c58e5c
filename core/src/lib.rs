//! The engine of Sluice: an in-memory inventory ledger, sharded, made durable by a journal.
//!
//! Layers, from the ground up (every arrow points down; `architecture/` enforces it):
//! `limits` · `id`, `name`, `quantity`, `money`, `time` · `command`, `event`, `outcome`, … ·
//! `ledger`, `journal` · `shard` · `engine`.

pub mod id;
pub mod limits;
pub mod money;
pub mod name;
pub mod planted;
pub mod quantity;
pub mod storage;
pub mod time;
