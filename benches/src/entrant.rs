//! Who takes turns in a contest.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sluice_loadgen::{Report, Stop};

use crate::contest::Terms;
use crate::peer::{self, Peer};
use crate::processor;
use crate::server::{SKU, Server};
use crate::service::{Fsync, PostgresServer, RedisServer, Service};
use crate::sinks::Sinks;

/// Units that an entrant begins with: more than it can sell.
const PLENTY: u64 = 20_000_000;

/// How the names of the threads begin with which a server fills its copies.
const SINK_THREADS: [&str; 2] = ["sink-", "sqlite"];

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrant {
    /// (a) Bare hyper.
    Bare,
    /// (a2) Bare hyper with the token checked and the order decoded.
    Checked,
    /// (a3) The same with a cache of checked tokens like Sluice's.
    Cached,
    /// (b) Sluice, every order synced before it is answered.
    Sluice,
    /// (c) Sluice with nothing left to sell.
    SoldOut,
    /// (d) Sluice followed by PostgreSQL and Redis, which work beside it.
    Followed,
    /// (d0) The same, while every process of both is stopped: nothing but the orders.
    Forsaken,
    /// (r1), (r2) The HTTP layer of (a3) in front of Redis.
    Redis {
        /// When Redis syncs.
        fsync: Fsync,
        /// Connections to Redis.
        links: u32,
    },
    /// (p) The HTTP layer of (a3) in front of PostgreSQL.
    Postgres {
        /// Connections to PostgreSQL.
        links: u32,
    },
}

/// What a turn came to.
pub struct Turn {
    /// What the client saw.
    pub report: Report,
    /// Processor time that was used meanwhile.
    pub used: Used,
}

/// Processor time by process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The HTTP server.
    pub server: Duration,
    /// What of that its sinks' threads used.
    pub sinks: Duration,
    /// Its store, or what follows it; nothing without one.
    pub store: Duration,
    /// The client.
    pub generator: Duration,
    /// All processes and the kernel: more than these three if the machine did something else.
    pub machine: Duration,
}

