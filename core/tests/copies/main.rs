//! The copies of a real engine's journal: in SQL, in files and on servers, and in Redis.

mod in_redis;
mod in_sql;
mod living;
