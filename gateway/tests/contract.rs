//! What the contract promises of orders, SKUs, lots, withdrawals, health and refusals.

use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, buyer};

fn start() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    (folder, server)
}

fn order(client: &mut Client, who: &str, fields: &str, body: &Value) -> Answer {
    client.call("POST", "/v1/orders", &format!("{}{fields}", buyer(who)), Some(body))
}

fn refused(answer: &Answer, status: u16, code: &str) {
    let problem = answer.json();
    assert_eq!((answer.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:sluice:{code}"));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert_eq!(problem["request_id"].as_str(), answer.field("x-request-id"));
    let retryable = problem["retryable"] == true;
    assert_eq!(answer.field("retry-after").is_some(), retryable, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

#[test]
fn an_order_lives_as_the_contract_says() {
    let (_folder, server) = start();
    server.stock("phone", 3, 2);
    let mut client = Client::connect(server.buyers);
    let body = json!({"sku": "phone", "quantity": 2, "max_amount": 1000});
    let made = order(&mut client, "alice", "Idempotency-Key: \"k1\"\r\n", &body);
    assert_eq!((made.status, made.field("content-type")), (201, Some("application/json")));
    let shown = made.json();
    let id = shown["order_id"].as_str().expect("an id").to_owned();
    assert_eq!(made.field("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert_eq!(
        shown["items"],
        json!([{"sku": "phone", "quantity": 2, "unit_price": 500, "amount": 1000,
                "lots": [{"lot": "L1", "quantity": 2, "unit_price": 500}]}])
    );
    let items = json!({"items": [{"sku": "phone", "quantity": 2}], "max_amount": 1000});
    for (who, fields, body, status, code) in [
        (
            "alice",
            "Idempotency-Key: k1\r\n",
            json!({"sku": "phone", "quantity": 1}),
            422,
            "idempotency_key_reused",
        ),
        ("alice", "", json!({"sku": "phone", "quantity": 1}), 409, "buyer_limit"),
        ("bob", "", json!({"sku": "phone", "quantity": 2}), 409, "sold_out"),
        (
            "bob",
            "",
            json!({"sku": "phone", "quantity": 1, "max_amount": 499}),
            409,
            "price_changed",
        ),
        ("bob", "", json!({"sku": "none", "quantity": 1}), 404, "sku_not_found"),
        (
            "bob",
            "",
            json!({"items": [{"sku": "phone", "quantity": 1}, {"sku": "x", "quantity": 1}],
                "standby": true}),
            400,
            "invalid_request",
        ),
    ] {
        refused(&order(&mut client, who, fields, &body), status, code);
    }
    let again = order(&mut client, "alice", "Idempotency-Key: k1\r\n", &items);
    assert_eq!((again.status, again.field("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.json(), shown);

    let token = buyer("alice");
    let path = format!("/v1/orders/{id}");
    let cancelled = client.call("POST", &format!("{path}/cancel"), &token, None);
    assert_eq!((cancelled.status, cancelled.field("etag")), (200, Some("\"2\"")));
    let cancelled = cancelled.json();
    assert_eq!((&cancelled["status"], &cancelled["version"]), (&json!("cancelled"), &json!(2)));
    assert!(cancelled.get("expires_at").is_none());
    let twice = client.call("POST", &format!("{path}/cancel"), &token, Some(&json!({})));
    assert_eq!((twice.status, twice.json()), (200, cancelled.clone()));
    for path in [path.as_str(), "/v1/orders/by-key/k1", "/v1/orders/by-key/%6B1"] {
        let read = client.call("GET", path, &token, None);
        assert_eq!((read.status, read.json()), (200, cancelled.clone()), "{path}");
        assert_eq!(read.field("etag"), Some("\"2\""));
    }
    assert_eq!(order(&mut client, "alice", "Idempotency-Key: k1\r\n", &items).json(), cancelled);
    server.stop();
}

#[test]
fn ones_own_orders_are_listed_newest_first() {
    let (_folder, server) = start();
    server.stock("phone", 100, 0);
    let mut client = Client::connect(server.buyers);
    let mut ids = Vec::new();
    for who in ["alice", "bob", "alice", "alice"] {
        let made = order(&mut client, who, "", &json!({"sku": "phone", "quantity": 1}));
        if who == "alice" {
            ids.insert(0, made.json()["order_id"].clone());
        }
    }
    let token = buyer("alice");
    let mut list = |query: &str| client.call("GET", &format!("/v1/orders{query}"), &token, None);
    let listed = |page: &Value| -> Vec<Value> {
        let orders = page["orders"].as_array().expect("a list");
        orders.iter().map(|order| order["order_id"].clone()).collect()
    };
    let whole = list("").json();
    assert_eq!((listed(&whole), &whole["next_cursor"]), (ids.clone(), &Value::Null));
    let first = list("?limit=2").json();
    assert_eq!(listed(&first), ids[..2]);
    let cursor = first["next_cursor"].as_str().expect("there is more").to_owned();
    assert_eq!(listed(&list(&format!("?limit=2&cursor={cursor}")).json()), ids[2..]);
    assert_eq!(listed(&list("?status=paid").json()).len(), 0);
    assert_eq!(listed(&list("?status=reserved").json()).len(), 3);
    for wrong in [
        "?limit=0",
        "?limit=101",
        "?limit=x",
        "?limit=",
        "?limit=1&limit=1",
        "?status=Paid",
        "?cursor=x",
        "?page=1",
        "?limit=%",
    ] {
        refused(&list(wrong), 400, "invalid_request");
    }
    assert_eq!(
        (list("?limit=1").status, list("?limit=100").status),
        (200, 200),
        "the ends of the range"
    );
    server.stop();
}

#[test]
fn anybody_sees_what_is_for_sale() {
    let (_folder, server) = start();
    server.stock("phone", 1, 0);
    let mut client = Client::connect(server.buyers);
    let page = client.call("GET", "/v1/skus/phone", "", None).json();
    let wanted = json!({"sku": "phone", "name": "phone", "unit_price": 500, "currency": "CNY",
        "available": 1, "status": "on_sale"});
    assert_eq!(page, wanted);
    assert_eq!(order(&mut client, "a", "", &json!({"sku": "phone", "quantity": 1})).status, 201);
    let all = client.call("GET", "/v1/skus", "", None).json();
    assert_eq!(all["skus"][0]["status"], "sold_out");
    assert!(all["server_time"].as_str().is_some_and(|time| time.ends_with('Z')));
    for name in ["none", "a%00", "..", "%ff", "%E2%80%AE", "{}", "*"] {
        refused(&client.call("GET", &format!("/v1/skus/{name}"), "", None), 404, "sku_not_found");
    }
    let head = client.call("HEAD", "/v1/skus/phone", "", None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    server.stop();
}

#[test]
fn lists_of_skus_come_page_by_page() {
    let (_folder, server) = start();
    for name in ["c", "a", "d", "b", "e"] {
        server.stock(name, 1, 0);
    }
    let mut client = Client::connect(server.buyers);
    let names = |page: &Value| -> Vec<Value> {
        page["skus"].as_array().into_iter().flatten().map(|sku| sku["sku"].clone()).collect()
    };
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.call("GET", &format!("/v1/skus?limit=2{cursor}"), "", None).json();
        let stocks = server.operate("GET", &format!("/admin/v1/skus?limit=2{cursor}"), None).json();
        assert_eq!(names(&page), names(&stocks));
        assert_eq!(page["next_cursor"], stocks["next_cursor"]);
        pages.push(names(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
    for wrong in ["?limit=0", "?limit=1001", "?limit=x", "?cursor=%3D", "?page=2"] {
        let refusal = client.call("GET", &format!("/v1/skus{wrong}"), "", None);
        refused(&refusal, 400, "invalid_request");
    }
    server.stop();
}

#[test]
fn operators_define_receive_and_withdraw() {
    let (_folder, server) = start();
    let terms = json!({"name": "Phone", "unit_price": 500, "currency": "CNY",
        "per_buyer_limit": 0, "hold_seconds": 600, "standby_pass": true});
    let put = |fields: &str, body: &Value| {
        let fields =
            format!("Authorization: Bearer canary-admin-token-0123456789abcdef\r\n{fields}");
        Client::connect(server.operators).call("PUT", "/admin/v1/skus/phone", &fields, Some(body))
    };
    refused(&put("If-Match: *\r\n", &terms), 412, "precondition_failed");
    refused(&put("If-Match: \"1\"\r\n", &terms), 412, "precondition_failed");
    let made = put("", &terms);
    assert_eq!((made.status, made.field("etag")), (201, Some("\"1\"")));
    let replaced = put("If-Match: \"1\"\r\n", &terms);
    assert_eq!((replaced.status, replaced.field("etag")), (200, Some("\"2\"")));
    refused(&put("If-Match: \"1\"\r\n", &terms), 412, "precondition_failed");
    refused(&put("If-Match: 2\r\n", &terms), 400, "invalid_request");
    assert_eq!(put("If-Match: *\r\n", &terms).field("etag"), Some("\"3\""));
    assert_eq!(put("If-Match: \"9\", \"3\"\r\n", &terms).field("etag"), Some("\"4\""));
    for (field, value) in [
        ("currency", json!("cny")),
        ("name", json!("")),
        ("unit_price", json!(-1)),
        ("per_buyer_limit", json!(1.5)),
        ("hold_seconds", json!(0)),
        ("price", json!(1)),
    ] {
        let mut wrong = terms.clone();
        wrong[field] = value;
        let answer = put("", &wrong);
        refused(&answer, 400, "invalid_request");
        assert!(answer.json()["detail"].as_str().is_some_and(|text| text.starts_with(field)));
    }

    let post = |what: &str, body: &Value| {
        server.operate("POST", &format!("/admin/v1/skus/phone/{what}"), Some(body))
    };
    assert_eq!(post("lots", &json!({"lot": "L1", "quantity": 5})).status, 201);
    assert_eq!(post("lots", &json!({"lot": "L1", "quantity": 5})).status, 200);
    refused(&post("lots", &json!({"lot": "L1", "quantity": 6})), 409, "lot_exists");
    assert_eq!(post("lots", &json!({"lot": "L2", "quantity": 1, "unit_price": 1})).status, 201);
    let mut other = terms;
    other["currency"] = json!("EUR");
    refused(&put("", &other), 400, "invalid_request");
    let withdrawal = json!({"withdrawal": "W1", "quantity": 2, "reason": "broken"});
    assert_eq!(post("withdrawals", &withdrawal).status, 201);
    assert_eq!(post("withdrawals", &withdrawal).status, 200);
    let other = json!({"withdrawal": "W1", "quantity": 1, "reason": "broken"});
    refused(&post("withdrawals", &other), 422, "idempotency_key_reused");
    let much = json!({"withdrawal": "W2", "quantity": 5, "reason": "much"});
    refused(&post("withdrawals", &much), 409, "sold_out");
    let none = server.operate(
        "POST",
        "/admin/v1/skus/none/lots",
        Some(&json!({"lot": "L", "quantity": 1})),
    );
    refused(&none, 404, "sku_not_found");

    let stock = server.counters("phone");
    for (name, units) in [("received", 6), ("available", 4), ("withdrawn", 2), ("standby", 0)] {
        assert_eq!(stock[name], units, "{stock}");
    }
    let all = server.operate("GET", "/admin/v1/skus", None).json();
    assert_eq!(all["skus"], json!([stock]));
    let audit = server.operate("GET", "/admin/v1/audit", None).json();
    assert_eq!((&audit["oversold"], &audit["sinks"][0]["name"]), (&json!(0), &json!("sql")));
    assert_eq!(audit["skus"][0]["sum"], 6);
    let shards = server.operate("GET", "/admin/v1/shards", None).json();
    assert_eq!(shards["shards"][0]["lanes"]["orders"], 0);
    server.stop();
}

#[test]
fn health_metrics_and_document_need_no_token() {
    let (_folder, server) = start();
    let mut client = Client::connect(server.operators);
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(client.call("GET", path, "", None).status, 200, "{path}");
    }
    let text = client.call("GET", "/metrics", "", None).body;
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("# TYPE sluice_orders_placed_total counter\n"), "{text}");
    assert!(text.lines().all(|line| line.starts_with('#') || line.split(' ').count() == 2));
    server.stop();
}

#[test]
fn what_is_refused_first_is_refused_in_the_contracts_order() {
    let (_folder, server) = start();
    let mut client = Client::connect(server.buyers);
    let alice = buyer("alice");
    let large = "Content-Type: text/plain\r\nContent-Length: 16385\r\n";
    let cases = [
        ("GET", "/v1/nothing", "".to_owned(), 404, "not_found"),
        ("POST", "/v1/payments", alice.clone(), 404, "not_found"),
        ("GET", "/admin/v1/skus", alice.clone(), 404, "not_found"),
        ("DELETE", "/v1/orders", "".to_owned(), 405, "method_not_allowed"),
        ("PUT", "/v1/skus/a", "".to_owned(), 405, "method_not_allowed"),
        ("GET", "/v1/orders?page=1", "".to_owned(), 401, "unauthenticated"),
        ("GET", "/v1/orders/x?page=1", alice.clone(), 400, "invalid_request"),
        ("GET", "/v1/orders/x", alice.clone(), 404, "order_not_found"),
        ("POST", "/v1/orders", "Content-Length: 0\r\n".to_owned(), 401, "unauthenticated"),
        (
            "POST",
            "/v1/orders",
            format!("{alice}Content-Length: 0\r\n"),
            415,
            "unsupported_media_type",
        ),
    ];
    for (method, path, fields, status, code) in cases {
        let answer = client.call(method, path, &fields, None);
        refused(&answer, status, code);
        assert_eq!(answer.field("www-authenticate").is_some(), status == 401);
        assert_eq!(answer.field("allow").is_some(), status == 405);
    }
    let allowed = client.call("DELETE", "/v1/orders", "", None);
    assert_eq!(allowed.field("allow"), Some("GET, HEAD, POST"));
    for (token, status, code) in
        [("", 401, "unauthenticated"), (alice.as_str(), 413, "body_too_large")]
    {
        let mut client = Client::connect(server.buyers);
        let answer = client.call("POST", "/v1/orders", &format!("{token}{large}"), None);
        refused(&answer, status, code);
    }
    server.stop();
}
