//! `sluice-loadgen`: drives load at a Sluice server and audits it from outside.

fn main() {}
