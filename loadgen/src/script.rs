//! Who orders what: a pure function of a request's number, and the bytes of it.
//!
//! Nothing about a request is stored: settling and the audit write it again from its number.

use std::io::Write as _;

use crate::http;
use crate::lines::Lines;
use crate::order::OrderId;
use crate::plan::Plan;
use crate::random::{SplitMix, mix};
use crate::token::Signer;
use crate::traffic::{Choices, Fate, Shape};
use crate::work::Orders;
use crate::zipf::Zipf;

/// What one request orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which buyer.
    pub(crate) buyer: u32,
    /// How.
    pub(crate) shape: Shape,
    /// Which SKUs.
    pub(crate) lines: Lines,
}

/// All requests of a run.
pub(crate) struct Script {
    run_id: String,
    authority: String,
    seed: u64,
    choices: Choices,
    popularity: Zipf,
    basket_lines: u32,
    skus: Vec<String>,
    quantity: u32,
    buyers: u32,
    tokens: Vec<u8>,
    token_bytes: usize,
    /// For each SKU: an order of it.
    singles: Vec<Parts>,
    /// For each SKU: an order of it that may wait.
    standbys: Vec<Parts>,
}

/// An order, but for who orders it.
struct Parts {
    /// The request up to the token.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Parts {
    fn new(authority: &str, body: String) -> Parts {
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nauthorization: Bearer ",
            body.len()
        );
        Parts { head: head.into_bytes(), body: body.into_bytes() }
    }
}

