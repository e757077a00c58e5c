//! What engines of tests live through, before their journals are copied.

pub(crate) mod life;
#[allow(dead_code, reason = "not every test needs more")]
pub(crate) mod more;
pub(crate) mod selling;
