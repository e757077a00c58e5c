//! Names that operators give: SKUs, lots, withdrawals, sales. Kept inline up to 23 bytes and shared
//! beyond, so that cloning one never copies much; hashed once, when they are read.

use std::fmt;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;
use smol_str::SmolStr;

use crate::limits::NAME_BYTES_MAX;

/// One to 64 bytes of `[A-Za-z0-9._-]`, not only dots; compared bytewise.
#[derive(Clone)]
struct Name {
    text: SmolStr,
    /// Of no format: it lives and dies with the process.
    hash: u64,
}

impl Name {
    fn new(text: &str) -> Option<Self> {
        let allowed =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.as_bytes().iter().all(allowed) {
            return None;
        }
        // `.` and `..` are no names: clients take them out of paths.
        if text.bytes().all(|byte| byte == b'.') {
            return None;
        }
        let mut hasher = FxHasher::default();
        hasher.write(text.as_bytes());
        Some(Self { text: SmolStr::new(text), hash: hasher.finish() })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $type(Name);

        impl $type {
            /// `None` unless one to 64 bytes of `[A-Za-z0-9._-]`, not only dots.
            pub fn new(text: &str) -> Option<Self> {
                Name::new(text).map(Self)
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0.text
            }

            /// The name's bytes.
            #[inline]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.text.as_bytes()
            }
        }

        impl PartialEq for $type {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.0.hash == other.0.hash && self.0.text == other.0.text
            }
        }

        impl Eq for $type {}

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $type {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_bytes().cmp(other.as_bytes())
            }
        }

        impl Hash for $type {
            #[inline]
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u64(self.0.hash);
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.as_str())
            }
        }
    };
}

name! {
    /// The name of a SKU, case-sensitive.
    SkuId
}

name! {
    /// The name of a lot, unique within its SKU.
    LotId
}

name! {
    /// The name of a withdrawal, unique within its SKU.
    WithdrawalId
}

name! {
    /// The name of a sale.
    SaleId
}

impl SkuId {
    /// The SKU's bucket in the routing table: a 16-bit hash. Not part of any format.
    #[inline]
    pub fn bucket(&self) -> u16 {
        let hash = self.0.hash;
        (hash ^ (hash >> 16) ^ (hash >> 32) ^ (hash >> 48)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::SkuId;

    #[test]
    fn keeps_to_the_alphabet() {
        let longest = "x".repeat(64);
        for right in ["a", "iPhone_15.Pro-Max", longest.as_str()] {
            assert_eq!(SkuId::new(right).map(|sku| sku.to_string()).as_deref(), Some(right));
        }
        let too_long = "x".repeat(65);
        for wrong in
            ["", " ", "a b", "ä", "a/b", "{}", "*", ">", "a\0", ".", "..", too_long.as_str()]
        {
            assert_eq!(SkuId::new(wrong).map(|sku| sku.to_string()), None, "{wrong:?}");
        }
    }

    #[test]
    fn compares_bytewise() {
        assert_ne!(SkuId::new("a"), SkuId::new("A"));
        assert!(SkuId::new("a") < SkuId::new("ab"));
    }
}
