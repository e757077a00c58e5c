//! The server as others meet it: the real binary, real sockets.

mod contract;
mod disk_full;
mod harness;
mod hostile;
mod ownership;
mod processes;
mod upkeep;
