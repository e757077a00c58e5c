//! Reads JSON objects strictly: each key once, whole numbers as whole numbers, nothing after the
//! end, no field that nobody asked for. What is wrong is said with the name of the field.
//!
//! Values borrow from the body wherever they hold no escapes, so that an order is read without
//! allocating.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use smallvec::SmallVec;

pub(crate) mod event;
pub(crate) mod order;
pub(crate) mod payment;
pub(crate) mod sale;
pub(crate) mod stock;
pub(crate) mod timeline;
pub(crate) mod write;

/// Deepest nesting that is read.
const DEPTH_MAX: u8 = 8;

/// Most fields that one object may have.
const FIELDS_MAX: usize = 64;

/// What is wrong with a body, in words for its sender.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) String);

/// A value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Integer(u64),
    /// A negative number, a fraction, or one beyond 64 bits.
    OtherNumber,
    Bool(bool),
    Null,
    List(Vec<Value<'a>>),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// The fields of one object.
#[derive(Debug)]
pub(crate) struct Fields<'v, 'a> {
    fields: &'v [(Cow<'a, str>, Value<'a>)],
    /// What stands before a field's name when it is spoken of, e.g. `items[1].`.
    prefix: String,
}

/// A whole document.
#[derive(Debug)]
pub(crate) struct Document<'a>(SmallVec<[(Cow<'a, str>, Value<'a>); 4]>);

impl<'a> Document<'a> {
    /// Reads a document that is one object.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Invalid> {
        // The reader quotes what it did not expect, however long that is.
        let malformed = |error: serde_json::Error| {
            Invalid(format!("malformed JSON: {:.200}", error.to_string()))
        };
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let fields = deserializer.deserialize_map(ObjectVisitor).map_err(malformed)?;
        deserializer.end().map_err(malformed)?;
        Ok(Self(fields))
    }

    /// Its fields, of which there may be only those `known`.
    pub(crate) fn fields(&self, known: &[&str]) -> Result<Fields<'_, 'a>, Invalid> {
        Fields::of(&self.0, String::new(), known)
    }

    /// Its fields, whatever else there may be.
    pub(crate) fn open_fields(&self) -> Fields<'_, 'a> {
        Fields { fields: &self.0, prefix: String::new() }
    }
}

impl<'v, 'a> Fields<'v, 'a> {
    fn of(
        fields: &'v [(Cow<'a, str>, Value<'a>)],
        prefix: String,
        known: &[&str],
    ) -> Result<Self, Invalid> {
        match fields.iter().find(|(name, _)| !known.contains(&&**name)) {
            Some((name, _)) => Err(Invalid(format!("{prefix}{}: unknown field", shown(name)))),
            None => Ok(Self { fields, prefix }),
        }
    }

    /// The fields of an element of a list, of which there may be only those `known`.
    pub(crate) fn of_element(
        list: &str,
        index: usize,
        value: &'v Value<'a>,
        known: &[&str],
    ) -> Result<Self, Invalid> {
        match value {
            Value::Object(fields) => Self::of(fields, format!("{list}[{index}]."), known),
            other => {
                Err(Invalid(format!("{list}[{index}]: must be an object, not {}", other.kind())))
            }
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&'v Value<'a>> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// What is wrong with a field.
    pub(crate) fn wrong(&self, name: &str, what: impl fmt::Display) -> Invalid {
        Invalid(format!("{}{name}: {what}", self.prefix))
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Invalid> {
        value.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// A text that is there.
    pub(crate) fn text(&self, name: &str) -> Result<&'v str, Invalid> {
        match self.required(name, self.get(name))? {
            Value::Text(text) => Ok(text),
            other => Err(self.wrong(name, format_args!("must be a string, not {}", other.kind()))),
        }
    }

    /// A text that is there and has at most `bytes_max` bytes, none of them a control character.
    pub(crate) fn plain_text(&self, name: &str, bytes_max: usize) -> Result<&'v str, Invalid> {
        let text = self.text(name)?;
        if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
            let range = format_args!("must have 1 to {bytes_max} bytes, no control characters");
            return Err(self.wrong(name, range));
        }
        Ok(text)
    }

    /// A whole number that is there, `least` … `most`.
    pub(crate) fn integer(&self, name: &str, least: u64, most: u64) -> Result<u64, Invalid> {
        let number = self.optional_integer(name, least, most)?;
        self.required(name, number)
    }

    /// A whole number that may be left out, `least` … `most`.
    pub(crate) fn optional_integer(
        &self,
        name: &str,
        least: u64,
        most: u64,
    ) -> Result<Option<u64>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Integer(number)) if (least..=most).contains(number) => Ok(Some(*number)),
            Some(_) => {
                let range = format_args!("must be a whole number from {least} to {most}");
                Err(self.wrong(name, range))
            }
        }
    }

    /// A truth value that is there.
    pub(crate) fn bool(&self, name: &str) -> Result<bool, Invalid> {
        let value = self.optional_bool(name)?;
        self.required(name, value)
    }

    /// A truth value that may be left out.
    pub(crate) fn optional_bool(&self, name: &str) -> Result<Option<bool>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong(name, "must be true or false")),
        }
    }

    /// A list that may be left out.
    pub(crate) fn optional_list(&self, name: &str) -> Result<Option<&'v [Value<'a>]>, Invalid> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::List(values)) => Ok(Some(values)),
            Some(other) => {
                Err(self.wrong(name, format_args!("must be a list, not {}", other.kind())))
            }
        }
    }
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) | Self::OtherNumber => "a number",
            Self::Bool(_) => "true or false",
            Self::Null => "null",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// A name out of a hostile body, cut and without control characters, fit for a message.
fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

