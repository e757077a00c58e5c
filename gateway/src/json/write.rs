//! Writes JSON into a buffer: text escaped, numbers, moments. Who calls it keeps the grammar.

use sluice_core::time::Timestamp;

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

    /// The characters of an id, which need no escape.
    #[inline]
    pub(crate) fn id(&mut self, characters: [u8; 26]) -> &mut Self {
        self.0.extend_from_slice(&characters);
        self
    }

    /// A string in quotes, escaped.
    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.0.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(place) = rest.iter().position(|byte| needs_escape(*byte)) {
            self.0.extend_from_slice(&rest[..place]);
            self.escape(rest[place]);
            rest = &rest[place + 1..];
        }
        self.0.extend_from_slice(rest);
        self.0.push(b'"');
        self
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        if byte >= b' ' {
            self.0.extend_from_slice(&[b'\\', byte]);
        } else {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            self.0.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }

    /// A name in quotes, which needs no escape, or null.
    pub(crate) fn name(&mut self, name: Option<&str>) -> &mut Self {
        match name {
            Some(name) => self.raw("\"").raw(name).raw("\""),
            None => self.raw("null"),
        }
    }

    /// True or false.
    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.raw(if value { "true" } else { "false" })
    }

    /// A number, or null.
    pub(crate) fn optional_number(&mut self, number: Option<u64>) -> &mut Self {
        match number {
            Some(number) => self.number(number),
            None => self.raw("null"),
        }
    }

    /// A string, or null.
    pub(crate) fn optional_string(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.string(text),
            None => self.raw("null"),
        }
    }

    /// A moment in quotes: RFC 3339 in UTC with milliseconds.
    pub(crate) fn time(&mut self, time: Timestamp) -> &mut Self {
        self.0.push(b'"');
        self.0.extend_from_slice(&time.rfc_3339());
        self.0.push(b'"');
        self
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

/// Whether a byte of UTF-8 may not stand in a JSON string as it is (RFC 8259, 7).
const fn needs_escape(byte: u8) -> bool {
    matches!(byte, 0..=0x1f | b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::Writer;

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