impl Script {
    /// Signs the tokens and builds all that does not change from request to request.
    pub(crate) fn new(plan: &Plan, orders: &Orders, exp_unix_s: u64) -> Script {
        let mut script = Script {
            run_id: plan.run_id.clone(),
            authority: plan.target.authority().to_owned(),
            seed: plan.seed,
            choices: Choices::new(&plan.traffic, plan.seed),
            popularity: Zipf::new(orders.skus.len(), plan.traffic.zipf),
            basket_lines: plan.traffic.basket_lines,
            skus: orders.skus.clone(),
            quantity: orders.quantity,
            buyers: orders.buyers,
            tokens: Vec::new(),
            token_bytes: 0,
            singles: Vec::new(),
            standbys: Vec::new(),
        };
        let signer = Signer::new(&orders.jwt_secret);
        for buyer in 0..orders.buyers {
            // Names are of one length, and so are tokens.
            script
                .tokens
                .extend_from_slice(signer.sign(&script.buyer_name(buyer), exp_unix_s).as_bytes());
        }
        script.token_bytes = script.tokens.len() / orders.buyers as usize;
        for sku in &orders.skus {
            let line = format!(r#""sku":"{sku}","quantity":{}"#, orders.quantity);
            script.singles.push(Parts::new(&script.authority, format!("{{{line}}}")));
            let standby = format!(r#"{{{line},"standby":true}}"#);
            script.standbys.push(Parts::new(&script.authority, standby));
        }
        script
    }

    /// What request `number` orders: buyers take turns, SKUs are drawn; retries and duplicates follow another order.
    pub(crate) fn wanted(&self, number: u64) -> Wanted {
        let number = self.choices.buyer_of(number);
        let shape = self.choices.shape(number);
        let mut drawn = mix(self.seed ^ mix(number));
        let mut lines = Lines::one(self.popularity.draw(drawn) as u32);
        if shape == Shape::Basket {
            let mut more = SplitMix::new(drawn);
            for _ in 1..self.basket_lines {
                drawn = more.next();
                lines.add(self.popularity.draw(drawn) as u32, self.skus.len() as u32);
            }
        }
        Wanted { buyer: (number % u64::from(self.buyers)) as u32, shape, lines }
    }

    /// How request `number` orders.
    pub(crate) fn shape(&self, number: u64) -> Shape {
        self.choices.shape(self.choices.buyer_of(number))
    }

    /// The request whose key request `number` carries: itself, unless it is a retry.
    pub(crate) fn key_of(&self, number: u64) -> u64 {
        self.choices.key_of(number)
    }

    /// Whether a key is sent more than once.
    pub(crate) fn is_retried(&self, key: u64) -> bool {
        self.choices.is_retried(key)
    }

    /// What the buyer does with the order of a key once it is accepted.
    pub(crate) fn fate(&self, key: u64) -> Fate {
        self.choices.fate(key)
    }

    /// Whether the order of a key, once paid, is refunded at the end.
    pub(crate) fn is_refunded(&self, key: u64) -> bool {
        self.choices.is_refunded(key)
    }

    /// Whether the webhooks of a key's order are sent twice.
    pub(crate) fn calls_twice(&self, key: u64) -> bool {
        self.choices.calls_twice(key)
    }

    /// The name of a SKU.
    pub(crate) fn sku(&self, sku: u32) -> &str {
        &self.skus[sku as usize]
    }

    /// All SKUs.
    pub(crate) fn skus(&self) -> &[String] {
        &self.skus
    }

    /// Units in each order.
    pub(crate) fn quantity(&self) -> u32 {
        self.quantity
    }

    /// How many buyers take turns.
    pub(crate) fn buyers(&self) -> u32 {
        self.buyers
    }

    /// The `sub` of a buyer.
    pub(crate) fn buyer_name(&self, buyer: u32) -> String {
        format!("{}-b{buyer:07}", self.run_id)
    }

    /// The idempotency key of a request.
    pub(crate) fn key(&self, number: u64) -> String {
        format!("{}-{}", self.run_id, self.key_of(number))
    }

    /// Writes `POST /v1/orders`; always the same bytes for the same number, and for all that carry one key.
    pub(crate) fn write_order(&self, number: u64, out: &mut Vec<u8>) {
        let number = self.key_of(number);
        let wanted = self.wanted(number);
        let first = wanted.lines.as_slice()[0] as usize;
        let basket;
        let parts = match wanted.shape {
            Shape::Single => &self.singles[first],
            Shape::Standby => &self.standbys[first],
            Shape::Basket => {
                basket = Parts::new(&self.authority, self.basket_body(&wanted.lines));
                &basket
            }
        };
        out.extend_from_slice(&parts.head);
        out.extend_from_slice(self.token(wanted.buyer));
        out.extend_from_slice(b"\r\nidempotency-key: ");
        out.extend_from_slice(self.run_id.as_bytes());
        let _ = write!(out, "-{number}\r\n\r\n");
        out.extend_from_slice(&parts.body);
    }

    fn basket_body(&self, lines: &Lines) -> String {
        let items: Vec<String> = (lines.as_slice().iter())
            .map(|&sku| format!(r#"{{"sku":"{}","quantity":{}}}"#, self.sku(sku), self.quantity))
            .collect();
        format!(r#"{{"items":[{}]}}"#, items.join(","))
    }

    /// Writes `GET /v1/orders/{id}` as the buyer of request `number`.
    pub(crate) fn write_read(&self, number: u64, id: &OrderId, out: &mut Vec<u8>) {
        self.write_get(number, &format!("/v1/orders/{}", id.as_str()), out);
    }

    /// Writes `GET /v1/orders/by-key/{key}` with the key and as the buyer of request `number`.
    pub(crate) fn write_look_up(&self, number: u64, out: &mut Vec<u8>) {
        self.write_get(number, &format!("/v1/orders/by-key/{}", self.key(number)), out);
    }

    fn write_get(&self, number: u64, path: &str, out: &mut Vec<u8>) {
        let token = String::from_utf8_lossy(self.token(self.wanted(number).buyer));
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        out.extend_from_slice(&http::request("GET", path, &self.authority, &headers, b""));
    }

    /// Writes `POST /v1/orders/{id}/cancel` as the buyer of request `number`.
    pub(crate) fn write_cancel(&self, number: u64, id: &OrderId, out: &mut Vec<u8>) {
        self.write_step(number, id, "cancel", out);
    }

    /// Writes `POST /v1/orders/{id}/payments` as the buyer of request `number`.
    pub(crate) fn write_payment(&self, number: u64, id: &OrderId, out: &mut Vec<u8>) {
        self.write_step(number, id, "payments", out);
    }

    fn write_step(&self, number: u64, id: &OrderId, step: &str, out: &mut Vec<u8>) {
        let (authority, id) = (&self.authority, id.as_str());
        let _ = write!(out, "POST /v1/orders/{id}/{step} HTTP/1.1\r\nhost: {authority}\r\n");
        out.extend_from_slice(b"content-length: 0\r\nauthorization: Bearer ");
        out.extend_from_slice(self.token(self.wanted(number).buyer));
        out.extend_from_slice(b"\r\n\r\n");
    }

    /// Request `number` in words, for findings.
    pub(crate) fn name(&self, number: u64) -> String {
        format!("key {} of buyer {}", self.key(number), self.buyer_name(self.wanted(number).buyer))
    }

    fn token(&self, buyer: u32) -> &[u8] {
        let at = buyer as usize * self.token_bytes;
        &self.tokens[at..at + self.token_bytes]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Script;
    use crate::endpoint::Endpoint;
    use crate::plan::Plan;
    use crate::secret::Secret;
    use crate::traffic::Traffic;
    use crate::work::{Orders, Work};

    /// A script of `buyers` buyers and `skus` SKUs named `sku-1`, `sku-2` …, one unit an order.
    pub(crate) fn script(buyers: u32, skus: usize) -> Script {
        script_of(buyers, skus, Traffic::default())
    }

    /// The same with other than plain traffic.
    pub(crate) fn script_of(buyers: u32, skus: usize, traffic: Traffic) -> Script {
        let orders = Orders {
            skus: (1..=skus).map(|number| format!("sku-{number}")).collect(),
            quantity: 1,
            buyers,
            jwt_secret: Secret::new("0123456789abcdef0123456789abcdef"),
            per_buyer_limit: None,
            ops: None,
            setup: None,
            audit: true,
        };
        let mut plan = Plan::new(
            Endpoint::parse("target", "http://127.0.0.1:1").unwrap(),
            Work::Orders(orders.clone()),
        );
        plan.run_id = "run".to_owned();
        plan.seed = 1;
        plan.traffic = traffic;
        Script::new(&plan, &orders, 1_900_000_000)
    }

    #[test]
    fn a_request_is_a_function_of_its_number() {
        let script = script(3, 2);
        let (mut first, mut again) = (Vec::new(), Vec::new());
        script.write_order(7, &mut first);
        script.write_order(7, &mut again);
        assert_eq!(first, again);
        let text = String::from_utf8(first).unwrap();
        assert!(text.starts_with("POST /v1/orders HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"), "{text}");
        assert!(text.contains("\r\nidempotency-key: run-7\r\n\r\n{\"sku\":\"sku-"), "{text}");
        assert!(text.ends_with(",\"quantity\":1}"), "{text}");
    }

    #[test]
    fn buyers_take_turns_and_every_sku_is_drawn() {
        let script = script(3, 4);
        let buyers: Vec<u32> = (0..6).map(|number| script.wanted(number).buyer).collect();
        assert_eq!(buyers, [0, 1, 2, 0, 1, 2]);
        let mut drawn: Vec<u32> =
            (0..100).map(|number| script.wanted(number).lines.as_slice()[0]).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn, [0, 1, 2, 3]);
    }

    #[test]
    fn each_buyer_has_a_token_of_its_own() {
        let script = script(11, 1);
        assert_ne!(script.token(1), script.token(10));
        assert_eq!(script.token(10).iter().filter(|&&byte| byte == b'.').count(), 2);
    }

    #[test]
    fn a_retry_is_the_same_bytes_and_a_duplicate_the_same_buyer() {
        let traffic =
            Traffic { retries_percent: 30.0, duplicates_percent: 30.0, ..Traffic::default() };
        let script = script_of(50, 5, traffic);
        let bytes = |number| {
            let mut out = Vec::new();
            script.write_order(number, &mut out);
            out
        };
        let (mut retries, mut duplicates) = (0, 0);
        for number in 1..200 {
            if script.key_of(number) != number {
                retries += 1;
                assert_eq!(bytes(number), bytes(number - 1));
                assert!(script.is_retried(script.key_of(number)));
            } else if script.wanted(number) == script.wanted(number - 1) {
                duplicates += 1;
                assert_ne!(bytes(number), bytes(number - 1));
            }
        }
        assert!(retries > 30 && duplicates > 30, "{retries} {duplicates}");
    }

    #[test]
    fn standby_and_baskets_are_asked_for_in_the_body() {
        let body = |traffic, number| {
            let mut out = Vec::new();
            script_of(5, 4, traffic).write_order(number, &mut out);
            let text = String::from_utf8(out).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{text}");
            serde_json::from_str::<serde_json::Value>(body).unwrap()
        };
        let standby = Traffic { standby_percent: 100.0, ..Traffic::default() };
        assert_eq!(body(standby, 3)["standby"], true);
        let baskets = Traffic { baskets_percent: 100.0, zipf: 9.0, ..Traffic::default() };
        let items = body(baskets, 3)["items"].clone();
        let items = items.as_array().unwrap();
        assert_eq!(items.len(), 3);
        assert!(items.iter().all(|item| item["quantity"] == 1));
        assert!(items[0] != items[1] && items[1] != items[2] && items[0] != items[2]);
    }

    #[test]
    fn a_cancel_is_sent_by_the_buyer_of_the_order() {
        let script = script(3, 1);
        let mut order = Vec::new();
        script.write_order(4, &mut order);
        let order = String::from_utf8(order).unwrap();
        let bearer = order.split("\r\n").find(|line| line.starts_with("authorization")).unwrap();
        let mut cancel = Vec::new();
        script.write_cancel(4, &crate::order::OrderId::new("01KA").unwrap(), &mut cancel);
        let cancel = String::from_utf8(cancel).unwrap();
        assert!(cancel.starts_with("POST /v1/orders/01KA/cancel HTTP/1.1\r\n"), "{cancel}");
        assert!(cancel.contains(bearer) && cancel.ends_with("\r\n\r\n"), "{cancel}");
    }
}
