//! Every route × {owner, another buyer, nobody, operator, expired}. The routes come from the
//! document that the server serves, so that none can be left out.

use serde_json::{Value, json};
use sluice_gateway::token::Signer;

use crate::harness::{Answer, Client, Server, buyer};
use crate::shop::{Shop, WEBHOOK, id_of, now, signed};

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
        ("put", "/admin/v1/sales/{sale}") => Some(json!({"name": "s", "per_buyer_limit": 0,
            "starts_at": "2099-01-01T00:00:00Z", "ends_at": "2100-01-01T00:00:00Z",
            "skus": ["later"]})),
        ("post", "/admin/v1/orders/{order_id}/refund") => Some(json!({"return_to_stock": true})),
        ("post", "/admin/v1/orders/{order_id}/ship") => {
            Some(json!({"carrier": "c", "tracking_number": "t"}))
        }
        ("post", "/admin/v1/sinks/{sink}/skip") => Some(json!({"sequence": 1, "why": "w"})),
        ("post", "/v1/webhooks/payments") => Some(json!({"type": "invoice.sent"})),
        ("post", "/sandbox/payments/{payment_id}") => Some(json!({"outcome": "fail"})),
        ("post", "/admin/v1/skus/{sku}/withdrawals") => {
            Some(json!({"withdrawal": "W9", "quantity": 1, "reason": "r"}))
        }
        _ => None,
    }
}

/// A shop in which every route finds what it needs: an order, a payment, a sale for each.
struct Stage {
    shop: Shop,
    order: String,
    unpaid: String,
    paid: [String; 2],
    shipped: String,
    payment: String,
}

impl Stage {
    fn set() -> Self {
        let shop = Shop::open(&["--payment-provider", "sandbox"]);
        shop.sku("phone", 100, 600);
        let keyed = format!("{}Idempotency-Key: k1\r\n", buyer("owner"));
        let wanted = json!({"sku": "phone", "quantity": 1});
        let mut client = Client::connect(shop.server.buyers);
        let order = client.call("POST", "/v1/orders", &keyed, Some(&wanted));
        let [first, second, third] = [(); 3].map(|()| shop.sell("owner", "phone", 1));
        let parcel = json!({"carrier": "c", "tracking_number": "t"});
        assert_eq!(shop.about(&third.0, "ship", Some(&parcel)).status, 200);
        let sale = body_of("put", "/admin/v1/sales/{sale}").map(|mut sale| {
            sale["skus"] = json!([]);
            sale
        });
        for name in ["s", "pause", "resume", "end"] {
            let path = format!("/admin/v1/sales/{name}");
            assert_eq!(shop.server.operate("PUT", &path, sale.as_ref()).status, 201);
        }
        let unpaid = shop.reserve("owner", "phone", 1);
        // A copy that is not there yet cannot tell.
        shop.server.caught_up();
        Self {
            order: id_of(&order),
            unpaid,
            payment: first.1["payment_id"].as_str().expect("an id").to_owned(),
            paid: [first.0, second.0],
            shipped: third.0,
            shop,
        }
    }

    /// The order that a route is tried with.
    fn order_of(&self, path: &str) -> &str {
        match path.rsplit_once('/').map(|(_, last)| last) {
            Some("payments") => &self.unpaid,
            Some("refund") => &self.paid[0],
            Some("ship") => &self.paid[1],
            Some("deliver") => &self.shipped,
            _ => &self.order,
        }
    }

    /// Where a route is called for an order.
    fn target(&self, path: &str, order: &str) -> String {
        let sale = match path.rsplit_once('/') {
            Some(("/admin/v1/sales/{sale}", last)) => last,
            _ => "s",
        };
        let target = path.replace("{order_id}", order).replace("{sku}", "phone");
        let target = target.replace("{key}", "k1").replace("{sale}", sale);
        let target = target.replace("{sink}", "sql");
        let target = target.replace("{payment_id}", &self.payment);
        match path {
            "/admin/v1/payments" => format!("{target}?status=refunding"),
            _ => target,
        }
    }
}

