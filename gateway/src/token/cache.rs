//! Tokens that one worker has checked already, with the buyer ready for a command.
//!
//! A fixed table, so that memory has a ceiling (I6): two places per hash, the older one gives way.
//! The whole token is compared, and its times are judged at each use.

use rustc_hash::FxHasher;
use std::hash::Hasher;

use sluice_core::command::Buyer;
use sluice_core::id::HashKey;

use super::{Signer, TokenError};

/// Places of the table; a power of two.
const PLACES: usize = 16_384;

/// Longest token that is kept, in bytes.
const KEPT_BYTES_MAX: usize = 1_024;

struct Entry {
    token: Box<[u8]>,
    not_before: u64,
    expires: u64,
    buyer: Buyer,
}

/// The table of one worker.
pub struct TokenCache {
    places: Box<[Option<Entry>]>,
}

/// A buyer, and whether the token was known.
pub struct Checked {
    /// The buyer.
    pub buyer: Buyer,
    /// Whether the token had been checked before.
    pub hit: bool,
}

impl Default for TokenCache {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenCache {
    /// An empty table.
    pub fn new() -> Self {
        Self { places: (0..PLACES).map(|_| None).collect() }
    }

    /// The buyer of a token that is valid at `now`, in seconds since the epoch.
    ///
    /// # Errors
    /// Why the token is refused.
    pub fn buyer(
        &mut self,
        signer: &Signer,
        hash_key: &HashKey,
        token: &[u8],
        now: u64,
    ) -> Result<Checked, TokenError> {
        let place = place_of(token);
        for place in [place, place ^ 1] {
            if let Some(entry) = &self.places[place]
                && *entry.token == *token
            {
                return match () {
                    () if now >= entry.expires => Err(TokenError::Expired),
                    () if now < entry.not_before => Err(TokenError::NotYet),
                    () => Ok(Checked { buyer: entry.buyer.clone(), hit: true }),
                };
            }
        }
        let claims = signer.check(token)?;
        claims.judge(now)?;
        let buyer = Buyer::new(hash_key, &claims.buyer);
        if token.len() <= KEPT_BYTES_MAX {
            let entry = Entry {
                token: Box::from(token),
                not_before: claims.not_before,
                expires: claims.expires,
                buyer: buyer.clone(),
            };
            self.places[place ^ 1] = self.places[place].replace(entry);
        }
        Ok(Checked { buyer, hit: false })
    }
}

fn place_of(token: &[u8]) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(token);
    (hasher.finish() >> 40) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::{PLACES, TokenCache};
    use crate::token::{Signer, TokenError};
    use sluice_core::id::HashKey;

    #[test]
    fn a_known_token_is_judged_at_each_use() {
        let signer = Signer::new(&[1; 32]);
        let hash_key = HashKey::new([2; 16]);
        let mut cache = TokenCache::new();
        let token = signer.sign("alice", 100);
        let mut buyer = |now| cache.buyer(&signer, &hash_key, token.as_bytes(), now);
        assert!(!buyer(50).expect("valid").hit);
        let again = buyer(99).expect("valid");
        assert!(again.hit);
        assert_eq!(&*again.buyer.name, "alice");
        assert_eq!(again.buyer.digest, hash_key.buyer("alice"));
        assert_eq!(buyer(100).map(|_| ()), Err(TokenError::Expired));
    }

    #[test]
    fn one_buyers_token_is_never_anothers() {
        let signer = Signer::new(&[1; 32]);
        let hash_key = HashKey::new([2; 16]);
        let mut cache = TokenCache::new();
        for round in 0..2 {
            for number in 0..2 * PLACES {
                let name = format!("b{number}");
                let token = signer.sign(&name, 100);
                let found = cache.buyer(&signer, &hash_key, token.as_bytes(), 1);
                assert_eq!(&*found.expect("valid").buyer.name, name, "{round}");
            }
        }
    }
}
