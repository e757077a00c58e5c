//! Orders that have left the ledger, over HTTP: as they were, and for few queries.

use std::path::Path;

use serde_json::{Value, json};
use sluice_core::id::OrderId;
use sluice_services::{Postgres, PostgresOptions};

use crate::harness::{Answer, Client, Server, buyer};

/// Requests at once.
const CROWD: usize = 1_000;

const QUERIES: &str = "sluice_retired_queries_total";

/// One cancelled order of alice's that has left the ledger; and what it was answered with before.
fn retired_order() -> (tempfile::TempDir, Server, Answer) {
    retired_order_of(&[])
}

fn retired_order_of(flags: &[&str]) -> (tempfile::TempDir, Server, Answer) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[&["--retention", "1s"], flags].concat());
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

fn id(order: &Value) -> String {
    order["order_id"].as_str().expect("an id").to_owned()
}

/// The ids of alice's orders that a query lists, page by page, and how the last page was answered.
fn listed(server: &Server, query: &str) -> (Vec<String>, Answer) {
    let mut client = Client::connect(server.buyers);
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/orders?{query}{cursor}");
        let answer = client.call("GET", &path, &buyer("alice"), None);
        if answer.status != 200 {
            return (ids, answer);
        }
        let page = answer.json();
        ids.extend(page["orders"].as_array().expect("a list").iter().map(id));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, answer),
        }
    }
}

#[test]
fn orders_that_have_left_are_listed_among_those_that_have_not() {
    let (_folder, server, first) = retired_order();
    left_and_listed(server, &first);
}

#[test]
fn orders_that_have_left_are_read_and_listed_from_postgresql_as_well() {
    let postgres = Postgres::start(&PostgresOptions::default()).expect("PostgreSQL starts");
    let (_folder, server, first) = retired_order_of(&["--database-url", &postgres.url()]);
    let path = path(&first.json());
    let found = Client::connect(server.buyers).call("GET", &path, &buyer("alice"), None);
    assert_eq!((found.status, &found.body), (200, &first.body), "as the ledger said it");
    let others = Client::connect(server.buyers).call("GET", &path, &buyer("bob"), None);
    assert_eq!(others.status, 404);
    left_and_listed(server, &first);
}

/// Lists alice's orders, of which the first and others have left, in pages of any size.
fn left_and_listed(server: Server, first: &Answer) {
    let mut client = Client::connect(server.buyers);
    let token = buyer("alice");
    server.stock("phone-held", 10, 0);
    let mut all = vec![id(&first.json())];
    // Newest first: one that stays, one that leaves, one that stays, two that leave.
    for sku in ["phone", "phone-held", "phone", "phone-held"] {
        let body = json!({"sku": sku, "quantity": 1});
        all.insert(0, id(&client.call("POST", "/v1/orders", &token, Some(&body)).json()));
    }
    for gone in [&all[1], &all[3]] {
        let path = format!("/v1/orders/{gone}/cancel");
        assert_eq!(client.call("POST", &path, &token, None).status, 200);
    }
    while server.metric("sluice_orders_retired_total{shard=\"0\"}") < 3.0 {}
    let (gone, live) = ([&all[1], &all[3], &all[4]], [&all[0], &all[2]]);
    for limit in 1..=6 {
        let pages = |query: &str| listed(&server, &format!("limit={limit}{query}")).0;
        assert_eq!(pages(""), all, "{limit} a page");
        assert_eq!(pages("&status=cancelled").iter().collect::<Vec<_>>(), gone);
        assert_eq!(pages("&status=reserved").iter().collect::<Vec<_>>(), live);
        assert_eq!(pages("&status=expired"), [""; 0]);
    }
    let others = client.call("GET", "/v1/orders", &buyer("bob"), None).json();
    assert_eq!(others, json!({"orders": [], "next_cursor": null}));
    let page = client.call("GET", "/v1/orders?status=cancelled", &token, None).json();
    assert_eq!(page["orders"][2], first.json(), "as the ledger showed it");
    server.stop();
}