/// One operation of the document, as it is called with a token for an order.
struct Operation<'s> {
    stage: &'s Stage,
    method: &'s str,
    path: &'s str,
    listener: std::net::SocketAddr,
}

impl Operation<'_> {
    fn call(&self, token: &str, order: &str) -> Answer {
        let (target, body) = (self.stage.target(self.path, order), body_of(self.method, self.path));
        let mut client = Client::connect(self.listener);
        client.call(&self.method.to_uppercase(), &target, token, body.as_ref())
    }

    /// What anybody may ask is answered whatever they show.
    fn is_anybodys(&self, tokens: [&str; 4]) {
        for token in tokens {
            let answer = self.call(token, self.stage.order_of(self.path));
            assert!(answer.status < 300, "{} {}: {}", self.method, self.path, answer.head);
        }
    }

    /// What needs a token is refused to those who show another.
    fn is_refused_to(&self, tokens: [&str; 4]) {
        for token in tokens {
            let answer = self.call(token, self.stage.order_of(self.path));
            assert_eq!(answer.status, 401, "{} {}", self.method, self.path);
        }
    }

    fn is_granted_to(&self, token: &str) {
        let answer = self.call(token, self.stage.order_of(self.path));
        let text = String::from_utf8_lossy(&answer.body);
        // No sink has stopped: it is let in, and told so.
        let is_skip = self.path == "/admin/v1/sinks/{sink}/skip" && answer.status == 409;
        assert!(answer.status < 300 || is_skip, "{} {}: {text}", self.method, self.path);
    }

    /// Another's order is answered like none.
    fn hides_from(&self, another: &str) {
        let order = self.stage.order_of(self.path);
        let what = format!("{} {}", self.method, self.path);
        if self.path.contains("{order_id}") {
            let absent = said(&self.call(another, "00000000000000000000000000"));
            assert_eq!(absent.0, 404, "{what}");
            assert_eq!(said(&self.call(another, order)), absent, "{what}");
        } else if self.path.contains("{key}") {
            assert_eq!(self.call(another, order).status, 404, "{what}");
        } else if self.method == "get" {
            assert_eq!(said(&self.call(another, order)).1["orders"], json!([]), "{what}");
        }
    }
}

#[test]
fn every_route_knows_whose_it_is() {
    let stage = Stage::set();
    let server = &stage.shop.server;
    let (owner, another) = (buyer("owner"), buyer("another"));
    let expired = Signer::new(b"canary-jwt-secret-0123456789abcdef").sign("owner", 1_000_000_000);
    let expired = format!("Authorization: Bearer {expired}\r\n");
    let notice = body_of("post", WEBHOOK).expect("a notice").to_string();
    let provider = signed("m1", now(), notice.as_bytes());
    let document = Client::connect(server.operators).call("GET", "/openapi.json", "", None).json();
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, description) in operations.as_object().expect("operations") {
            let listener = match description["x-listener"].as_str() {
                Some("buyers") => server.buyers,
                _ => server.operators,
            };
            let operation = Operation { stage: &stage, method, path, listener };
            match description["security"].to_string().as_str() {
                "[]" => operation.is_anybodys(["", OPERATOR, &owner, &expired]),
                r#"[{"operator":[]}]"# => {
                    operation.is_refused_to(["", &owner, &expired, &provider]);
                    operation.is_granted_to(OPERATOR);
                }
                r#"[{"provider":[]}]"# => {
                    operation.is_refused_to(["", OPERATOR, &owner, &expired]);
                    operation.is_granted_to(&provider);
                }
                _ => {
                    operation.is_refused_to(["", OPERATOR, &expired, &provider]);
                    operation.hides_from(&another);
                    operation.is_granted_to(&owner);
                }
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 40, "operations that the matrix went through");
    stage.shop.close();
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
