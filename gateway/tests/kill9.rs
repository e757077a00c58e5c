//! A 201 survives `kill -9` (I2, I3, I1): clients write down every 201, the server is killed at a
//! moment that the round's number chooses, and started again. `SLUICE_KILLS` rounds.

mod harness;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use harness::{Client, Server, audit, buyer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Requests in flight.
const CLIENTS: usize = 256;

/// What a client was told: the buyer's number, the key's number, and the order.
type Acknowledged = HashMap<(usize, usize), Value>;

/// A round's shape, from its number alone.
struct Round {
    units: u32,
    buyers: usize,
    kill_after: usize,
    shards: &'static str,
}

impl Round {
    fn new(number: usize) -> Self {
        // SplitMix64 (Steele, Lea and Flood, 2014).
        let mut state = number as u64;
        let mut draw = |below: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % below
        };
        let units = [1, 100, 1_000, 1_000_000][draw(4) as usize];
        Self {
            units,
            buyers: 1 + draw(2 * CLIENTS as u64) as usize,
            // Often enough while there are units left.
            kill_after: 1 + draw(u64::from(units * 2).clamp(64, 4_000)) as usize,
            shards: ["1", "2", "3"][draw(3) as usize],
        }
    }
}

#[test]
fn every_201_is_found_again() {
    let rounds = std::env::var("SLUICE_KILLS").ok().and_then(|text| text.parse().ok());
    for number in 0..rounds.unwrap_or(20) {
        let round = Round::new(number);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(folder.path(), &["--shards", round.shards]);
        server.stock("phone", round.units, 0);
        let acknowledged = rush(&round, &server);
        drop(server);
        let server = Server::start(folder.path(), &["--shards", round.shards]);
        judge(number, &round, &server, &acknowledged);
        server.caught_up();
        server.stop();
        let (code, text) = audit(folder.path(), &[]);
        assert_eq!(code, Some(0), "I8 round {number}: {text}");
    }
}

/// Drives orders until the server is killed after so many answers.
fn rush(round: &Round, server: &Server) -> Acknowledged {
    let answered = AtomicUsize::new(0);
    let acknowledged = Mutex::new(Acknowledged::new());
    let pid = Pid::from_child(&server.child);
    // All of them first: the kill may come before the last would have connected.
    let connections: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.buyers)).collect();
    thread::scope(|scope| {
        for (client, mut connection) in connections.into_iter().enumerate() {
            let (answered, acknowledged) = (&answered, &acknowledged);
            scope.spawn(move || {
                let who = client % round.buyers;
                let token = buyer(&format!("buyer-{who}"));
                for attempt in 0.. {
                    let key = attempt * CLIENTS + client;
                    let fields = format!("{token}Idempotency-Key: k{key}\r\n");
                    let body = json!({"sku": "phone", "quantity": 1});
                    connection.send("POST", "/v1/orders", &fields, Some(&body));
                    let Some(answer) = connection.answer(false) else { return };
                    if answer.status == 201 {
                        let mut all = acknowledged.lock().expect("no panic");
                        all.insert((who, key), answer.json());
                    }
                    if answered.fetch_add(1, Ordering::Relaxed) + 1 == round.kill_after {
                        kill_process(pid, Signal::KILL).expect("it runs");
                    }
                }
            });
        }
    });
    acknowledged.into_inner().expect("no panic")
}

fn judge(number: usize, round: &Round, server: &Server, acknowledged: &Acknowledged) {
    let mut connection = Client::connect(server.buyers);
    for ((who, key), order) in acknowledged {
        let token = buyer(&format!("buyer-{who}"));
        let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
        let found = connection.call("GET", &path, &token, None);
        assert_eq!(found.status, 200, "round {number}: {order} is lost");
        assert_eq!(found.json(), *order, "round {number}");
        let fields = format!("{token}Idempotency-Key: k{key}\r\n");
        let body = json!({"sku": "phone", "quantity": 1});
        let again = connection.call("POST", "/v1/orders", &fields, Some(&body));
        assert_eq!((again.status, again.field("idempotency-replayed")), (200, Some("true")));
        assert_eq!(again.json(), *order, "round {number}");
    }
    let counters = server.counters("phone");
    let units = |name: &str| counters[name].as_u64().expect("a count");
    assert!(acknowledged.len() as u64 <= units("held"), "round {number}: {counters}");
    assert_eq!(units("received"), u64::from(round.units), "round {number}");
    assert_eq!(units("received"), units("available") + units("held"), "I1 round {number}");
    println!("round {number}: {} acknowledged, {counters}", acknowledged.len());
}
