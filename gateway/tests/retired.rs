//! Orders that have left the ledger, over HTTP: as they were, and for few queries.

use serde_json::{Value, json};
use sluice_core::id::OrderId;

use crate::harness::{Answer, Client, Server, buyer};

/// Requests at once.
const CROWD: usize = 1_000;

const QUERIES: &str = "sluice_retired_queries_total";

/// One cancelled order of alice's that has left the ledger; and what it was answered with before.
fn retired_order() -> (tempfile::TempDir, Server, Answer) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &["--retention", "1s"]);
    let terms = json!({
        "name": "phone", "unit_price": 500, "currency": "CNY", "per_buyer_limit": 0,
        "hold_seconds": 1,
    });
    assert_eq!(server.operate("PUT", "/admin/v1/skus/phone", Some(&terms)).status, 201);
    let lot = json!({"lot": "L1", "quantity": 10});
    assert_eq!(server.operate("POST", "/admin/v1/skus/phone/lots", Some(&lot)).status, 201);
    let mut client = Client::connect(server.buyers);
    let token = buyer("alice");
    let body = json!({"sku": "phone", "quantity": 2});
    let order = client.call("POST", "/v1/orders", &token, Some(&body)).json();
    let path = path(&order);
    assert_eq!(client.call("POST", &format!("{path}/cancel"), &token, None).status, 200);
    let before = client.call("GET", &path, &token, None);
    assert_eq!(before.status, 200);
    while server.metric("sluice_orders_retired_total{shard=\"0\"}") < 1.0 {}
    (folder, server, before)
}

fn path(order: &Value) -> String {
    format!("/v1/orders/{}", order["order_id"].as_str().expect("an id"))
}

#[test]
fn a_thousand_requests_at_once_for_a_retired_order_cost_one_query() {
    let (_folder, server, before) = retired_order();
    let path = path(&before.json());
    let token = buyer("alice");
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| Client::connect(server.buyers)).collect();
    for client in &mut crowd {
        client.send("GET", &path, &token, None);
    }
    for client in &mut crowd {
        let found = client.answer(false).expect("an answer");
        assert_eq!((found.status, &found.body), (200, &before.body), "as the ledger said it");
        assert_eq!(found.field("etag"), before.field("etag"));
    }
    assert_eq!(server.metric(QUERIES), 1.0);
    // A cancel that is sent again is answered as the first was; another's order like none.
    let mut client = Client::connect(server.buyers);
    let cancelled = client.call("POST", &format!("{path}/cancel"), &token, None);
    assert_eq!((cancelled.status, &cancelled.body), (200, &before.body));
    let other = client.call("GET", &path, &buyer("bob"), None);
    assert_eq!((other.status, &other.json()["code"]), (404, &json!("order_not_found")));
    assert_eq!(server.metric(QUERIES), 1.0);
    server.stop();
}

#[test]
fn ten_thousand_requests_for_orders_that_do_not_exist_are_looked_for_once_each() {
    const IDS: u64 = 100;
    let (_folder, server, before) = retired_order();
    let order = before.json()["order_id"].as_str().and_then(OrderId::parse).expect("an id");
    let token = buyer("alice");
    let mut crowd: Vec<Client> = (0..IDS).map(|_| Client::connect(server.buyers)).collect();
    for round in 0..10_000 / IDS {
        for (number, client) in crowd.iter_mut().enumerate() {
            // Of the same moment and home as hers, but not hers.
            let number = (number as u64 + round) % IDS + 1;
            let absent = OrderId::from_bits(order.bits() ^ u128::from(number));
            client.send("GET", &format!("/v1/orders/{absent}"), &token, None);
        }
        for client in &mut crowd {
            let answer = client.answer(false).expect("an answer");
            assert_eq!((answer.status, &answer.json()["code"]), (404, &json!("order_not_found")));
        }
    }
    // They are forgotten after a while, so that on a slow machine some are looked for again.
    assert!(server.metric("sluice_retired_ids_total") <= 1_000.0);
    assert!(server.metric(QUERIES) <= 100.0);
    server.stop();
}
