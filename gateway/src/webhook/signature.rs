//! Signatures of webhooks: the scheme of Standard Webhooks 1.0 (standardwebhooks.com), symmetric
//! signatures `v1` alone. It owns the keys of both sides: whoever calls signs with the first one,
//! whoever is called takes what any of them signed, so that secrets can be rotated.
//!
//! What is signed is `id.timestamp.body`. An id may hold full stops, so one signed text can be cut
//! in two ways; but a timestamp is digits alone, so a body cut elsewhere begins with a digit, and
//! is no JSON object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use ring::hmac;
use smallvec::SmallVec;
use subtle::{Choice, ConstantTimeEq};

use crate::gate::single;
use crate::problem::{Code, Problem};

pub(crate) const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
pub(crate) const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(crate) const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a list of secrets must be.
pub(crate) const KEYS_RANGE: &str =
    "1 to 8 secrets, separated by commas, each whsec_ and base64 of 24 … 64 bytes";

/// Most secrets at a time.
const KEYS_MAX: usize = 8;

/// How far a call's time may be from the server's, in seconds.
const TOLERANCE_SECONDS: u64 = 300;

/// Longest id of a call, in bytes.
const ID_BYTES_MAX: usize = 256;

/// Longest field of signatures that is looked at, in bytes.
const SIGNATURE_BYTES_MAX: usize = 4 * 1024;

/// Most signatures that one call may carry, of whatever version.
const SIGNATURES_MAX: usize = 16;

/// Bytes of an HMAC-SHA256.
const TAG_BYTES: usize = 32;

type Tag = [u8; TAG_BYTES];

/// The keys of webhooks, the first of which signs. No `Debug`.
#[derive(Clone)]
pub(crate) struct Keys(Box<[hmac::Key]>);

impl Keys {
    /// Reads a list of secrets; `None` unless it keeps to [`KEYS_RANGE`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.split(',').count() > KEYS_MAX {
            return None;
        }
        text.split(',').map(key).collect::<Option<_>>().map(Self)
    }
}

fn key(text: &str) -> Option<hmac::Key> {
    let bytes = STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn tag(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(part);
    }
    context.sign()
}

/// Signs calls with the first key.
pub(crate) struct Signer(hmac::Key);

impl Signer {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.0[0].clone())
    }

    /// The field `webhook-signature` of a call at `timestamp`, in seconds since the epoch.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        format!("v1,{}", STANDARD.encode(tag(&self.0, id, &timestamp.to_string(), body)))
    }
}

/// What the head of a call says about its signature; its body is not read yet.
#[derive(Debug)]
pub(crate) struct Claim<'h> {
    id: &'h str,
    /// As it was sent, for that is what was signed.
    timestamp: &'h str,
    tags: SmallVec<[Tag; 2]>,
}

/// Why a call is not taken for the provider's; safe to tell its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("{0}: is missing")]
    Missing(HeaderName),
    #[error("{0}: given more than once")]
    Repeated(HeaderName),
    #[error("webhook-id: must be 1 to {ID_BYTES_MAX} bytes of visible ASCII")]
    Id,
    #[error("webhook-timestamp: must be whole seconds since 1970")]
    Timestamp,
    #[error("webhook-timestamp: must be within {TOLERANCE_SECONDS} s of the server's time")]
    Time,
    #[error(
        "webhook-signature: must be 1 to {SIGNATURES_MAX} signatures in {SIGNATURE_BYTES_MAX} bytes"
    )]
    Signatures,
    #[error("webhook-signature: must have one of the form v1, and base64 of 32 bytes")]
    NoneKnown,
    #[error("webhook-signature: none fits the id, the timestamp and the body")]
    Wrong,
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        Self::new(Code::InvalidSignature, error.to_string())
    }
}

/// Recognises what was signed with any of the keys.
pub(crate) struct Verifier(Keys);

impl Verifier {
    pub(crate) fn new(keys: &Keys) -> Self {
        Self(keys.clone())
    }

    /// Reads the head of a call that came at `now`, in seconds since the epoch.
    pub(crate) fn claim<'h>(
        &self,
        headers: &'h HeaderMap,
        now: u64,
    ) -> Result<Claim<'h>, SignatureError> {
        let id = field(headers, &WEBHOOK_ID)?.to_str().map_err(|_| SignatureError::Id)?;
        if !(1..=ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(SignatureError::Id);
        }
        let timestamp = field(headers, &WEBHOOK_TIMESTAMP)?.to_str();
        let timestamp = timestamp.map_err(|_| SignatureError::Timestamp)?;
        let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: Option<u64> = digits.then(|| timestamp.parse().ok()).flatten();
        if seconds.ok_or(SignatureError::Timestamp)?.abs_diff(now) > TOLERANCE_SECONDS {
            return Err(SignatureError::Time);
        }
        let tags = tags(field(headers, &WEBHOOK_SIGNATURE)?.as_bytes())?;
        Ok(Claim { id, timestamp, tags })
    }

    /// Whether any key has signed the call. Every key is tried against every signature, in
    /// constant time.
    pub(crate) fn verify(&self, claim: &Claim<'_>, body: &[u8]) -> Result<(), SignatureError> {
        let mut fits = Choice::from(0);
        for key in &self.0.0 {
            let tag = tag(key, claim.id, claim.timestamp, body);
            for given in &claim.tags {
                fits |= tag.as_ref().ct_eq(given);
            }
        }
        match bool::from(fits) {
            true => Ok(()),
            false => Err(SignatureError::Wrong),
        }
    }
}

fn field<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<&'h hyper::header::HeaderValue, SignatureError> {
    match single(headers, name) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(SignatureError::Missing(name.clone())),
        Err(_) => Err(SignatureError::Repeated(name.clone())),
    }
}

/// The signatures of version `v1` in a list. Other versions are passed over, and so is what is no
/// base64: another one may fit.
fn tags(list: &[u8]) -> Result<SmallVec<[Tag; 2]>, SignatureError> {
    if list.len() > SIGNATURE_BYTES_MAX {
        return Err(SignatureError::Signatures);
    }
    let mut tags = SmallVec::new();
    let signatures = list.split(|byte| *byte == b' ').filter(|part| !part.is_empty());
    for (number, signature) in signatures.enumerate() {
        if number == SIGNATURES_MAX {
            return Err(SignatureError::Signatures);
        }
        let Some(text) = signature.strip_prefix(b"v1,") else { continue };
        // The decoder wants to see room for the padding too.
        let mut bytes = [0; TAG_BYTES + 1];
        if let Ok(TAG_BYTES) = STANDARD.decode_slice(text, &mut bytes) {
            let mut tag = [0; TAG_BYTES];
            tag.copy_from_slice(&bytes[..TAG_BYTES]);
            tags.push(tag);
        }
    }
    if tags.is_empty() { Err(SignatureError::NoneKnown) } else { Ok(tags) }
}

#[cfg(test)]
mod tests;
