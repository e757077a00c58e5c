//! The payment provider's side: webhooks, signed as the Standard Webhooks scheme has it.
//!
//! Never prints the secret.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::order::OrderId;
use crate::payments::Payment;
use crate::secret::Secret;

/// What a provider tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The buyer has paid.
    Paid,
    /// The buyer has the money back.
    Refunded,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Event::Paid => "payment.succeeded",
            Event::Refunded => "refund.succeeded",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Event::Paid => "paid",
            Event::Refunded => "refunded",
        }
    }
}

/// The key in a `whsec_…`; the first one where several stand side by side. `None` if it is none.
pub(crate) fn key(secret: &Secret) -> Option<Vec<u8>> {
    let first = secret.expose().split(',').next()?;
    let key = STANDARD.decode(first.trim().strip_prefix("whsec_")?).ok()?;
    (!key.is_empty()).then_some(key)
}

/// A payment provider.
pub(crate) struct Provider {
    key: hmac::Key,
    authority: String,
}

impl Provider {
    /// A provider that calls `authority` and signs with the key.
    pub(crate) fn new(key: &[u8], authority: &str) -> Provider {
        Provider { key: hmac::Key::new(hmac::HMAC_SHA256, key), authority: authority.to_owned() }
    }

    /// Writes the webhook that tells `event` of a payment; always with the same id, so that a second one is a repeat.
    pub(crate) fn write(
        &self,
        event: Event,
        order: &OrderId,
        payment: &Payment,
        unix_s: u64,
        out: &mut Vec<u8>,
    ) {
        let (order, id) = (order.as_str(), payment.id.as_str());
        let body = format!(
            r#"{{"type":"{}","payment_id":"{id}","order_id":"{order}","amount":{},"currency":"{}"}}"#,
            event.name(),
            payment.amount,
            payment.currency.as_str(),
        );
        // The parts of what is signed are set apart by dots: there are none in the id.
        let message = format!("{}-{id}", event.word());
        let signature = self.sign(&message, unix_s, &body);
        let _ = write!(
            out,
            "POST /v1/webhooks/payments HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nwebhook-id: {message}\r\nwebhook-timestamp: {unix_s}\r\n\
             webhook-signature: v1,{signature}\r\n\r\n{body}",
            self.authority,
            body.len(),
        );
    }

    fn sign(&self, message: &str, unix_s: u64, body: &str) -> String {
        let signed = format!("{message}.{unix_s}.{body}");
        STANDARD.encode(hmac::sign(&self.key, signed.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Provider, key};
    use crate::secret::Secret;

    #[test]
    fn the_signature_is_the_published_one() {
        // The example of the Standard Webhooks specification's libraries.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let provider = Provider::new(&key(&secret).unwrap(), "h");
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            provider.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn only_a_secret_of_the_scheme_is_one() {
        for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_???"] {
            assert_eq!(key(&Secret::new(wrong)), None, "{wrong}");
        }
        assert_eq!(key(&Secret::new("whsec_QUJD, whsec_REVG")).unwrap(), b"ABC");
    }
}
