//! The generator over real sockets, against a shop that can cheat.

mod audit;
mod cli;
mod courses;
mod results;
mod shop;
mod traffic;