#[test]
fn a_list_ends_where_nobody_can_tell_how_it_goes_on() {
    let (folder, server, first) = retired_order();
    server.stop();
    // Nothing that is placed from now on leaves while this lasts.
    let server = Server::start(folder.path(), &[]);
    let body = json!({"sku": "phone", "quantity": 1});
    let mut client = Client::connect(server.buyers);
    let placed = client.call("POST", "/v1/orders", &buyer("alice"), Some(&body)).json();
    let all = [id(&placed), id(&first.json())];
    assert_eq!(listed(&server, "").0, all);
    let (copy, aside) = (folder.path().join("sluice.db"), folder.path().join("aside.db"));
    std::fs::rename(&copy, &aside).expect("moved away");
    std::fs::create_dir(&copy).expect("created");
    for query in ["", "limit=1"] {
        let (known, last) = listed(&server, query);
        assert_eq!(known, all[..1], "what is not too old is shown");
        assert_eq!((last.status, &last.json()["code"]), (503, &json!("overloaded")));
        assert!(last.field("retry-after").is_some());
    }
    for token in [buyer("alice"), buyer("bob")] {
        let answer = client.call("GET", "/v1/orders?status=cancelled", &token, None);
        assert_eq!(answer.status, 503, "not that there is none");
    }
    std::fs::remove_dir(&copy).expect("removed");
    // The sink begins anew; until it has come as far as before, nobody can tell.
    while listed(&server, "").1.status == 503 {}
    assert_eq!(listed(&server, "").0, all);
    server.stop();
}

#[test]
fn a_start_does_not_make_young_orders_old() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 10, 0);
    let place = |server: &Server| {
        let body = json!({"sku": "phone", "quantity": 1});
        let mut client = Client::connect(server.buyers);
        id(&client.call("POST", "/v1/orders", &buyer("alice"), Some(&body)).json())
    };
    let mut all = vec![place(&server)];
    server.stop();
    let copy = folder.path().join("sluice.db");
    for name in ["sluice.db", "sluice.db-wal", "sluice.db-shm", "sluice.db-synced"] {
        // It need not be there: the log of a database that was closed is gone.
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    std::fs::create_dir(&copy).expect("created");
    let server = Server::start(folder.path(), &[]);
    all.insert(0, place(&server));
    let (listed, last) = listed(&server, "");
    assert_eq!((listed, last.status), (all, 200), "without the copy");
    server.stop();
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

/// Makes one journal the copy of another.
fn copy_journal(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(to).expect("read") {
        std::fs::remove_file(entry.expect("read").path()).expect("removed");
    }
    for entry in std::fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn orders_of_a_past_that_was_taken_back_are_not_shown() {
    let (folder, server, first) = retired_order();
    server.stop();
    let older = tempfile::tempdir().expect("a temporary folder");
    let journal = folder.path().join("journal");
    copy_journal(&journal, older.path());
    // One more, which the journal forgets and the copy does not.
    let server = Server::start(folder.path(), &["--retention", "1s"]);
    let mut client = Client::connect(server.buyers);
    let token = buyer("alice");
    let body = json!({"sku": "phone", "quantity": 1});
    let second = client.call("POST", "/v1/orders", &token, Some(&body)).json();
    let cancel = format!("{}/cancel", path(&second));
    assert_eq!(client.call("POST", &cancel, &token, None).status, 200);
    while server.metric("sluice_orders_retired_total{shard=\"0\"}") < 1.0 {}
    server.caught_up();
    server.stop();
    copy_journal(older.path(), &journal);

    let server = Server::start(folder.path(), &["--retention", "1s"]);
    let mut client = Client::connect(server.buyers);
    let mut nobody_can_tell = || {
        for order in [&second, &first.json()] {
            let answer = client.call("GET", &path(order), &token, None);
            assert_eq!(answer.status, 503, "nobody can tell: {}", answer.json());
        }
    };
    // Before anybody has looked at the copy, and afterwards.
    nobody_can_tell();
    while server.metric("sluice_sink_errors_total{sink=\"sql\",kind=\"foreign\"}") < 1.0 {}
    nobody_can_tell();
    assert_eq!(listed(&server, "limit=10").1.status, 503);
    let search = server.operate("GET", "/admin/v1/orders?buyer=alice", None);
    assert_eq!(search.status, 503);
    let why = search.json()["detail"].to_string();
    assert!(why.contains("another past"), "{why}");
    server.stop();
}
