//! Where a Redis server is, and how one gets in.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
};

use super::super::error::{SinkError, Trouble};
use super::trouble::from_redis;

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What may be behind the question mark of an address.
const PARAMETERS: [&str; 4] = ["protocol=2", "protocol=3", "protocol=resp2", "protocol=resp3"];

/// The address of a Redis server. Nothing that prints it shows a password.
#[derive(Clone)]
pub struct RedisAddress(ConnectionInfo);

/// Why an address is none. Says nothing of what was given: a password may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the address of a Redis server: redis://[user:password@]host[:port][/database], or \
     rediss://… for TLS, with no parameter but protocol=resp2 or resp3; what is no letter or digit in a password is written as %XX"
)]
pub struct NoRedisAddress;

impl RedisAddress {
    /// Reads `redis://…` or `rediss://…`.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(url: &str) -> Result<Self, NoRedisAddress> {
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            return Err(NoRedisAddress);
        }
        // The crate passes over parameters that it does not know, and a setting with them.
        let (_, query) = url.split_once('?').unwrap_or_default();
        let mut parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        if !parameters.all(|parameter| PARAMETERS.contains(&parameter)) {
            return Err(NoRedisAddress);
        }
        let info = url.into_connection_info().map_err(|_| NoRedisAddress)?;
        let has_host = match info.addr() {
            ConnectionAddr::Tcp(host, _) => !host.is_empty(),
            ConnectionAddr::TcpTls { host, insecure, .. } => !host.is_empty() && !insecure,
            _ => false,
        };
        if has_host { Ok(Self(info)) } else { Err(NoRedisAddress) }
    }

    /// What connections are made of.
    pub(super) fn info(&self) -> ConnectionInfo {
        self.0.clone()
    }

    /// How connections behave whose answers may take so long.
    pub(super) fn behaviour(patience: Duration) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(Some(patience))
    }

    /// A connection of its own, which nothing makes anew behind one's back.
    pub(super) async fn connect(
        &self,
        patience: Duration,
    ) -> Result<MultiplexedConnection, SinkError> {
        self.prepare();
        let client = Client::open(self.info()).map_err(|error| from_redis(&error))?;
        let behaviour = Self::behaviour(patience);
        let connected = client.get_multiplexed_async_connection_with_config(&behaviour).await;
        connected.map_err(|error| match from_redis(&error) {
            error if error.trouble == Trouble::Other => {
                SinkError::new(Trouble::Unreachable, error.what)
            }
            error => error,
        })
    }

    /// An error of this server, with where it is.
    pub(super) fn says(&self, error: &SinkError) -> SinkError {
        SinkError::new(error.trouble, format!("{self}: {}", error.what))
    }

    /// Sees to it that TLS has its cryptography: ring, as everywhere.
    pub(super) fn prepare(&self) {
        if matches!(self.0.addr(), ConnectionAddr::TcpTls { .. }) {
            // Somebody may have done it before.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self.0.addr() {
            ConnectionAddr::Tcp(host, port) => ("redis", host, port),
            ConnectionAddr::TcpTls { host, port, .. } => ("rediss", host, port),
            _ => return f.write_str("redis"),
        };
        // An IPv6 address is told from its port by brackets.
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{host}{close}:{port}/{}", self.0.redis_settings().db())
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::RedisAddress;

    #[test]
    fn an_address_is_shown_without_what_is_secret() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost:6379/0"),
            ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("redis://:hidden@cache", "redis://cache:6379/0"),
            ("rediss://me:hid%40den@cache:1/", "rediss://cache:1/0"),
            ("redis://a:1/2?protocol=resp3", "redis://a:1/2"),
            ("redis://[::1]:7000", "redis://[::1]:7000/0"),
        ] {
            let address = RedisAddress::parse(url).expect(url);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("RedisAddress({shown})"));
        }
    }

    #[test]
    fn what_is_no_address_is_not_repeated() {
        for url in [
            "",
            "hidden",
            "http://hidden",
            "unix:///hidden",
            "redis://",
            "redis://hidden:port",
            "redis://h/hidden",
            "rediss://hidden/#insecure",
            "redis://hidden/?password=hidden",
            "redis://hidden/?protocol=resp3&timeout=1",
        ] {
            let error = RedisAddress::parse(url).expect_err(url);
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
}
