//! Redis and PostgreSQL servers for tests and benchmarks: started on a folder of their own, paused,
//! killed and started again.
//!
//! Each lies in a temporary folder, is reached by a Unix socket there and by a free port of
//! 127.0.0.1, and ends when it is dropped or when the process that started it is gone, however
//! that came about. Nothing here knows what Sluice stores in them.

mod certificate;
mod daemon;
mod folder;
mod port;
mod postgres;
mod program;
mod redis;
mod tree;

pub use certificate::Tls;
pub use postgres::{Dump, Postgres, PostgresOptions};
pub use redis::{Persistence, Redis, RedisOptions};
