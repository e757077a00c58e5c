//! Differences: the first of them in full, all of them counted.

/// One thing that is not as the journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table; `journal` if the journal contradicts itself.
    pub table: &'static str,
    /// Which row, as `column value, …`.
    pub key: String,
    /// Which column; `row` if the whole row is missing or should not be there.
    pub column: &'static str,
    /// What the journal says.
    pub expected: String,
    /// What the copy says.
    pub found: String,
    /// The last record that made the row what it should be, or that made it what it is.
    pub sequence: u64,
}

/// All differences.
pub(super) struct Differences {
    most: usize,
    shown: Vec<Difference>,
    count: u64,
}

impl Differences {
    pub(super) fn new(most: usize) -> Self {
        Self { most, shown: Vec::new(), count: 0 }
    }

    pub(super) fn add(&mut self, difference: Difference) {
        self.count += 1;
        if self.shown.len() < self.most {
            self.shown.push(difference);
        }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn shown(self) -> Vec<Difference> {
        self.shown
    }
}
