//! Every route × {owner, another buyer, nobody, operator, expired}. The routes come from the
//! document that the server serves, so that none can be left out.

use serde_json::{Value, json};
use sluice_gateway::token::Signer;

use crate::harness::{Answer, Client, Server, buyer};

const OPERATOR: &str = "Authorization: Bearer canary-admin-token-0123456789abcdef\r\n";

/// What an answer says, without what differs from request to request.
fn said(answer: &Answer) -> (u16, Value) {
    let mut body = answer.json();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
        fields.remove("server_time");
    }
    (answer.status, body)
}

/// The body that an operation takes.
fn body_of(method: &str, path: &str) -> Option<Value> {
    match (method, path) {
        ("post", "/v1/orders") => Some(json!({"sku": "phone", "quantity": 1})),
        ("put", "/admin/v1/skus/{sku}") => Some(json!({"name": "p", "unit_price": 1,
            "currency": "CNY", "per_buyer_limit": 0, "hold_seconds": 60})),
        ("post", "/admin/v1/skus/{sku}/lots") => Some(json!({"lot": "L9", "quantity": 1})),
        ("post", "/admin/v1/skus/{sku}/withdrawals") => {
            Some(json!({"withdrawal": "W9", "quantity": 1, "reason": "r"}))
        }
        _ => None,
    }
}

#[test]
fn every_route_knows_whose_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &[]);
    server.stock("phone", 100, 0);
    let owner = buyer("owner");
    let fields = format!("{owner}Idempotency-Key: k1\r\n");
    let mut client = Client::connect(server.buyers);
    let wanted = json!({"sku": "phone", "quantity": 1});
    let order = client.call("POST", "/v1/orders", &fields, Some(&wanted)).json();
    let id = order["order_id"].as_str().expect("an id");
    let expired = Signer::new(b"canary-jwt-secret-0123456789abcdef").sign("owner", 1_000_000_000);
    let expired = format!("Authorization: Bearer {expired}\r\n");

    let document = Client::connect(server.operators).call("GET", "/openapi.json", "", None).json();
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let address = match operation["x-listener"].as_str() {
                Some("buyers") => server.buyers,
                _ => server.operators,
            };
            let call = |token: &str, id: &str| {
                let target =
                    path.replace("{order_id}", id).replace("{sku}", "phone").replace("{key}", "k1");
                let body = body_of(method, path);
                let method = method.to_uppercase();
                Client::connect(address).call(&method, &target, token, body.as_ref())
            };
            let what = format!("{method} {path}");
            match operation["security"].to_string().as_str() {
                "[]" => {
                    for token in ["", OPERATOR, &owner, &expired] {
                        assert_eq!(call(token, id).status, 200, "{what}");
                    }
                }
                r#"[{"operator":[]}]"# => {
                    let nobody = said(&call("", id));
                    assert_eq!(nobody.0, 401, "{what}");
                    for token in [&owner, &expired] {
                        assert_eq!(call(token, id).status, 401, "{what}");
                    }
                    assert!(call(OPERATOR, id).status < 300, "{what}");
                }
                _ => {
                    for token in ["", OPERATOR, &expired] {
                        assert_eq!(call(token, id).status, 401, "{what}");
                    }
                    let another = buyer("another");
                    if path.contains("{order_id}") {
                        let absent = said(&call(&another, "00000000000000000000000000"));
                        assert_eq!(absent.0, 404, "{what}");
                        assert_eq!(said(&call(&another, id)), absent, "{what}");
                    } else if path.contains("{key}") {
                        assert_eq!(call(&another, id).status, 404, "{what}");
                    } else if method == "get" {
                        assert_eq!(said(&call(&another, id)).1["orders"], json!([]), "{what}");
                    }
                    assert!(call(&owner, id).status < 300, "{what}");
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 18, "operations that the matrix went through");
    server.stop();
}

#[test]
fn secrets_are_told_to_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = crate::harness::command(folder.path(), &[]);
    command.env("RUST_LOG", "trace");
    let server = Server::spawn(&mut command);
    let mut client = Client::connect(server.buyers);
    client.call("GET", "/v1/orders", "Authorization: Bearer canary.wrong.token\r\n", None);
    client.call("GET", "/v1/orders", OPERATOR, None);
    let mut told = String::new();
    for path in ["/metrics", "/openapi.json", "/readyz"] {
        let answer = Client::connect(server.operators).call("GET", path, OPERATOR, None);
        told.push_str(&String::from_utf8_lossy(&answer.body));
    }
    server.terminate();
    let (status, log) = server.end();
    assert!(status.success() && log.contains("recovered"), "{log}");
    for file in std::fs::read_dir(folder.path().join("journal")).expect("the journal") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        told.push_str(&String::from_utf8_lossy(&bytes));
    }
    // The webhook's secret, as it is written and as it is.
    let webhook = ["Y2FuYXJ5LXdlYmhvb2stc2VjcmV0LTAxMjM0NTY3ODk=", "canary-webhook-secret"];
    assert!(!told.contains("canary-"), "a secret is in an answer or in the journal");
    assert!(!told.contains(webhook[0]), "a secret is in an answer or in the journal");
    assert!(!log.contains("canary-admin-token") && !log.contains("canary-jwt-secret"), "{log}");
    assert!(webhook.iter().all(|secret| !log.contains(secret)), "{log}");
}
