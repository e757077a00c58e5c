//! The journal of a real engine and its copy in a real Redis, whatever befalls the two (I7, I8).

mod faults;
#[allow(dead_code, reason = "what the ledger shows is held against SQL")]
#[path = "../living/mod.rs"]
mod living;
mod node;
mod proxy;
mod tampering;
mod whole;
