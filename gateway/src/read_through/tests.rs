//! Reads of retired orders: how many queries they cost.