impl Entrant {
    /// Its letter in the report.
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Bare => "a",
            Self::Checked => "a2",
            Self::Cached => "a3",
            Self::Sluice => "b",
            Self::SoldOut => "c",
            Self::Followed => "d",
            Self::Forsaken => "d0",
            Self::Redis { fsync: Fsync::Always, .. } => "r1",
            Self::Redis { fsync: Fsync::EverySecond, .. } => "r2",
            Self::Postgres { .. } => "p",
        }
    }

    /// What it is.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Bare => "bare hyper, reads the POST, answers a constant",
            Self::Checked => "(a) with the token checked and the order decoded",
            Self::Cached => "(a2) with a cache of checked tokens, as Sluice has one",
            Self::Sluice => "Sluice, every order synced before its answer; SQLite follows",
            Self::SoldOut => "Sluice, sold out",
            Self::Followed => "(b) with PostgreSQL and Redis following instead of SQLite",
            Self::Forsaken => "(d) with both stopped: no sink works",
            Self::Redis { fsync: Fsync::Always, .. } => {
                "(a3) and Redis, a Lua script for each order, appendfsync always"
            }
            Self::Redis { fsync: Fsync::EverySecond, .. } => {
                "(a3) and Redis, a Lua script for each order, appendfsync everysec"
            }
            Self::Postgres { .. } => {
                "(a3) and PostgreSQL, a row update and an insert for each order"
            }
        }
    }

    /// Sees that its store, if it has one, keeps the rules of an order; gives what the store says
    /// about itself.
    ///
    /// # Errors
    /// If the store cannot be started or does not keep them.
    pub fn rehearse(self) -> Result<Option<String>> {
        let Some(service) = self.service()? else { return Ok(None) };
        let peer = match self {
            Self::Postgres { .. } => Peer::Postgres,
            _ => Peer::Redis,
        };
        let kept = peer::rehearse(peer, service.as_ref());
        kept.with_context(|| format!("({}) in its rehearsal", self.letter()))?;
        Ok(Some(service.settings()?))
    }

    /// One turn. If it was stopped early, nothing is checked.
    ///
    /// # Errors
    /// If something cannot be started, an answer is not what it must be, or a store does not have
    /// what was answered.
    pub fn turn(self, terms: &Terms, stop: &Stop) -> Result<Turn> {
        let service = self.service()?;
        if let Some(service) = &service {
            service.receive(SKU, PLENTY)?;
        }
        let sinks = self.sinks()?;
        let (server, stock) = self.server(service.as_deref(), sinks.as_ref())?;
        if let (Self::Forsaken, Some(sinks)) = (self, &sinks) {
            sinks.pause();
        }
        let stores = || match (&service, &sinks) {
            (Some(service), _) => Ok(processor::time_of(service.id()?)?),
            (None, Some(sinks)) => sinks.time(),
            (None, None) => Ok(Duration::ZERO),
        };
        let before = used(&server, stores()?)?;
        let report = server.drive(terms, stock, stop)?;
        let after = used(&server, stores()?)?;
        drop(server);
        if !report.run.stopped_early {
            self.judge(&report)?;
            if let Some(service) = &service {
                let books = service.books(SKU)?;
                // Orders of the warm-up are stored like any other.
                let warm_up = report.unmeasured.map_or(0, |unmeasured| unmeasured.accepted);
                let right = books.check(PLENTY, warm_up + report.answers.accepted);
                right.with_context(|| format!("({}) after its turn", self.letter()))?;
            }
        }
        Ok(Turn { report, used: after.since(&before) })
    }

    /// Starts what its orders are kept in, if it does not keep them itself.
    fn service(self) -> Result<Option<Box<dyn Service>>> {
        Ok(match self {
            Self::Redis { fsync, .. } => Some(Box::new(RedisServer::start(fsync)?)),
            Self::Postgres { links } => Some(Box::new(PostgresServer::start(links)?)),
            _ => None,
        })
    }

    /// Starts what follows it, if that is not SQLite.
    fn sinks(self) -> Result<Option<Sinks>> {
        match self {
            Self::Followed | Self::Forsaken => Sinks::start().map(Some),
            _ => Ok(None),
        }
    }

    /// Starts it; and how many units an operator is to receive.
    fn server(
        self,
        service: Option<&dyn Service>,
        sinks: Option<&Sinks>,
    ) -> Result<(Server, Option<u64>)> {
        let flags = sinks.map(Sinks::flags);
        let flags = flags.as_ref().map_or(&[][..], |flags| flags);
        let (peer, links) = match self {
            Self::Sluice | Self::Followed | Self::Forsaken => {
                return Ok((Server::sluice_with(flags)?, Some(PLENTY)));
            }
            Self::SoldOut => return Ok((Server::sluice()?, Some(1))),
            Self::Bare => ("bare", 0),
            Self::Checked => ("checked", 0),
            Self::Cached => ("cached", 0),
            Self::Redis { links, .. } => ("redis", links),
            Self::Postgres { links } => ("postgres", links),
        };
        let (mut arguments, links) = (vec!["--peer", peer], links.to_string());
        let store = service.map(Service::path);
        if let Some(store) = &store {
            let path = store.to_str().context("a path that is text")?;
            arguments.extend(["--store", path, "--links", &links]);
        }
        Ok((Server::peer(arguments)?, None))
    }

    fn judge(self, report: &Report) -> Result<()> {
        let answers = &report.answers;
        let as_it_must_be = match self {
            Self::SoldOut => answers.refused,
            _ => answers.accepted,
        };
        ensure!(
            answers.count > 0 && as_it_must_be + 1 >= answers.count,
            "({}) answered {} requests, {} of them as it must:\n{report}",
            self.letter(),
            answers.count,
            as_it_must_be
        );
        Ok(())
    }
}

impl Used {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            server: self.server.saturating_sub(earlier.server),
            sinks: self.sinks.saturating_sub(earlier.sinks),
            store: self.store.saturating_sub(earlier.store),
            generator: self.generator.saturating_sub(earlier.generator),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }
}

/// What was used so far; by its stores, so much.
fn used(server: &Server, store: Duration) -> Result<Used> {
    // The generator's children are measured on their own.
    Ok(Used {
        server: processor::time_of(server.id())?,
        sinks: processor::time_of_threads(server.id(), &SINK_THREADS)?,
        store,
        generator: processor::time_of_one(std::process::id())?,
        machine: processor::time_of_machine()?,
    })
}
