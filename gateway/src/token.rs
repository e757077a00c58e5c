//! Access tokens: JWS compact serialisation (RFC 7515) of a JWT (RFC 7519), HS256 and nothing else.
//!
//! The signature is checked before anything inside the token is read. `docs/decisions/0006` says
//! why this is not a library.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use sluice_core::limits::BUYER_BYTES_MAX;

use crate::json::{Document, Value};

pub mod cache;

/// Longest token that is looked at, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The header that [`Signer::sign`] writes: `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// What a token that was checked says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The buyer.
    pub buyer: String,
    /// From when on it is valid, in seconds since the epoch; 0 if it does not say.
    pub not_before: u64,
    /// When it ceases to be valid, in seconds since the epoch.
    pub expires: u64,
}

/// Why a token is refused; safe to tell its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no JWS in compact serialisation.
    #[error("the token is malformed")]
    Malformed,
    /// It is not signed with the node's secret.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its header asks for something else than plain HS256.
    #[error("the token's header is not that of a plain HS256 token")]
    Header,
    /// A claim is missing or of the wrong form.
    #[error("the token's claim `{0}` is missing or of the wrong form")]
    Claim(&'static str),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
}

impl Claims {
    /// Whether it is valid at `now`, in seconds since the epoch.
    ///
    /// # Errors
    /// Why it is not.
    pub fn judge(&self, now: u64) -> Result<(), TokenError> {
        match () {
            () if now >= self.expires => Err(TokenError::Expired),
            () if now < self.not_before => Err(TokenError::NotYet),
            () => Ok(()),
        }
    }
}

/// Signs and checks tokens with one secret.
pub struct Signer(hmac::Key);

impl Signer {
    /// With an HS256 key.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A token for `buyer`, valid until `expires`, in seconds since the epoch.
    pub fn sign(&self, buyer: &str, expires: u64) -> String {
        let claims = serde_json::json!({ "sub": buyer, "exp": expires });
        let body = format!("{HEADER}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = hmac::sign(&self.0, body.as_bytes());
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Checks everything about a token but whether its time has come or is over.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, token: &[u8]) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let mut part = || parts.next().ok_or(TokenError::Malformed);
        let (header, claims, signature) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return Err(TokenError::Malformed);
        }
        let mut bytes = [0; 33];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes);
        let length = length.map_err(|_| TokenError::Signature)?;
        let signed = &token[..header.len() + 1 + claims.len()];
        hmac::verify(&self.0, signed, &bytes[..length]).map_err(|_| TokenError::Signature)?;
        if header != HEADER.as_bytes() {
            check_header(header)?;
        }
        read_claims(claims)
    }
}

/// Refuses all but `alg: HS256`, and whatever must be understood to be trusted (RFC 7515, 4.1.11).
fn check_header(header: &[u8]) -> Result<(), TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
    let document = Document::read(&bytes).map_err(|_| TokenError::Header)?;
    let fields = document.open_fields();
    match (fields.text("alg"), fields.get("crit")) {
        (Ok("HS256"), None) => Ok(()),
        _ => Err(TokenError::Header),
    }
}

fn read_claims(claims: &[u8]) -> Result<Claims, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Malformed)?;
    let document = Document::read(&bytes).map_err(|_| TokenError::Malformed)?;
    let fields = document.open_fields();
    let buyer = fields.text("sub").map_err(|_| TokenError::Claim("sub"))?;
    if !is_buyer(buyer) {
        return Err(TokenError::Claim("sub"));
    }
    let Some(Value::Integer(expires)) = fields.get("exp") else {
        return Err(TokenError::Claim("exp"));
    };
    let not_before = match fields.get("nbf") {
        None => 0,
        Some(Value::Integer(not_before)) => *not_before,
        Some(_) => return Err(TokenError::Claim("nbf")),
    };
    Ok(Claims { buyer: buyer.to_owned(), not_before, expires: *expires })
}

