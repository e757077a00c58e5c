//! Benchmarks of Sluice and of the peers it is compared with.
