//! What operators let sinks pass over.

/// A sink, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SinkName {
    /// The copy in SQL.
    Sql = 1,
    /// The copy in Redis.
    Redis = 2,
}

impl SinkName {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sql, Self::Redis];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Redis => "redis",
        }
    }

    /// The sink of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.as_str() == text)
    }

    /// The sink with that number in records.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|name| *name as u8 == number)
    }
}

/// An operator said that a sink is to pass over a record that its store cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSkipped<'a> {
    /// The sink.
    pub sink: SinkName,
    /// The record, which is an earlier one.
    pub sequence: u64,
    /// Why, in the operator's words.
    pub why: &'a str,
}
