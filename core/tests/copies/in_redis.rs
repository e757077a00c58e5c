//! The journal of a real engine and its copy in a real Redis, whatever befalls the two (I7, I8).

mod faults;
mod node;
mod proxy;
mod sales;
mod tampering;
mod whole;
