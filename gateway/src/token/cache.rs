//! Tokens that one worker has checked already, with the buyer ready for a command.
//!
//! A fixed table, so that memory has a ceiling (I6): four places per hash, of which one after the
//! other gives way, so that buyers in turn do not drive each other out one by one. The whole token
//! is compared, and its times are judged at each use.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use sluice_core::command::Buyer;
use sluice_core::id::HashKey;

use super::{Claims, Signer, TokenError};

/// Places that share a hash.
const WAYS: usize = 4;

/// Groups of places; a power of two.
const GROUPS: usize = 16_384;

/// Longest token that is kept, in bytes.
const KEPT_BYTES_MAX: usize = 512;

struct Entry {
    token: Box<[u8]>,
    claims: Claims,
    buyer: Buyer,
}

/// The table of one worker.
pub struct TokenCache {
    /// The hashes of what is kept, side by side; 0 for an empty place.
    hashes: Box<[[u64; WAYS]]>,
    entries: Box<[Option<Entry>]>,
    /// Which of its group gives way next.
    turn: usize,
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
        Self {
            hashes: vec![[0; WAYS]; GROUPS].into_boxed_slice(),
            entries: (0..GROUPS * WAYS).map(|_| None).collect(),
            turn: 0,
        }
    }

    /// The buyer of a token that is valid at `now`.
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
        let hash = hash_of(token);
        let group = hash as usize % GROUPS;
        for way in 0..WAYS {
            if self.hashes[group][way] == hash
                && let Some(entry) = &self.entries[group * WAYS + way]
                && *entry.token == *token
            {
                entry.claims.judge(now)?;
                return Ok(Checked { buyer: entry.buyer.clone(), hit: true });
            }
        }
        let claims = signer.check(token)?;
        claims.judge(now)?;
        let buyer = Buyer::new(hash_key, &claims.buyer);
        if token.len() <= KEPT_BYTES_MAX {
            let empty = self.hashes[group].iter().position(|hash| *hash == 0);
            self.turn = (self.turn + 1) % WAYS;
            let way = empty.unwrap_or(self.turn);
            self.hashes[group][way] = hash;
            let entry = Entry { token: Box::from(token), claims, buyer: buyer.clone() };
            self.entries[group * WAYS + way] = Some(entry);
        }
        Ok(Checked { buyer, hit: false })
    }
}

/// Never 0, which stands for an empty place.
fn hash_of(token: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(token);
    hasher.finish() | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::{GROUPS, TokenCache, WAYS};
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
            for number in 0..2 * GROUPS * WAYS {
                let name = format!("b{number}");
                let token = signer.sign(&name, 100);
                let found = cache.buyer(&signer, &hash_key, token.as_bytes(), 1);
                assert_eq!(&*found.expect("valid").buyer.name, name, "{round}");
            }
        }
    }

    #[test]
    fn buyers_in_turn_are_known_the_second_time() {
        let signer = Signer::new(&[1; 32]);
        let hash_key = HashKey::new([2; 16]);
        let mut cache = TokenCache::new();
        let tokens: Vec<String> = (0..GROUPS).map(|n| signer.sign(&format!("b{n}"), 9)).collect();
        let mut round = || {
            let buyers = tokens.iter().map(|t| cache.buyer(&signer, &hash_key, t.as_bytes(), 1));
            buyers.filter(|found| found.as_ref().is_ok_and(|checked| checked.hit)).count()
        };
        assert_eq!(round(), 0);
        assert!(round() > GROUPS * 95 / 100);
    }
}
