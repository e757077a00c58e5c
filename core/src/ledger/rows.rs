//! Rows in chunks: appending never copies what is there, so growing costs no pause and no
//! doubled memory.

const CHUNK_ROWS: usize = 256;

/// Rows that the first chunk begins with.
const FIRST_ROWS: usize = 8;

/// A growing table of rows that are addressed by number and never leave.
#[derive(Debug)]
pub(super) struct Rows<T> {
    chunks: Vec<Vec<T>>,
    length: u32,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), length: 0 }
    }
}

impl<T> Rows<T> {
    pub(super) fn len(&self) -> usize {
        self.length as usize
    }

    /// Appends a row and says its number.
    pub(super) fn push(&mut self, row: T) -> u32 {
        let number = self.length;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK_ROWS => chunk.push(row),
            // The first chunk grows like any vector: most slots of a small sale hold few rows.
            None => {
                let mut chunk = Vec::with_capacity(FIRST_ROWS);
                chunk.push(row);
                self.chunks.push(chunk);
            }
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK_ROWS);
                chunk.push(row);
                self.chunks.push(chunk);
            }
        }
        self.length += 1;
        number
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &T {
        let number = number as usize;
        &self.chunks[number / CHUNK_ROWS][number % CHUNK_ROWS]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> &mut T {
        let number = number as usize;
        &mut self.chunks[number / CHUNK_ROWS][number % CHUNK_ROWS]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// Bytes that the rows take, with what is reserved for more.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum::<usize>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
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
        assert_eq!((*rows.get(300), *rows.get(301)), (1_300, 301));
        assert_eq!(rows.iter().count(), rows.len());
    }
}