/// Whether a text is a buyer's id: 1 … 255 bytes of visible ASCII.
pub fn is_buyer(text: &str) -> bool {
    (1..=BUYER_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::{Claims, HEADER, Signer, TOKEN_BYTES_MAX, TokenError, hmac};
    use base64::Engine as _;
    use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn signed(header: &str, claims: &str) -> String {
        let body = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
        format!("{body}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, body.as_bytes())))
    }

    fn check(token: &str) -> Result<Claims, TokenError> {
        Signer::new(SECRET).check(token.as_bytes())
    }

    fn claims(claims: &str) -> Result<Claims, TokenError> {
        check(&signed(r#"{"alg":"HS256","typ":"JWT"}"#, claims))
    }

    #[test]
    fn what_it_signs_it_accepts() {
        let signer = Signer::new(SECRET);
        let token = signer.sign("alice", 1_000);
        let claims = signer.check(token.as_bytes()).expect("its own");
        assert_eq!(claims, Claims { buyer: "alice".into(), not_before: 0, expires: 1_000 });
        assert_eq!(claims.judge(999), Ok(()));
        assert_eq!(claims.judge(1_000), Err(TokenError::Expired));
        let other = Signer::new(&[7; 32]).check(token.as_bytes());
        assert_eq!(other, Err(TokenError::Signature));
        assert!(token.starts_with(HEADER));
    }

    #[test]
    fn the_example_of_rfc_7515_has_the_right_signature() {
        let key = URL_SAFE_NO_PAD.decode(
            "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        );
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
             eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
             dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let checked = Signer::new(&key.expect("base64")).check(token.as_bytes());
        assert_eq!(checked, Err(TokenError::Claim("sub")));
    }

    #[test]
    fn other_algorithms_and_critical_extensions_are_refused() {
        let body = r#"{"sub":"a","exp":9}"#;
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"HS384"}"#,
            r#"{"alg":"HS512"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"ES256"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            "[]",
        ] {
            assert_eq!(check(&signed(header, body)), Err(TokenError::Header), "{header}");
        }
        let bare = URL_SAFE_NO_PAD.encode(body);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert_eq!(check(&format!("{none}.{bare}.")), Err(TokenError::Signature));
        // Harmless ones: nothing is looked up under them.
        for header in
            [r#"{"alg":"HS256","kid":"?"}"#, r#"{"alg":"HS256","jku":"http://x","x5u":"http://x"}"#]
        {
            assert!(check(&signed(header, body)).is_ok(), "{header}");
        }
    }

    #[test]
    fn times_are_whole_numbers() {
        for exp in ["\"9\"", "9.0", "9e0", "null", "-9", "true", "18446744073709551616", "[9]"] {
            let refused = claims(&format!(r#"{{"sub":"a","exp":{exp}}}"#));
            assert_eq!(refused, Err(TokenError::Claim("exp")), "{exp}");
            let refused = claims(&format!(r#"{{"sub":"a","exp":9,"nbf":{exp}}}"#));
            assert_eq!(refused, Err(TokenError::Claim("nbf")), "{exp}");
        }
        assert_eq!(claims(r#"{"sub":"a"}"#), Err(TokenError::Claim("exp")));
        assert_eq!(claims(r#"{"sub":"a","exp":9,"exp":10}"#), Err(TokenError::Malformed));
        let early = claims(r#"{"sub":"a","exp":9,"nbf":5}"#).expect("well formed");
        assert_eq!(early.judge(4), Err(TokenError::NotYet));
        assert_eq!(early.judge(5), Ok(()));
    }

    #[test]
    fn a_buyer_is_visible_ascii() {
        let long = "x".repeat(256);
        for sub in
            ["\"\"", "null", "1", "\"a b\"", "\"é\"", "\"a\\u0000\"", "\"\\u202ea\"", "[\"a\"]"]
        {
            let refused = claims(&format!(r#"{{"sub":{sub},"exp":9}}"#));
            assert_eq!(refused, Err(TokenError::Claim("sub")), "{sub}");
        }
        assert!(claims(&format!(r#"{{"sub":"{long}","exp":9}}"#)).is_err());
        assert!(claims(&format!(r#"{{"sub":"{}","exp":9}}"#, &long[1..])).is_ok());
    }

    #[test]
    fn malformed_tokens_are_refused() {
        let good = Signer::new(SECRET).sign("a", 9);
        let (body, signature) = good.rsplit_once('.').expect("three parts");
        let padded = format!("{body}.{signature}=");
        let five = format!("{good}.x.y");
        let flipped =
            format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { "E" } else { "A" });
        let standard = format!("{body}.{}", signature.replace('-', "+").replace('_', "/"));
        let padded_body =
            format!("{}.{}", URL_SAFE.encode("{}"), URL_SAFE.encode(r#"{"sub":"a"}"#));
        let long = format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX));
        for token in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "a.b.c",
            &padded,
            &five,
            &flipped,
            &padded_body,
            body,
            &long,
        ] {
            assert!(check(token).is_err(), "{token}");
        }
        assert!(standard == good || check(&standard).is_err());
        assert!(check(&good).is_ok());
    }
}
