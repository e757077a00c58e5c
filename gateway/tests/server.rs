//! The server as others meet it: the real binary, real sockets.

mod baskets;
mod consumer;
mod contract;
mod copies;
mod detached;
mod disk_full;
mod harness;
mod hostile;
mod outages;
mod ownership;
mod payments;
mod processes;
mod retired;
mod sales;
mod shop;
mod sinks;
mod small_disk;
mod standby;
mod upkeep;
