//! Access tokens (HS256) for the buyers of a run, signed once before it starts.
//!
//! Never prints or keeps the secret beyond the signing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::secret::Secret;

/// Signs `{"sub":…,"exp":…}`.
pub(crate) struct Signer {
    key: hmac::Key,
    header: String,
}

impl Signer {
    /// A signer with the server's secret; the bytes of the string are the key.
    pub(crate) fn new(secret: &Secret) -> Signer {
        Signer {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes()),
            header: URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#),
        }
    }

    /// One token. `sub` is letters, digits and hyphens, so that nothing in it needs escaping.
    pub(crate) fn sign(&self, sub: &str, exp_unix_s: u64) -> String {
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{sub}","exp":{exp_unix_s}}}"#));
        let mut token = format!("{}.{claims}", self.header);
        let tag = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, &mut token);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::{Signer, URL_SAFE_NO_PAD};
    use crate::secret::Secret;
    use base64::Engine as _;
    use ring::hmac;

    #[test]
    fn a_token_has_three_parts_and_verifies() {
        let secret = "0123456789abcdef0123456789abcdef";
        let token = Signer::new(&Secret::new(secret)).sign("alice", 1_900_000_000);
        let (signed, tag) = token.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(header).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(URL_SAFE_NO_PAD.decode(claims).unwrap(), br#"{"sub":"alice","exp":1900000000}"#);
    }

    #[test]
    fn the_signature_is_the_published_one() {
        // Computed with another implementation of HMAC-SHA-256 over the same bytes.
        let token = Signer::new(&Secret::new("your-256-bit-secret-your-256-bit")).sign("1", 2);
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIiwiZXhwIjoyfQ.256lGcQBzfWvRTHmLz1Fx7u1_TNiaeFY7qNtFGUvc40"
        );
    }
}
