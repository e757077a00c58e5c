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
    #[command(flatten)]
    peer: PeerFlags,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    if let Some(peer) = flags.peer.peer {
        return peer::serve(peer, &flags.peer);
    }
    let entrants =
        [Entrant::Bare, Entrant::Checked, Entrant::Cached, Entrant::Sluice, Entrant::SoldOut];
    let ratios = [("b", "a2"), ("b", "a"), ("c", "a2"), ("b", "a3"), ("c", "a3")];
    contest::hold("http", &entrants, &ratios, &flags.terms)
}
