//! Where the SQL copy is kept: a file, or a server's address with its password, which is never shown.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::storage::DatabaseFile;

/// What the sink's connections call themselves, if the address does not say otherwise.
const APPLICATION: &str = "sluice";

/// Parameters that an address may have. Others would be ignored, and shown in a log.
const PARAMETERS: [&str; 14] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "application_name",
    "options",
];

/// A SQL database that a cell is copied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// SQLite, in a file.
    Sqlite(DatabaseFile),
    /// PostgreSQL, on a server.
    Postgres(PostgresAddress),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => file.path().display().fmt(f),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

/// How a PostgreSQL server is found and entered.
#[derive(Clone)]
pub struct PostgresAddress(Arc<Address>);

struct Address {
    /// As it was given. Never shown.
    url: String,
    shown: String,
    options: PgConnectOptions,
}

impl PostgresAddress {
    /// How every connection is opened.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.0.options
    }
}

impl PartialEq for PostgresAddress {
    fn eq(&self, other: &Self) -> bool {
        self.0.url == other.0.url
    }
}

impl Eq for PostgresAddress {}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

/// Why a text is no address of a PostgreSQL server. It does not hold the text, nor any password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongAddress(
    /// What is wrong with it.
    pub String,
);

impl FromStr for PostgresAddress {
    type Err = WrongAddress;

    /// `postgres://user:password@host:port/database?parameter=value&…`; all but the scheme may be
    /// left out. See <https://www.postgresql.org/docs/current/libpq-connect.html>, 34.1.1.2.
    fn from_str(url: &str) -> Result<Self, WrongAddress> {
        let wrong = |what: &str| Err(WrongAddress(what.to_owned()));
        let Some(rest) = rest_of(url) else {
            return wrong("must begin with postgres:// or postgresql://");
        };
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap_or_default();
            if name == "password" || name == "user" || name == "dbname" {
                return wrong("user, password and database stand before the ?, not behind it");
            }
            if !PARAMETERS.contains(&name) {
                let known = PARAMETERS.join(", ");
                return wrong(&format!("an unknown parameter; known: {known}"));
            }
        }
        let options: PgConnectOptions = url.parse().map_err(|_| {
            let what = "user, password, host, port or a parameter is malformed; what is no letter, \
                        digit, -, . or _ is written as %XX in them";
            WrongAddress(what.to_owned())
        })?;
        if options.get_host().is_empty() && options.get_socket().is_none() {
            return wrong("a host must be given");
        }
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name(APPLICATION),
        };
        let shown = shown(&options);
        let options = options.disable_statement_logging();
        Ok(Self(Arc::new(Address { url: url.to_owned(), shown, options })))
    }
}

fn rest_of(url: &str) -> Option<&str> {
    url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"))
}

/// Where connections go, and as whom.
fn shown(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let user = options.get_username();
    let database = options.get_database().unwrap_or(user);
    format!("postgres://{user}@{host}:{}/{database}", options.get_port())
}

#[cfg(test)]
mod tests {
    use super::{Database, PostgresAddress};

    #[test]
    fn an_address_shows_where_and_who_and_no_password() {
        for (url, shown) in [
            ("postgres://me:hunter2@db:5433/shop", "postgres://me@db:5433/shop"),
            ("postgresql://me:hunter2@db/shop?sslmode=disable", "postgres://me@db:5432/shop"),
            ("postgres://me:hunter%402@db/", "postgres://me@db:5432/me"),
            ("postgres://me@localhost/shop?host=/run/pg", "postgres://me@/run/pg:5432/shop"),
        ] {
            let address: PostgresAddress = url.parse().expect(url);
            let debug = format!("{address:?}");
            assert_eq!((address.to_string().as_str(), debug.as_str()), (shown, shown));
            assert_eq!(address.options().get_application_name(), Some("sluice"));
            let database = Database::Postgres(address.clone());
            assert!(!format!("{database} {database:?}").contains("hunter"));
            assert_eq!(address, url.parse().expect(url));
        }
    }

    #[test]
    fn what_is_no_address_is_told_without_its_password() {
        for (url, part) in [
            ("mysql://me:hunter2@db/shop", "postgres://"),
            ("postgres://me:hunter2@db:port/shop", "malformed"),
            ("postgres://me:hunter2@db/shop?sslmode=hunter2", "malformed"),
            ("postgres://me:hunter2@db/shop?sslmod=disable", "unknown parameter"),
            ("postgres://me@db/shop?password=hunter2", "before the ?"),
            ("postgres://me:hun/ter2@db/shop", "malformed"),
        ] {
            let error = url.parse::<PostgresAddress>().expect_err(url).to_string();
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("hun"), "{error}");
        }
    }
}