struct Seed {
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value<'de>, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::OtherNumber)
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(Seed { depth })? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Value<'de>, A::Error> {
        let depth = self.deeper()?;
        let mut fields = Vec::new();
        read_fields(access, depth, |field| fields.push(field))?;
        Ok(Value::Object(fields))
    }
}

impl Seed {
    fn deeper<E: Error>(&self) -> Result<u8, E> {
        match self.depth + 1 {
            depth if depth > DEPTH_MAX => Err(E::custom("nested too deeply")),
            depth => Ok(depth),
        }
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = SmallVec<[(Cow<'de, str>, Value<'de>); 4]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
        let mut fields = SmallVec::new();
        read_fields(access, 1, |field| fields.push(field))?;
        Ok(fields)
    }
}

/// Reads the fields of an object and hands each to `push`; refuses a key that comes twice.
fn read_fields<'de, A: MapAccess<'de>>(
    mut access: A,
    depth: u8,
    mut push: impl FnMut((Cow<'de, str>, Value<'de>)),
) -> Result<(), A::Error> {
    let mut names: SmallVec<[Cow<'de, str>; 8]> = SmallVec::new();
    while let Some(name) = access.next_key_seed(Name)? {
        if names.contains(&name) {
            return Err(A::Error::custom(format_args!("{}: given twice", shown(&name))));
        }
        if names.len() == FIELDS_MAX {
            return Err(A::Error::custom(format_args!("more than {FIELDS_MAX} fields")));
        }
        names.push(name.clone());
        let value = access
            .next_value_seed(Seed { depth })
            .map_err(|error| A::Error::custom(format_args!("{}: {error}", shown(&name))))?;
        push((name, value));
    }
    Ok(())
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, Invalid};

    fn quantity(body: &str) -> Result<u64, Invalid> {
        Document::read(body.as_bytes())?.fields(&["quantity"])?.integer("quantity", 1, 1_000_000)
    }

    #[test]
    fn what_was_not_expected_is_not_quoted_at_length() {
        let body = format!("\"{}\"", "canary".repeat(1_000));
        let Invalid(text) = Document::read(body.as_bytes()).map(|_| ()).expect_err("no object");
        assert!(text.len() < 300, "{text}");
    }

    #[test]
    fn whole_numbers_are_whole_numbers() {
        assert_eq!(quantity(r#"{"quantity":1}"#), Ok(1));
        assert_eq!(quantity(" {\"quantity\" :\n1000000 } "), Ok(1_000_000));
        let wrong = [
            "0",
            "-1",
            "-0",
            "1.0",
            "1e0",
            "\"1\"",
            "true",
            "null",
            "2147483648",
            "4294967296",
            "9223372036854775808",
            "18446744073709551616",
            "1e400",
            "NaN",
            "01",
            "+1",
            "[1]",
            "{}",
        ];
        for number in wrong {
            let error = quantity(&format!(r#"{{"quantity":{number}}}"#)).expect_err(number);
            assert!(
                error.0.contains("quantity") || error.0.contains("column"),
                "{number}: {error:?}"
            );
        }
        for number in ["0", "-1", "-0", "1.0", "1e0", "\"1\"", "true", "null", "4294967296"] {
            let error = quantity(&format!(r#"{{"quantity":{number}}}"#)).expect_err(number);
            assert_eq!(error.0, "quantity: must be a whole number from 1 to 1000000", "{number}");
        }
    }

    #[test]
    fn what_is_not_strict_json_is_refused() {
        let deep = format!("{{\"quantity\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let wide = (0..65).map(|n| format!("\"f{n}\":1")).collect::<Vec<_>>().join(",");
        for body in [
            "",
            " ",
            "null",
            "1",
            "[]",
            "\"x\"",
            "{",
            "{}",
            r#"{"quantity":1"#,
            r#"{"quantity":1}}"#,
            r#"{"quantity":1} x"#,
            r#"{"quantity":1,}"#,
            r#"{"quantity":1,"quantity":1}"#,
            r#"{"quantity":1,"quantit\u0079":2}"#,
            r#"{'quantity':1}"#,
            r#"{quantity:1}"#,
            r#"{"quantity":1,"price":5}"#,
            r#"{"quantity":1} // x"#,
            "\u{feff}{\"quantity\":1}",
            "{\"quantity\"\u{a0}:1}",
            r#"{"quantity":1,"\ud800":1}"#,
            r#"{"quantity":"\udc00\ud800"}"#,
            deep.as_str(),
            &format!("{{{wide}}}"),
        ] {
            assert!(quantity(body).is_err(), "{body}");
        }
        assert!(Document::read(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
        assert!(Document::read(b"{\"a\":\"\n\"}").is_err(), "a control character");
    }

    #[test]
    fn what_is_wrong_is_said_with_the_name_of_the_field() {
        for (body, message) in [
            ("{}", "quantity: is missing"),
            (r#"{"quantity":1,"status":"paid"}"#, "status: unknown field"),
            (
                r#"{"quantity":1,"quantity":2}"#,
                "malformed JSON: quantity: given twice at line 1 column 24",
            ),
        ] {
            assert_eq!(quantity(body), Err(Invalid(message.to_owned())), "{body}");
        }
        let document = Document::read(br#"{"name":"a\u0000b","flag":1,"list":{}}"#).expect("reads");
        let fields = document.open_fields();
        assert_eq!(
            fields.plain_text("name", 9).expect_err("control").0,
            "name: must have 1 to 9 bytes, no control characters"
        );
        assert_eq!(
            fields.optional_bool("flag").expect_err("number").0,
            "flag: must be true or false"
        );
        assert_eq!(
            fields.optional_list("list").expect_err("object").0,
            "list: must be a list, not an object"
        );
    }
}
