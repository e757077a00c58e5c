//! Redis and PostgreSQL as a contest starts them: on Unix sockets in folders of their own, for one
//! turn. They end when dropped, and when the contest is killed.

mod postgres;
mod redis;

use std::path::PathBuf;

use anyhow::{Result, ensure};

pub use postgres::PostgresServer;
pub use redis::{Fsync, RedisServer};

/// What a peer keeps its orders in.
pub trait Service {
    /// The process.
    ///
    /// # Errors
    /// If it has ended.
    fn id(&self) -> Result<u32>;

    /// Where a peer finds it.
    fn path(&self) -> PathBuf;

    /// What it says about itself: its version and the settings that count.
    ///
    /// # Errors
    /// If it does not answer.
    fn settings(&self) -> Result<String>;

    /// Puts `units` of `sku` on sale.
    ///
    /// # Errors
    /// If it does not answer.
    fn receive(&self, sku: &str, units: u64) -> Result<()>;

    /// What it has of `sku`.
    ///
    /// # Errors
    /// If it does not answer.
    fn books(&self, sku: &str) -> Result<Books>;
}

/// What a service has after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Books {
    /// Units that are left.
    pub available: i64,
    /// Orders, of one unit each.
    pub orders: u64,
}

impl Books {
    /// Holds them against what was received and what was answered.
    ///
    /// # Errors
    /// If more was sold than received, if an accepted order is missing or one is there that was
    /// not accepted, or if units are unaccounted for.
    pub fn check(&self, received: u64, accepted: u64) -> Result<()> {
        let Self { available, orders } = *self;
        ensure!(available >= 0, "oversold: {available} units available");
        ensure!(orders == accepted, "{orders} orders stored, {accepted} accepted");
        ensure!(
            available.unsigned_abs() + orders == received,
            "{received} units received, {available} available after {orders} orders of one"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Books;

    #[test]
    fn books_must_balance() {
        let right = Books { available: 7, orders: 3 };
        right.check(10, 3).expect("balanced");
        for (books, received, accepted, why) in [
            (Books { available: -1, ..right }, 2, 3, "oversold"),
            (right, 10, 4, "3 orders stored, 4 accepted"),
            (right, 10, 2, "3 orders stored, 2 accepted"),
            (right, 11, 3, "11 units received"),
        ] {
            let error = books.check(received, accepted).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
