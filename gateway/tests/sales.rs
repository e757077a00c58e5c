//! Sales: windows, states, limits, and the stream of what becomes of them.

use std::io::BufRead as _;

use serde_json::{Value, json};

use crate::harness::{Answer, Client};
use crate::shop::{Shop, id_of, refusal};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";
const FAR: &str = "2100-01-01T00:00:00+08:00";

impl Shop {
    fn sale(&self, sale: &str, skus: &[&str], starts_at: &str, limit: u32) -> Answer {
        let body = json!({"name": sale, "starts_at": starts_at, "ends_at": FAR, "skus": skus,
            "per_buyer_limit": limit});
        self.server.operate("PUT", &format!("/admin/v1/sales/{sale}"), Some(&body))
    }

    fn to_sale(&self, sale: &str, what: &str) -> Answer {
        self.server.operate("POST", &format!("/admin/v1/sales/{sale}/{what}"), None)
    }

    fn public(&self, path: &str) -> Value {
        let answer = Client::connect(self.server.buyers).call("GET", path, "", None);
        assert_eq!(answer.status, 200, "{path}");
        answer.json()
    }

    fn one(&self, who: &str, sku: &str) -> Answer {
        self.order(who, &json!({"sku": sku, "quantity": 1}))
    }
}

#[test]
fn a_sale_opens_pauses_and_ends() {
    let shop = Shop::open(&[]);
    shop.sku("phone", 9, 600);
    let made = shop.sale("spring", &["phone"], "2099-01-01T00:00:00Z", 0);
    assert_eq!((made.status, made.field("etag")), (201, Some("\"1\"")));
    assert_eq!(made.json()["state"], "scheduled");
    let early = shop.one("alice", "phone");
    assert_eq!(refusal(&early), (409, "sale_not_open".to_owned()));
    assert_eq!(early.json()["opens_at"], "2099-01-01T00:00:00.000Z");
    assert!(early.json()["server_time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(shop.units("phone"), [9, 0, 0, 0], "no stock was touched");
    assert_eq!(shop.public("/v1/skus/phone")["status"], "not_open");
    // Paused before it opens: that it has not opened is said first, and both are shown.
    for (to, paused) in [("pause", true), ("resume", false), ("pause", true), ("resume", false)] {
        let moved = shop.to_sale("spring", to).json();
        assert_eq!((&moved["state"], &moved["paused"]), (&json!("scheduled"), &json!(paused)));
        let refused = refusal(&shop.one("alice", "phone"));
        assert_eq!(refused, (409, "sale_not_open".to_owned()));
        while shop.public("/v1/sales/spring")["paused"] != paused {}
    }

    assert_eq!(shop.sale("spring", &["phone"], LONG_AGO, 0).field("etag"), Some("\"6\""));
    let held = shop.reserve("alice", "phone", 1);
    assert_eq!(shop.public("/v1/sales/spring")["state"], "open");
    for _ in 0..2 {
        assert_eq!(shop.to_sale("spring", "pause").json()["state"], "paused");
    }
    assert_eq!(refusal(&shop.one("bob", "phone")), (409, "sale_paused".to_owned()));
    assert_eq!(shop.public("/v1/skus/phone")["status"], "paused");
    let payment = shop.pay("alice", &held);
    assert_eq!(
        shop.notify("payment.succeeded", &payment).status,
        200,
        "pause stops new orders only"
    );
    assert_eq!(shop.to_sale("spring", "resume").json()["state"], "open");

    let holding = shop.order("bob", &json!({"sku": "phone", "quantity": 8}));
    assert_eq!(holding.status, 201);
    let waiting = shop.wait("carol", "phone", 1);
    assert_eq!(shop.to_sale("spring", "end").json()["state"], "ended");
    assert_eq!(refusal(&shop.one("dave", "phone")), (409, "sale_ended".to_owned()));
    shop.becomes("carol", &waiting, "cancelled");
    let order = crate::shop::id_of(&holding);
    assert_eq!(shop.read("bob", &order)["status"], "reserved", "holds run out by themselves");
    assert_eq!(refusal(&shop.to_sale("spring", "resume")), (409, "sale_ended".to_owned()));
    assert_eq!(shop.to_sale("spring", "end").status, 200);
    assert_eq!(refusal(&shop.sale("spring", &[], LONG_AGO, 0)), (409, "sale_ended".to_owned()));
    assert_eq!(refusal(&shop.to_sale("none", "end")), (404, "sale_not_found".to_owned()));
    let shop = shop.crash(&[]);
    assert_eq!(shop.public("/v1/sales/spring")["state"], "ended");
    assert_eq!(refusal(&shop.one("dave", "phone")), (409, "sale_ended".to_owned()));
    shop.close();
}

#[test]
fn a_sale_has_its_skus_and_a_limit_over_all_of_them() {
    let shop = Shop::open(&["--shards", "2"]);
    for sku in ["phone", "case"] {
        shop.sku(sku, 9, 600);
    }
    // A SKU that does not exist yet is kept closed until its sale opens.
    let made = shop.sale("s", &["phone", "case", "later"], "2099-01-01T00:00:00Z", 3);
    assert_eq!(made.json()["skus"], json!(["case", "later", "phone"]));
    shop.sku("later", 9, 600);
    assert_eq!(refusal(&shop.one("alice", "later")), (409, "sale_not_open".to_owned()));
    let other = shop.sale("other", &["later"], LONG_AGO, 0);
    assert_eq!(refusal(&other), (409, "sku_in_sale".to_owned()));
    assert_eq!(shop.server.counters("later")["sale"], "s");
    assert_eq!(shop.sale("s", &["phone", "case", "later"], LONG_AGO, 3).status, 200);
    shop.reserve("alice", "phone", 2);
    shop.reserve("alice", "later", 1);
    assert_eq!(refusal(&shop.one("alice", "case")), (409, "buyer_limit".to_owned()));
    let basket =
        json!({"items": [{"sku": "case", "quantity": 2}, {"sku": "phone", "quantity": 2}]});
    assert_eq!(refusal(&shop.order("bob", &basket)), (409, "buyer_limit".to_owned()));
    // Also where a line before is sold out: the limit is named first.
    shop.sku("any", 1, 600);
    let all = ["phone", "case", "later", "any"];
    assert_eq!(shop.sale("s", &all, LONG_AGO, 3).status, 200);
    shop.reserve("dora", "any", 1);
    let basket = json!({"items": [{"sku": "any", "quantity": 2}, {"sku": "phone", "quantity": 2}]});
    assert_eq!(refusal(&shop.order("bob", &basket)), (409, "buyer_limit".to_owned()));
    // A SKU that leaves its sale is on sale as long as it has units.
    assert_eq!(shop.sale("s", &["phone", "later"], LONG_AGO, 3).status, 200);
    assert_eq!(shop.one("alice", "case").status, 201);
    assert_eq!(shop.server.counters("case")["sale"], Value::Null);
    shop.close();
}

#[test]
fn whoever_waits_when_a_sale_ends_is_told_whatever_sale_follows() {
    let shop = Shop::open(&["--shards", "2"]);
    shop.sku("phone", 1, 600);
    assert_eq!(shop.sale("first", &["phone"], LONG_AGO, 0).status, 201);
    shop.reserve("alice", "phone", 1);
    let wants = json!({"sku": "phone", "quantity": 1, "standby": true});
    let waits = shop.order("bob", &wants);
    assert_eq!(waits.status, 202, "{}", waits.json());
    assert_eq!(shop.to_sale("first", "end").status, 200);
    assert_eq!(shop.sale("second", &["phone"], LONG_AGO, 0).status, 201);
    shop.becomes("bob", &id_of(&waits), "cancelled");
    assert_eq!(shop.order("carol", &wants).json()["position"], 1);
    shop.close();
}

#[test]
fn sales_are_listed_and_defined_strictly() {
    let shop = Shop::open(&[]);
    for name in ["c", "a", "b"] {
        assert_eq!(shop.sale(name, &[], LONG_AGO, 0).status, 201);
    }
    for path in ["/v1/sales", "/admin/v1/sales"] {
        let list = |query: &str| match path.starts_with("/admin") {
            true => shop.server.operate("GET", &format!("{path}{query}"), None).json(),
            false => shop.public(&format!("{path}{query}")),
        };
        let names = |page: &Value| -> Vec<Value> {
            page["sales"].as_array().expect("a list").iter().map(|s| s["sale"].clone()).collect()
        };
        let first = list("?limit=2");
        assert_eq!(names(&first), ["a", "b"]);
        let cursor = first["next_cursor"].as_str().expect("there is more");
        let rest = list(&format!("?cursor={cursor}"));
        assert_eq!((names(&rest), &rest["next_cursor"]), (vec![json!("c")], &Value::Null));
        assert!(rest["server_time"].is_string());
    }
    let right = json!({"name": "S", "starts_at": LONG_AGO, "ends_at": FAR, "skus": ["x"],
        "per_buyer_limit": 0});
    let put = |fields: &str, body: &Value| {
        let fields =
            format!("Authorization: Bearer canary-admin-token-0123456789abcdef\r\n{fields}");
        Client::connect(shop.server.operators).call("PUT", "/admin/v1/sales/s", &fields, Some(body))
    };
    for (field, value) in [
        ("starts_at", json!("2026-11-11T00:00:00")),
        ("starts_at", json!("tomorrow")),
        ("starts_at", json!(1_794_355_200)),
        ("ends_at", json!(LONG_AGO)),
        ("ends_at", json!("2019-01-01T00:00:00Z")),
        ("ends_at", json!("2020-01-02T00:00:00z")),
        ("skus", json!("x")),
        ("skus", json!(["x", "x"])),
        ("skus", json!(["a b"])),
        ("skus", json!([1])),
        ("name", json!("")),
        ("per_buyer_limit", json!(-1)),
        ("state", json!("open")),
    ] {
        let mut wrong = right.clone();
        wrong[field] = value;
        let answer = put("", &wrong);
        assert_eq!(refusal(&answer), (400, "invalid_request".to_owned()), "{wrong}");
        let detail = answer.json()["detail"].as_str().expect("words").to_owned();
        assert!(detail.starts_with(field), "{detail}");
    }
    let failed = (412, "precondition_failed".to_owned());
    assert_eq!(refusal(&put("If-Match: *\r\n", &right)), failed);
    assert_eq!(refusal(&put("If-Match: \"1\"\r\n", &right)), failed);
    assert_eq!(put("", &right).status, 201);
    assert_eq!(put("If-Match: \"7\", \"1\"\r\n", &right).field("etag"), Some("\"2\""));
    assert_eq!(refusal(&put("If-Match: \"1\"\r\n", &right)), failed);
    let shown = shop.server.operate("GET", "/admin/v1/sales/s", None);
    assert_eq!((shown.field("etag"), &shown.json()["skus"]), (Some("\"2\""), &json!(["x"])));
    let announced = json!([{"sku": "x", "name": null, "unit_price": null, "currency": null,
        "available": 0, "status": "sold_out"}]);
    assert_eq!(shop.public("/v1/sales/s")["skus"], announced);
    // One that is there may be given an end in the past: it is over then.
    let mut over = right.clone();
    over["ends_at"] = json!("2020-01-02t00:00:00z");
    assert_eq!(put("", &over).json()["state"], "ended");
    assert_eq!(refusal(&put("", &right)), (409, "sale_ended".to_owned()));
    for path in ["/v1/sales/none", "/v1/sales/none/stream", "/v1/sales/a%00b"] {
        let answer = Client::connect(shop.server.buyers).call("GET", path, "", None);
        assert_eq!(refusal(&answer), (404, "sale_not_found".to_owned()), "{path}");
    }
    shop.close();
}

/// A client of a stream.
struct Watcher(Client);

impl Watcher {
    fn new(shop: &Shop, fields: &str) -> Self {
        let mut client = Client::connect(shop.server.buyers);
        client.send("GET", "/v1/sales/s/stream", fields, None);
        let head = client.answer(true).expect("an answer");
        assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
        Self(client)
    }

    /// The next line of the body, whatever chunk it is in; `None` at its end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.stream.read_line(&mut line).expect("readable");
        (!line.is_empty() && line != "0\r\n").then(|| line.trim_end().to_owned())
    }

    /// The next event: its id and what it says. Comments are passed over.
    fn event(&mut self) -> Option<(u64, Value)> {
        let mut id = None;
        loop {
            let line = self.line()?;
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((id.expect("an id"), serde_json::from_str(data).expect("JSON")));
            }
        }
    }
}

