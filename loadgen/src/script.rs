//! Who orders what: a pure function of a request's number, and the bytes of it.
//!
//! Nothing about a request is stored: settling and the audit write it again from its number.

use std::io::Write as _;

use crate::http;
use crate::order::OrderId;
use crate::plan::Plan;
use crate::random::mix;
use crate::token::Signer;
use crate::traffic::{Choices, Fate};
use crate::work::Orders;
use crate::zipf::Zipf;

/// What one request orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Which buyer.
    pub(crate) buyer: u32,
    /// Which SKU.
    pub(crate) sku: u32,
}

/// All requests of a run.
pub(crate) struct Script {
    run_id: String,
    authority: String,
    seed: u64,
    choices: Choices,
    popularity: Zipf,
    skus: Vec<String>,
    quantity: u32,
    buyers: u32,
    tokens: Vec<u8>,
    token_bytes: usize,
    /// For each SKU: the request up to the token, and the body.
    parts: Vec<(Vec<u8>, Vec<u8>)>,
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
            skus: orders.skus.clone(),
            quantity: orders.quantity,
            buyers: orders.buyers,
            tokens: Vec::new(),
            token_bytes: 0,
            parts: Vec::new(),
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
            let body = format!(r#"{{"sku":"{sku}","quantity":{}}}"#, orders.quantity).into_bytes();
            let head = format!(
                "POST /v1/orders HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nauthorization: Bearer ",
                script.authority,
                body.len()
            );
            script.parts.push((head.into_bytes(), body));
        }
        script
    }

    /// What request `number` orders: buyers take turns, SKUs are drawn; retries and duplicates follow another order.
    pub(crate) fn wanted(&self, number: u64) -> Wanted {
        let number = self.choices.buyer_of(number);
        Wanted {
            buyer: (number % u64::from(self.buyers)) as u32,
            sku: self.popularity.draw(mix(self.seed ^ mix(number))) as u32,
        }
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
        let (head, body) = &self.parts[wanted.sku as usize];
        out.extend_from_slice(head);
        out.extend_from_slice(self.token(wanted.buyer));
        out.extend_from_slice(b"\r\nidempotency-key: ");
        out.extend_from_slice(self.run_id.as_bytes());
        let _ = write!(out, "-{number}\r\n\r\n");
        out.extend_from_slice(body);
    }

    /// Writes `GET /v1/orders/{id}` as the buyer of request `number`.
    pub(crate) fn write_read(&self, number: u64, id: &OrderId, out: &mut Vec<u8>) {
        let token = String::from_utf8_lossy(self.token(self.wanted(number).buyer));
        let bearer = format!("Bearer {token}");
        let path = format!("/v1/orders/{}", id.as_str());
        out.extend_from_slice(&http::request(
            "GET",
            &path,
            &self.authority,
            &[("authorization", &bearer)],
            b"",
        ));
    }

    /// Writes `POST /v1/orders/{id}/cancel` as the buyer of request `number`.
    pub(crate) fn write_cancel(&self, number: u64, id: &OrderId, out: &mut Vec<u8>) {
        let (authority, id) = (&self.authority, id.as_str());
        let _ = write!(out, "POST /v1/orders/{id}/cancel HTTP/1.1\r\nhost: {authority}\r\n");
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
        let mut drawn: Vec<u32> = (0..100).map(|number| script.wanted(number).sku).collect();
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
