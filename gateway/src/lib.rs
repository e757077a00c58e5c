//! The HTTP gateway of Sluice.