#[test]
fn whoever_watches_a_sale_sees_what_becomes_of_it() {
    let shop = Shop::open(&["--stream-clients-max", "2"]);
    shop.sku("phone", 3, 600);
    assert_eq!(shop.sale("s", &["phone"], LONG_AGO, 0).status, 201);
    let mut watcher = Watcher::new(&shop, "");
    let (first, state) = watcher.event().expect("the present state");
    assert_eq!((&state["state"], &state["skus"][0]["available"]), (&json!("open"), &json!(3)));
    shop.reserve("alice", "phone", 3);
    let sold_out = loop {
        let (id, state) = watcher.event().expect("an event");
        assert!(id > first);
        if state["skus"][0]["status"] == "sold_out" {
            break id;
        }
    };
    // Whoever comes back gets the present state at once, however old what it saw is.
    let mut back = Watcher::new(&shop, &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(back.event().map(|(id, _)| id), Some(sold_out));
    assert_eq!(shop.server.metric("sluice_stream_clients"), 2.0);
    let third = Client::connect(shop.server.buyers).call("GET", "/v1/sales/s/stream", "", None);
    assert_eq!(refusal(&third), (503, "overloaded".to_owned()));
    assert_eq!(shop.server.metric("sluice_stream_turned_away_total"), 1.0);
    drop(back);
    while shop.server.metric("sluice_stream_clients") > 1.0 {}
    Watcher::new(&shop, "").event().expect("there is room");
    assert_eq!(shop.to_sale("s", "end").status, 200);
    while watcher.event().expect("an event").1["state"] != "ended" {}
    // A shutdown ends streams as it should: the last chunk comes, and the server is not held up.
    shop.server.terminate();
    while watcher.line().is_some() {}
    let (status, text) = shop.server.end();
    assert!(status.success(), "{status}: {text}");
}
