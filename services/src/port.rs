//! Free ports for servers that are stopped and started again.
//!
//! They are taken from below the range that the kernel gives to outgoing connections. A port from
//! inside it could be lost while its server is down: to any outgoing connection, and to the very
//! client that tries to reach it, which then talks to itself (TCP's simultaneous open).

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context as _, Result};

/// Below this lie the ports of well-known services.
const FIRST: u16 = 10_000;

/// Above this, if the system does not say, lie those of outgoing connections.
const END: u16 = 32_768;

/// How often a server that finds its port taken is given another.
pub(crate) const ATTEMPTS_MAX: usize = 10;

/// A port of 127.0.0.1 that nobody listens on now.
pub(crate) fn free() -> Result<u16> {
    let range = ports(std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok());
    // Processes that ask at the same time should not meet.
    let chance = RandomState::new().hash_one(std::process::id());
    let width = u64::from(range.end - range.start);
    let begin = range.start + (chance % width) as u16;
    let candidates = (begin..range.end).chain(range.start..begin);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    { candidates }.find(is_free).context("no port of 127.0.0.1 is free")
}

/// Whether a server did not start because somebody else had taken its port meanwhile.
pub(crate) fn is_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("Address already in use")
}

/// Where to look, given what `ip_local_port_range` says.
fn ports(outgoing: Option<String>) -> Range<u16> {
    let first = outgoing.and_then(|text| text.split_whitespace().next()?.parse().ok());
    let end = first.unwrap_or(END);
    // Where nearly all ports are for outgoing connections there is no choice.
    if end >= FIRST + 1_000 { FIRST..end } else { FIRST..END }
}

#[cfg(test)]
mod tests {
    use super::{free, ports};
    use std::net::TcpListener;

    #[test]
    fn ports_of_outgoing_connections_are_left_alone() {
        assert_eq!(ports(Some("32768\t60999\n".to_owned())), 10_000..32_768);
        assert_eq!(ports(Some("20000 65535".to_owned())), 10_000..20_000);
        assert_eq!(ports(Some("1024 65535".to_owned())), 10_000..32_768);
        assert_eq!(ports(None), 10_000..32_768);
    }

    #[test]
    fn a_free_port_can_be_listened_on() {
        let port = free().expect("there is one");
        let held = TcpListener::bind(("127.0.0.1", port)).expect("free");
        assert_ne!(free().expect("there is another"), port);
        drop(held);
    }
}
