//! The engine of Sluice.
