//! What engines of tests live through, before their journals are copied.

pub(crate) mod life;
pub(crate) mod more;
pub(crate) mod selling;
