//! The SKUs of one order, held in place.

use crate::limits;

/// Lines of one order at most.
const LINES_MAX: usize = *limits::BASKET_LINES.end() as usize;

/// SKUs by their index, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lines {
    count: usize,
    skus: [u32; LINES_MAX],
}

impl Lines {
    /// One line.
    pub(crate) fn one(sku: u32) -> Lines {
        let mut skus = [0; LINES_MAX];
        skus[0] = sku;
        Lines { count: 1, skus }
    }

    /// Adds `sku`, or the next one of `skus_count` that is not there yet. There must be room, and such a SKU.
    pub(crate) fn add(&mut self, mut sku: u32, skus_count: u32) {
        while self.as_slice().contains(&sku) {
            sku = (sku + 1) % skus_count;
        }
        self.skus[self.count] = sku;
        self.count += 1;
    }

    /// All lines, in the order in which they are asked for.
    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.skus[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn each_sku_is_there_once() {
        let mut lines = Lines::one(2);
        for _ in 0..3 {
            lines.add(2, 4);
        }
        assert_eq!(lines.as_slice(), [2, 3, 0, 1]);
    }
}
