//! Rows in chunks: appending never copies what is there, so growing costs no pause and no
//! doubled memory. What a row leaves free is used again.

const CHUNK_ROWS: usize = 256;

/// Rows that the first chunk begins with: most slots of a small sale hold few.
const FIRST_ROWS: usize = 8;

/// A table of rows that are addressed by number. Whoever vacates one says so in the row, for those
/// who walk over all of them.
#[derive(Debug)]
pub(super) struct Rows<T> {
    full: Vec<Box<[T]>>,
    /// The chunk that is being filled. Never full: a full one has moved.
    tail: Vec<T>,
    /// Numbers of rows that were vacated.
    vacant: Vec<u32>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { full: Vec::new(), tail: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Rows<T> {
    /// Rows that are not vacant.
    pub(super) fn len(&self) -> usize {
        self.places() - self.vacant.len()
    }

    fn places(&self) -> usize {
        self.full.len() * CHUNK_ROWS + self.tail.len()
    }

    /// Adds a row, where one was vacated if there is such a place, and says its number.
    pub(super) fn push(&mut self, row: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            *self.get_mut(number) = row;
            return number;
        }
        let number = self.places() as u32;
        if self.tail.capacity() == 0 {
            let rows = if self.full.is_empty() { FIRST_ROWS } else { CHUNK_ROWS };
            self.tail.reserve_exact(rows);
        }
        self.tail.push(row);
        if self.tail.len() == CHUNK_ROWS {
            self.full.push(std::mem::take(&mut self.tail).into_boxed_slice());
        }
        number
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        let number = number as usize;
        match self.full.get(number / CHUNK_ROWS) {
            Some(chunk) => &chunk[number % CHUNK_ROWS],
            None => &self.tail[number % CHUNK_ROWS],
        }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        let number = number as usize;
        match self.full.get_mut(number / CHUNK_ROWS) {
            Some(chunk) => &mut chunk[number % CHUNK_ROWS],
            None => &mut self.tail[number % CHUNK_ROWS],
        }
    }

    /// The row's place may be used again.
    pub(super) fn vacate(&mut self, number: u32) {
        self.vacant.push(number);
    }

    /// All rows, vacant ones among them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.full.iter().flatten().chain(&self.tail)
    }

    /// Bytes that the rows take, with what is reserved for more.
    pub(super) fn bytes(&self) -> usize {
        (self.full.len() * CHUNK_ROWS + self.tail.capacity()) * size_of::<T>()
            + self.full.capacity() * size_of::<Box<[T]>>()
            + self.vacant.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_ROWS, Rows};

    #[test]
    fn rows_keep_their_numbers() {
        let mut rows = Rows::default();
        for number in 0..3 * CHUNK_ROWS as u32 + 1 {
            assert_eq!(rows.push(number), number);
        }
        *rows.get_mut(300) += 1_000;
        *rows.get_mut(768) += 1_000;
        assert_eq!((*rows.get(300), *rows.get(301), *rows.get(768)), (1_300, 301, 1_768));
        assert_eq!(rows.iter().count(), rows.len());
        rows.vacate(300);
        assert_eq!(rows.len(), 3 * CHUNK_ROWS);
        assert_eq!((rows.push(7), *rows.get(300)), (300, 7));
        assert_eq!(rows.push(8), 3 * CHUNK_ROWS as u32 + 1);
    }
}
