//! Sinks over a journal on disk and a database in a file.
