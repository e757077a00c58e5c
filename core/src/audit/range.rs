//! A range of ids: as many as one pass over the journal may hold.

use std::collections::BTreeMap;

/// What the journal says of the ids of a range.
pub(super) struct Range<K, V> {
    /// The first id; `None` if all were in earlier passes.
    from: Option<K>,
    /// The first id that is left to the next pass.
    below: Option<K>,
    most: usize,
    kept: BTreeMap<K, V>,
}

impl<K: Ord + Copy, V: Default> Range<K, V> {
    /// From an id on, at most `most`.
    pub(super) fn new(from: Option<K>, most: usize) -> Self {
        Self { from, below: None, most, kept: BTreeMap::new() }
    }

    /// What is kept of an id, if it is in the range. Gives up the highest if there are too many.
    pub(super) fn of(&mut self, id: K) -> Option<&mut V> {
        if self.from.is_none_or(|from| id < from) || self.below.is_some_and(|below| id >= below) {
            return None;
        }
        self.kept.entry(id).or_default();
        if self.kept.len() > self.most {
            let (highest, _) = self.kept.pop_last().expect("there is one too many");
            self.below = Some(highest);
        }
        self.kept.get_mut(&id)
    }

    /// What is kept of an id, if the range has it and anything was said of it.
    pub(super) fn kept(&mut self, id: K) -> Option<&mut V> {
        self.kept.get_mut(&id)
    }

    /// Whether an id is in the range.
    pub(super) fn has(&self, id: K) -> bool {
        self.from.is_some_and(|from| id >= from) && self.below.is_none_or(|below| id < below)
    }

    pub(super) const fn from(&self) -> Option<K> {
        self.from
    }

    pub(super) const fn below(&self) -> Option<K> {
        self.below
    }

    /// In the order of ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter()
    }
}
