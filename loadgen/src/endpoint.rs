//! Where to connect: an `http://host:port`, and whether that is this machine.
//!
//! Resolves names once; never follows redirects or proxies.

use std::fmt;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::error::{Error, Result};

/// A parsed `http://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    key: &'static str,
    authority: String,
    host: String,
    port: u16,
}

impl Endpoint {
    /// Parses the value of the setting `key`.
    pub fn parse(key: &'static str, url: &str) -> Result<Endpoint> {
        let bad = || Error::setting(key, url, "must be http://HOST[:PORT], without a path");
        let authority = url.strip_prefix("http://").ok_or_else(bad)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.is_empty() || !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(bad());
        }
        if authority.contains(['/', '?', '#', '@']) {
            return Err(bad());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, 80),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(bad());
        }
        Ok(Endpoint { key, authority: authority.to_owned(), host: host.to_owned(), port })
    }

    /// `host:port` as the `Host` header wants it.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The first address of this endpoint that accepts a connection.
    pub(crate) fn reach(&self, allow_remote: bool, patience: Duration) -> Result<SocketAddr> {
        let addresses = self.resolve()?;
        if !allow_remote
            && let Some(remote) = addresses.iter().find(|address| !address.ip().is_loopback())
        {
            return Err(Error::setting(
                self.key,
                self,
                format!(
                    "{} is not this machine; give --allow-remote if you may put load on it",
                    remote.ip()
                ),
            ));
        }
        let mut why = "the name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(_) => return Ok(address),
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(Error::Unreachable { url: self.to_string(), why })
    }

    fn resolve(&self) -> Result<Vec<SocketAddr>> {
        match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(Error::Unreachable { url: self.to_string(), why: error.to_string() }),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;
    use crate::error::Error;
    use std::time::Duration;

    #[test]
    fn urls_are_read_with_and_without_a_port() {
        for (url, host, port) in [
            ("http://127.0.0.1:8080", "127.0.0.1", 8080),
            ("http://localhost/", "localhost", 80),
            ("http://[::1]:9", "::1", 9),
            ("http://[::1]", "::1", 80),
        ] {
            let endpoint = Endpoint::parse("target", url).unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_by_name() {
        for url in [
            "",
            "https://a",
            "http://",
            "http://a/b",
            "http://u@a",
            "http://a:99999",
            "http://a b",
            "http://:80",
        ] {
            let error = Endpoint::parse("target", url).unwrap_err();
            assert!(matches!(error, Error::Setting { key: "target", .. }), "{url}");
        }
    }

    #[test]
    fn another_machine_needs_leave() {
        let endpoint = Endpoint::parse("target", "http://192.0.2.1:80").unwrap();
        let error = endpoint.reach(false, Duration::from_millis(1)).unwrap_err();
        assert!(error.to_string().contains("--allow-remote"), "{error}");
    }
}
