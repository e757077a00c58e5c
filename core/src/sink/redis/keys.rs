//! What the keys of a cell are called. docs/redis.md says what is in them.

use std::fmt;

use crate::id::OrderId;

/// The version of what keys are called and of what is in them.
pub(super) const LAYOUT: &str = "2";

/// Longest prefix, in bytes.
const PREFIX_BYTES_MAX: usize = 64;

/// What the names of all keys begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPrefix(Box<str>);

/// Why a prefix is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of keys is 1 to 64 of the characters A-Z, a-z, 0-9, '.', '_', ':' and '-'")]
pub struct NoRedisPrefix;

impl RedisPrefix {
    /// Checks a prefix. Braces are refused: only the cell is to be a hash tag.
    ///
    /// # Errors
    /// It has other characters, none, or too many.
    pub fn new(prefix: &str) -> Result<Self, NoRedisPrefix> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let length_fits = (1..=PREFIX_BYTES_MAX).contains(&prefix.len());
        if length_fits && prefix.bytes().all(fits) {
            Ok(Self(prefix.into()))
        } else {
            Err(NoRedisPrefix)
        }
    }
}

impl Default for RedisPrefix {
    fn default() -> Self {
        Self("sluice".into())
    }
}

impl fmt::Display for RedisPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names of a cell's keys. The cell is their hash tag: a cluster keeps all of them on one node.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What all of them begin with.
    base: String,
}

impl Keys {
    pub(super) fn new(prefix: &RedisPrefix, cell: u16) -> Self {
        Self { base: format!("{prefix}:{{{cell}}}:") }
    }

    pub(super) fn watermark(&self) -> String {
        self.named("watermark")
    }

    /// There while somebody erases the copy.
    pub(super) fn erasing(&self) -> String {
        self.named("erasing")
    }

    pub(super) fn skus(&self) -> String {
        self.named("skus")
    }

    pub(super) fn sales(&self) -> String {
        self.named("sales")
    }

    pub(super) fn events(&self) -> String {
        self.named("events")
    }

    /// Which sale that has not ended a SKU is in.
    pub(super) fn sku_sales(&self) -> String {
        self.named("sku_sales")
    }

    pub(super) fn sku(&self, sku: &str) -> String {
        format!("{}sku:{sku}", self.base)
    }

    pub(super) fn sale(&self, sale: &str) -> String {
        format!("{}sale:{sale}", self.base)
    }

    pub(super) fn order(&self, order: OrderId) -> String {
        format!("{}order:{order}", self.base)
    }

    /// What every batch may write to, in the order in which `sluice_apply` takes them.
    pub(super) fn fixed(&self) -> [String; 6] {
        [
            self.watermark(),
            self.erasing(),
            self.skus(),
            self.sales(),
            self.events(),
            self.sku_sales(),
        ]
    }

    /// Those that a copy with anything in it has one of, the watermark not counted. They are erased
    /// last: as long as one is there, there may be more.
    pub(super) fn lasting(&self) -> [String; 4] {
        [self.skus(), self.sales(), self.events(), self.sku_sales()]
    }

    /// A pattern that all of them match, and nobody else's.
    pub(super) fn pattern(&self) -> String {
        // Nothing in a prefix or a cell means something in a pattern.
        format!("{}*", self.base)
    }

    /// What is behind the part that all have in common.
    pub(super) fn rest<'k>(&self, key: &'k str) -> Option<&'k str> {
        key.strip_prefix(&self.base)
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, RedisPrefix};
    use crate::id::OrderId;

    #[test]
    fn keys_of_a_cell_share_one_tag() {
        let keys = Keys::new(&RedisPrefix::default(), 7);
        assert_eq!(keys.sku("a.b"), "sluice:{7}:sku:a.b");
        assert_eq!(keys.watermark(), "sluice:{7}:watermark");
        let order = keys.order(OrderId::from_bits(0));
        assert_eq!(order, "sluice:{7}:order:00000000000000000000000000");
        assert_eq!(keys.rest(&order), Some("order:00000000000000000000000000"));
        assert_eq!(keys.rest("sluice:{8}:skus"), None);
    }

    #[test]
    fn a_prefix_is_checked() {
        for prefix in ["sluice", "a", "shop.eu:1_x-Y"] {
            assert!(RedisPrefix::new(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["", "a b", "{a}", "a*", "ä", &"a".repeat(65)] {
            assert!(RedisPrefix::new(prefix).is_err(), "{prefix}");
        }
    }
}
