//! `scripts/bench http`: the server and its yardsticks behind real sockets, in turns.

use anyhow::Result;
use clap::Parser;
use sluice_benches::contest::{self, Terms};
use sluice_benches::entrant::Entrant;
use sluice_benches::peer::{self, PeerFlags};

/// Compares Sluice over HTTP with bare servers: same client, connections and body, in turns
/// within one run. The generator runs on the same cores. Figures of two runs do not compare.
#[derive(Parser)]
#[command(name = "scripts/bench http")]
struct Flags {
    #[command(flatten)]
    terms: Terms,
    /// Also Sluice followed by PostgreSQL and Redis, and with both stopped. Debian's packages
    /// redis-server and postgresql must be installed
    #[arg(long)]
    sinks: bool,
    #[command(flatten)]
    peer: PeerFlags,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(peer) = flags.peer.peer {
        return peer::serve(peer, &flags.peer);
    }
    let mut entrants =
        vec![Entrant::Bare, Entrant::Checked, Entrant::Cached, Entrant::Sluice, Entrant::SoldOut];
    let mut ratios = vec![("b", "a2"), ("b", "a"), ("c", "a2"), ("b", "a3"), ("c", "a3")];
    if flags.sinks {
        entrants.extend([Entrant::Followed, Entrant::Forsaken]);
        ratios.extend([("d", "d0"), ("b", "d0"), ("d0", "a2")]);
    }
    contest::hold("http", &entrants, &ratios, &flags.terms)
}
