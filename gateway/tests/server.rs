//! The server as others meet it: the real binary, real sockets.

mod contract;
mod copies;
mod disk_full;
mod harness;
mod hostile;
mod ownership;
mod processes;
mod retired;
mod small_disk;
mod upkeep;
