//! `scripts/bench peers`: the server and what else could hold the stock behind the same HTTP
//! layer, in turns.

use anyhow::{Result, ensure};
use clap::Parser;
use sluice_benches::contest::{self, Terms};
use sluice_benches::entrant::Entrant;
use sluice_benches::peer::{self, PeerFlags};
use sluice_benches::service::Fsync;

/// Compares Sluice over HTTP with hyper in front of Redis and of PostgreSQL: same client,
/// connections and body, in turns within one run. The generator runs on the same cores. Figures of
/// two runs do not compare.
///
/// It starts its own Redis and PostgreSQL, on Unix sockets in folders under target/, and ends them.
/// After each turn they must have just the orders that were accepted.
#[derive(Parser)]
#[command(name = "scripts/bench peers")]
struct Flags {
    #[command(flatten)]
    terms: Terms,
    /// Connections to Redis, which orders share
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    redis_links: u32,
    /// Connections to PostgreSQL, for one order at a time each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1024))]
    postgres_links: u32,
    /// Those who take part
    #[arg(long, value_delimiter = ',', default_value = "b,r1,r2,p")]
    only: Vec<String>,
    #[command(flatten)]
    peer: PeerFlags,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(peer) = flags.peer.peer {
        return peer::serve(peer, &flags.peer);
    }
    let links = flags.redis_links;
    let all = [
        Entrant::Sluice,
        Entrant::Redis { fsync: Fsync::Always, links },
        Entrant::Redis { fsync: Fsync::EverySecond, links },
        Entrant::Postgres { links: flags.postgres_links },
    ];
    for letter in &flags.only {
        let known = all.iter().any(|entrant| entrant.letter() == letter);
        ensure!(known, "--only {letter}: must be of b, r1, r2, p");
    }
    let takes_part = |letter: &str| flags.only.iter().any(|only| only == letter);
    let entrants: Vec<Entrant> =
        all.into_iter().filter(|entrant| takes_part(entrant.letter())).collect();
    let ratios: Vec<(&str, &str)> = [("b", "r1"), ("b", "r2"), ("b", "p")]
        .into_iter()
        .filter(|(ours, theirs)| takes_part(ours) && takes_part(theirs))
        .collect();
    contest::hold("peers", &entrants, &ratios, &flags.terms)
}
