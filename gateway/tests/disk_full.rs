//! The journal's disk is full for a while (a small file system in a mount namespace of its own):
//! new orders are refused, cancels and expiries go on, orders resume, nothing is lost.
//! `SLUICE_FULL_DISKS` rounds.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Client, Server, buyer};
use crate::small_disk::SmallDisk;

/// Buyers who order at the same time.
const BUYERS: usize = 8;

/// Most orders of one buyer until the disk must be full; a buyer may have 1,000 keys.
const ORDERS_MAX: usize = 900;

/// A server whose data directory is on the disk, and whose database is not.
fn serve(disk: &SmallDisk, database: &Path, shards: &str) -> Server {
    let url = format!("sqlite://{}", database.display());
    let flags = ["--shards", shards, "--database-url", &url, "--snapshot-segments", "1000"];
    disk.serve(&disk.path().join("data"), &flags)
}

fn segments(disk: &SmallDisk) -> usize {
    let entries = std::fs::read_dir(disk.seen("data/journal")).expect("listed");
    let names = entries.map(|entry| entry.expect("listed").file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".segment")).count()
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
        let disk = SmallDisk::mount(folder.path(), "16m");
        let server = serve(&disk, &copies.path().join("copy.db"), shards);
        server.stock("phone", 1_000_000, 0);
        brief_sku(&server);
        let mut client = Client::connect(server.buyers);
        let brief: Vec<Value> = (0..20).map(|key| place(&mut client, 0, "brief", key)).collect();
        assert!(brief.iter().all(|answer| answer["status"] == "reserved"), "{brief:?}");

        // The segment in use, one ahead of need, two in reserve.
        while segments(&disk) < 4 {
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
        let server = serve(&disk, &copies.path().join("copy.db"), shards);
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
