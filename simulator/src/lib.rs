//! A deterministic simulator for the engine of Sluice.
