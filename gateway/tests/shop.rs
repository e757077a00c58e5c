//! A shop with one server: what buyers, operators and payment providers do to it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, buyer};

/// What the server's webhook secret is base64 of.
const WEBHOOK_SECRET: &[u8] = b"canary-webhook-secret-0123456789";

/// A running server in a folder of its own.
pub(crate) struct Shop {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Server,
}

impl Shop {
    pub(crate) fn open(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(folder.path(), flags);
        Self { folder, server }
    }

    /// Kills the server as a crash would, and starts it again.
    pub(crate) fn crash(self, flags: &[&str]) -> Self {
        let Self { folder, server } = self;
        drop(server);
        let server = Server::start(folder.path(), flags);
        Self { folder, server }
    }

    /// Makes a SKU with one lot; `hold_seconds` is how long its holds last.
    pub(crate) fn sku(&self, sku: &str, units: u32, hold_seconds: u32) {
        let path = format!("/admin/v1/skus/{sku}");
        let terms = json!({"name": sku, "unit_price": 500, "currency": "CNY",
            "per_buyer_limit": 0, "hold_seconds": hold_seconds});
        assert_eq!(self.server.operate("PUT", &path, Some(&terms)).status, 201);
        self.lot(sku, "L1", units);
    }

    pub(crate) fn lot(&self, sku: &str, lot: &str, units: u32) {
        let body = json!({"lot": lot, "quantity": units});
        let path = format!("/admin/v1/skus/{sku}/lots");
        assert_eq!(self.server.operate("POST", &path, Some(&body)).status, 201);
    }

    /// A buyer's call.
    pub(crate) fn call(&self, who: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        Client::connect(self.server.buyers).call(method, path, &buyer(who), body)
    }

    pub(crate) fn order(&self, who: &str, body: &Value) -> Answer {
        self.call(who, "POST", "/v1/orders", Some(body))
    }

    /// Orders units of one SKU, which must be there.
    pub(crate) fn reserve(&self, who: &str, sku: &str, units: u32) -> String {
        let made = self.order(who, &json!({"sku": sku, "quantity": units}));
        assert_eq!(made.status, 201, "{}", made.json());
        id_of(&made)
    }

    /// Joins the queue of a SKU.
    pub(crate) fn wait(&self, who: &str, sku: &str, units: u32) -> String {
        let made = self.order(who, &json!({"sku": sku, "quantity": units, "standby": true}));
        assert_eq!(made.status, 202, "{}", made.json());
        id_of(&made)
    }

    pub(crate) fn cancel(&self, who: &str, order: &str) -> Answer {
        self.call(who, "POST", &format!("/v1/orders/{order}/cancel"), None)
    }

    pub(crate) fn read(&self, who: &str, order: &str) -> Value {
        self.call(who, "GET", &format!("/v1/orders/{order}"), None).json()
    }

    /// Reads an order until it is in a state.
    pub(crate) fn becomes(&self, who: &str, order: &str, status: &str) -> Value {
        loop {
            let read = self.read(who, order);
            if read["status"] == status {
                return read;
            }
        }
    }

    /// Begins a payment.
    pub(crate) fn pay(&self, who: &str, order: &str) -> Value {
        let begun = self.call(who, "POST", &format!("/v1/orders/{order}/payments"), None);
        assert_eq!(begun.status, 201, "{}", begun.json());
        begun.json()
    }

    /// What a provider says of a payment.
    pub(crate) fn notify(&self, kind: &str, payment: &Value) -> Answer {
        self.notify_as(kind, payment, &json!({}))
    }

    /// The same with other fields in place of those of the payment.
    pub(crate) fn notify_as(&self, kind: &str, payment: &Value, other: &Value) -> Answer {
        let mut body = json!({"type": kind});
        for field in ["payment_id", "order_id", "amount", "currency"] {
            body[field] = other.get(field).unwrap_or(&payment[field]).clone();
        }
        let fields = signed("m1", now(), body.to_string().as_bytes());
        Client::connect(self.server.buyers).call("POST", WEBHOOK, &fields, Some(&body))
    }

    /// Reserves and pays.
    pub(crate) fn sell(&self, who: &str, sku: &str, units: u32) -> (String, Value) {
        let order = self.reserve(who, sku, units);
        let payment = self.pay(who, &order);
        assert_eq!(self.notify("payment.succeeded", &payment).status, 200);
        assert_eq!(self.read(who, &order)["status"], "paid");
        (order, payment)
    }

    /// An operator's call about an order.
    pub(crate) fn about(&self, order: &str, what: &str, body: Option<&Value>) -> Answer {
        self.server.operate("POST", &format!("/admin/v1/orders/{order}/{what}"), body)
    }

    /// An order with all that happened to it.
    pub(crate) fn history(&self, order: &str) -> Value {
        let answer = self.server.operate("GET", &format!("/admin/v1/orders/{order}"), None);
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()
    }

    /// The kinds of an order's events, of which none may be missing, and who caused each.
    pub(crate) fn timeline(&self, order: &str) -> Vec<String> {
        loop {
            // A copy that is slow for once is asked again.
            let history = self.history(order);
            if history["timeline_complete"] == true {
                let events = history["timeline"].as_array().expect("a list");
                let text = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
                let both = events.iter().map(|event| {
                    format!(
                        "{} {}",
                        text(event, "actor").expect("an actor"),
                        text(event, "kind").expect("a kind")
                    )
                });
                return both.collect();
            }
        }
    }

    /// Sums of a counter over all shards.
    pub(crate) fn count(&self, name: &str) -> f64 {
        self.server.metric(&format!("{name}{{shard=\"0\"}}"))
    }

    /// Units of a SKU: available, held, sold, withdrawn.
    pub(crate) fn units(&self, sku: &str) -> [u64; 4] {
        let stock = self.server.counters(sku);
        ["available", "held", "sold", "withdrawn"]
            .map(|name| stock[name].as_u64().expect("a count"))
    }

    /// Stops the server and holds the copy against the journal.
    pub(crate) fn close(self) {
        self.server.caught_up();
        self.server.stop();
        audited(self.folder.path());
    }
}

fn audited(folder: &Path) {
    let (code, text) = crate::harness::audit(folder, &[]);
    assert_eq!(code, Some(0), "I8 {text}");
}

pub(crate) const WEBHOOK: &str = "/v1/webhooks/payments";

/// The id of the order in an answer.
pub(crate) fn id_of(answer: &Answer) -> String {
    answer.json()["order_id"].as_str().expect("an id").to_owned()
}

/// The refusal's status and code.
pub(crate) fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().expect("a code").to_owned())
}

/// Wall time, in seconds.
#[expect(clippy::disallowed_methods, reason = "a provider has a clock of its own")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The header fields of a call that the provider signed.
pub(crate) fn signed(id: &str, timestamp: u64, body: &[u8]) -> String {
    signed_by(WEBHOOK_SECRET, id, timestamp, body)
}

/// The same with another secret.
pub(crate) fn signed_by(secret: &[u8], id: &str, timestamp: u64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let text = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    let tag = STANDARD.encode(hmac::sign(&key, &text));
    format!("webhook-id: {id}\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: v1,{tag}\r\n")
}
