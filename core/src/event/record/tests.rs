//! Golden bytes of every record, and what a decoder must refuse.
