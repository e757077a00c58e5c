//! Connections: what HTTP/1.1 leaves to whoever serves it. Ceilings, deadlines, and a second look
//! at what the parser lets pass.

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod pace;
pub(crate) mod sentry;
pub(crate) mod watched;
