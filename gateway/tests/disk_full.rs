//! The journal's disk is full for a while (a small file system in a mount namespace of its own):
//! new orders are refused, cancels and expiries go on, orders resume, nothing is lost.
//! `SLUICE_FULL_DISKS` rounds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Server, buyer, command};

/// Buyers who order at the same time.
const BUYERS: usize = 8;

/// Most orders of one buyer until the disk must be full; a buyer may have 1,000 keys.
const ORDERS_MAX: usize = 900;

/// A small file system at a path that only those see who enter its namespace. Goes when dropped.
struct SmallDisk {
    keeper: Child,
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path) -> Self {
        let script = "mount -t tmpfs -o size=16m none \"$0\" && echo mounted && exec sleep 3600";
        let mut keeper = Command::new("unshare")
            .args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"][..] })
            .args(["sh", "-c", script])
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line.trim(), "mounted");
        Self { keeper, path: path.to_path_buf() }
    }

    /// A server whose data directory is on it, and whose database is not.
    fn serve(&self, database: &Path, shards: &str) -> Server {
        let url = format!("sqlite://{}", database.display());
        let flags = ["--shards", shards, "--database-url", &url, "--snapshot-segments", "1000"];
        let server = command(&self.path.join("data"), &flags);
        let mut inside = Command::new("nsenter");
        let keeper = self.keeper.id().to_string();
        inside.args(["--target", &keeper, "--mount"]);
        if !is_root() {
            inside.args(["--user", "--preserve-credentials"]);
        }
        inside.arg(server.get_program()).args(server.get_args());
        for (name, value) in server.get_envs() {
            inside.env(name, value.expect("set"));
        }
        Server::spawn(inside.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// A path on it, as it is seen from outside.
    fn seen(&self, name: &str) -> PathBuf {
        let inside = self.path.strip_prefix("/").expect("absolute").join(name);
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(inside)
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = File::create(self.seen("filler")).expect("created");
        for bytes in [&[1; 65_536][..], &[1; 512][..]] {
            while file.write_all(bytes).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.seen("filler")).expect("it is there");
    }

    fn segments(&self) -> usize {
        let entries = fs::read_dir(self.seen("data/journal")).expect("listed");
        let names = entries.map(|entry| entry.expect("listed").file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".segment")).count()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The mount goes with the last process in its namespace.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The orders that were acknowledged, by buyer and key.
type Acknowledged = BTreeMap<(usize, usize), Value>;

#[test]
fn a_full_disk_refuses_new_orders_and_loses_nothing() {
    let rounds = std::env::var("SLUICE_FULL_DISKS").ok().and_then(|text| text.parse().ok());
    for round in 0..rounds.unwrap_or(2) {
        let shards = if round % 2 == 0 { "1" } else { "2" };
        let (folder, copies) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, copies) = (folder.expect("a folder"), copies.expect("another"));
        let disk = SmallDisk::mount(folder.path());
        let server = disk.serve(&copies.path().join("copy.db"), shards);
        server.stock("phone", 1_000_000, 0);
        brief_sku(&server);
        let mut client = Client::connect(server.buyers);
        let brief: Vec<Value> = (0..20).map(|key| place(&mut client, 0, "brief", key)).collect();
        assert!(brief.iter().all(|answer| answer["status"] == "reserved"), "{brief:?}");

        // The segment in use, one ahead of need, two in reserve.
        while disk.segments() < 4 {
            assert_eq!(server.operate("GET", "/readyz", None).status, 200);
        }
        disk.fill();
        let mut acknowledged = order_until_refused(&server);
        assert!(acknowledged.len() > 100, "{} orders were taken", acknowledged.len());

        // The reserve is for endings.
        let cancelled: Vec<_> = acknowledged.keys().step_by(3).copied().take(60).collect();
        for at in cancelled {
            let order = acknowledged.get_mut(&at).expect("it was acknowledged");
            let path = format!("/v1/orders/{}/cancel", order["order_id"].as_str().expect("an id"));
            let answer = client.call("POST", &path, &buyer(&format!("buyer-{}", at.0)), None);
            assert_eq!(answer.status, 200, "{}", answer.json());
            *order = answer.json();
        }
        while server.counters("brief")["held"] != 0 {}
        assert_eq!(place(&mut client, 0, "phone", ORDERS_MAX)["code"], "disk_reserve");

        disk.free();
        let mut key = ORDERS_MAX;
        let resumed = loop {
            key += 1;
            let answer = place(&mut client, 0, "phone", key);
            if answer["status"] == "reserved" {
                break answer;
            }
            assert_eq!(answer["code"], "disk_reserve", "{answer}");
        };
        acknowledged.insert((0, key), resumed);

        // Killed, and started on the same disk.
        drop(server);
        let server = disk.serve(&copies.path().join("copy.db"), shards);
        let mut client = Client::connect(server.buyers);
        for ((who, _), order) in &acknowledged {
            let path = format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"));
            let found = client.call("GET", &path, &buyer(&format!("buyer-{who}")), None);
            assert_eq!((found.status, found.json()), (200, order.clone()), "{order} is lost");
        }
        server.stop();
    }
}

/// A SKU whose holds end after two seconds.
fn brief_sku(server: &Server) {
    let terms = json!({
        "name": "brief", "unit_price": 1, "currency": "CNY", "per_buyer_limit": 0, "hold_seconds": 2,
    });
    assert_eq!(server.operate("PUT", "/admin/v1/skus/brief", Some(&terms)).status, 201);
    let lot = json!({"lot": "L1", "quantity": 20});
    assert_eq!(server.operate("POST", "/admin/v1/skus/brief/lots", Some(&lot)).status, 201);
}

fn place(client: &mut Client, who: usize, sku: &str, key: usize) -> Value {
    let fields = format!("{}Idempotency-Key: {sku}-{key}\r\n", buyer(&format!("buyer-{who}")));
    let body = json!({"sku": sku, "quantity": 1});
    client.call("POST", "/v1/orders", &fields, Some(&body)).json()
}

/// Everybody orders until the disk is full.
fn order_until_refused(server: &Server) -> Acknowledged {
    let buyers: Vec<_> = (0..BUYERS)
        .map(|who| {
            let mut client = Client::connect(server.buyers);
            thread::spawn(move || {
                let mut orders = Vec::new();
                for key in 0..ORDERS_MAX {
                    let answer = place(&mut client, who, "phone", key);
                    if answer["status"] != "reserved" {
                        assert_eq!(answer["code"], "disk_reserve", "{answer}");
                        return orders;
                    }
                    orders.push(((who, key), answer));
                }
                orders
            })
        })
        .collect();
    buyers.into_iter().flat_map(|buyer| buyer.join().expect("no panic")).collect()
}
