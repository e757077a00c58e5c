//! The payments of the shop: started by buyers, settled by signed webhooks, refunded by operators.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::Reply;
use super::books::Books;
use super::fault::Fault;

/// What webhooks are signed with.
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Debug)]
pub(super) struct Payment {
    order: String,
    amount: u64,
    calls: u64,
}

/// Whether `signature` signs the id, the time and the body.
fn is_signed([id, time]: &[String; 2], signature: &str, body: &[u8]) -> bool {
    let key = STANDARD.decode(WEBHOOK_SECRET.trim_start_matches("whsec_")).unwrap();
    let signature = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
    let signed = [format!("{id}.{time}.").as_bytes(), body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    hmac::verify(&key, &signed, &signature.unwrap_or_default()).is_ok()
}

impl Books {
    pub(super) fn start_payment(&mut self, buyer: &str, id: &str, fault: Fault) -> Reply {
        let Some(order) = self.orders.get(id).filter(|order| order["buyer"] == buyer) else {
            return Reply::refusal(404, "order_not_found");
        };
        if order["status"] != "reserved" || fault == Fault::RefusesPayments {
            return Reply::refusal(409, "order_state");
        }
        let amount = order["amount"].as_u64().unwrap();
        let payment = format!("PAY{id}");
        let status = if self.payments.contains_key(&payment) { 200 } else { 201 };
        let told = amount + u64::from(fault == Fault::AsksAnotherAmount);
        let body = json!({"payment_id": payment, "order_id": id, "amount": told, "currency": "CNY",
                          "status": "open", "pay_url": null});
        self.payments.entry(payment).or_insert(Payment { order: id.to_owned(), amount, calls: 0 });
        Reply::new(status, body)
    }

    pub(super) fn webhook(
        &mut self,
        signed: &[String; 2],
        signature: &str,
        body: &[u8],
        fault: Fault,
    ) -> Reply {
        if !is_signed(signed, signature, body) || fault == Fault::RefusesWebhooks {
            return Reply::refusal(401, "invalid_signature");
        }
        let told: Value = serde_json::from_slice(body).unwrap();
        let done = Reply::new(200, json!({}));
        let Some(payment) = self.payments.get_mut(told["payment_id"].as_str().unwrap()) else {
            return done;
        };
        if told["amount"] != payment.amount || told["order_id"] != *payment.order {
            return done;
        }
        let id = payment.order.clone();
        match told["type"].as_str().unwrap() {
            "payment.succeeded" => {
                payment.calls += 1;
                let is_first = payment.calls == 1;
                self.succeeded(&id, is_first, fault);
            }
            "refund.succeeded" if fault != Fault::DropsRefunds => {
                let order = self.orders.get_mut(&id).unwrap();
                if order["status"] == "refunding" {
                    order["status"] = json!("refunded");
                }
            }
            _ => {}
        }
        done
    }

    fn succeeded(&mut self, id: &str, is_first: bool, fault: Fault) {
        let status = self.orders[id]["status"].as_str().unwrap().to_owned();
        let becomes = match (status.as_str(), fault) {
            (_, Fault::DropsPayments) => return,
            ("expired" | "cancelled", Fault::DropsLatePayments) => return,
            ("reserved", _) => "paid",
            ("expired" | "cancelled", _) if self.take_again(id) => "paid",
            ("expired" | "cancelled", _) => "refunding",
            ("paid", Fault::PaysTwice) if !is_first => {
                *self
                    .sold_twice
                    .entry(self.orders[id]["items"][0]["sku"].as_str().unwrap().to_owned())
                    .or_default() += 1;
                return;
            }
            ("paid", Fault::RefundsRepeats) if !is_first => {
                return self.end(id, "refunding", 1, fault);
            }
            _ => return,
        };
        let order = self.orders.get_mut(id).unwrap();
        order["status"] = json!(becomes);
        order.as_object_mut().unwrap().remove("expires_at");
    }

    pub(super) fn refund(&mut self, id: &str, fault: Fault) -> Reply {
        let status = self.orders.get(id).map(|order| order["status"].clone()).unwrap_or_default();
        if status != "paid" || fault == Fault::RefusesRefunds {
            return Reply::refusal(409, "order_state");
        }
        let times = u64::from(fault != Fault::KeepsRefundedUnits);
        self.end(id, "refunding", times, fault);
        Reply::new(200, self.orders[id].clone())
    }
}
