//! An open-loop load generator for Sluice.
