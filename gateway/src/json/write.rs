//! Writes JSON into a buffer: text escaped, numbers, moments. Who calls it keeps the grammar.

use std::cell::Cell;
use std::fmt::Write as _;

use sluice_core::time::Timestamp;

const DAY_US: u64 = 86_400_000_000;

thread_local! {
    /// The day last written, and its text: `2026-11-11T`.
    static DAY: Cell<(u64, [u8; 11])> = const { Cell::new((0, *b"1970-01-01T")) };
}

/// A buffer of JSON.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// An empty buffer for about so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// How many bytes were written.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What was written.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Grammar and names of fields, as they stand.
    #[inline]
    pub(crate) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A number.
    #[inline]
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self
    }

    /// Something that prints without a character to be escaped.
    #[inline]
    pub(crate) fn plain(&mut self, value: impl std::fmt::Display) -> &mut Self {
        write!(Plain(&mut self.0), "{value}").expect("writing to memory does not fail");
        self
    }

    /// A string in quotes, escaped.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.0.push(b'"');
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => self.0.extend_from_slice(&[b'\\', byte]),
                0x20.. => self.0.push(byte),
                _ => {
                    write!(Plain(&mut self.0), "\\u{byte:04x}")
                        .expect("writing to memory does not fail");
                }
            }
        }
        self.0.push(b'"');
        self
    }

    /// A moment in quotes: RFC 3339 in UTC with milliseconds.
    pub(crate) fn time(&mut self, time: Timestamp) -> &mut Self {
        let (day, of_day) = (time.micros() / DAY_US, time.micros() % DAY_US);
        let (known, mut text) = DAY.get();
        if known != day {
            text.copy_from_slice(&time.to_string().as_bytes()[..11]);
            DAY.set((day, text));
        }
        let seconds = (of_day / 1_000_000) as u32;
        let millis = (of_day / 1_000 % 1_000) as u32;
        self.0.push(b'"');
        self.0.extend_from_slice(&text);
        self.two_digits(seconds / 3_600, b':');
        self.two_digits(seconds / 60 % 60, b':');
        self.two_digits(seconds % 60, b'.');
        self.0.push(b'0' + (millis / 100) as u8);
        self.two_digits(millis % 100, b'Z');
        self.0.push(b'"');
        self
    }

    fn two_digits(&mut self, number: u32, after: u8) {
        self.0.extend_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8, after]);
    }

    /// A list of what `write` writes for each of `items`.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.raw("[");
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]")
    }
}

struct Plain<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Writer;
    use sluice_core::time::Timestamp;

    #[test]
    fn moments_are_written_as_the_engine_prints_them() {
        for micros in [0, 86_399_999_999, 951_782_400_000_000, 1_794_355_200_012_345, u64::MAX] {
            let time = Timestamp::from_micros(micros);
            let mut writer = Writer::default();
            writer.time(time);
            assert_eq!(writer.into_bytes(), format!("\"{time}\"").into_bytes());
        }
    }

    #[test]
    fn strings_come_back_as_they_were() {
        for text in ["", "plain", "a\"b\\c", "\u{0}\n\u{1f}", "日本 é \u{202e}"] {
            let mut writer = Writer::default();
            writer.string(text);
            let read: String = serde_json::from_slice(&writer.into_bytes()).expect("valid JSON");
            assert_eq!(read, text);
        }
    }
}
