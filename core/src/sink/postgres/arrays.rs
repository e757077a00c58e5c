//! Rows as arrays, one for each column: one statement takes as many of them as there are.

use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;

use super::super::error::SinkError;
use super::super::table::{Value, is_text};

/// What stands for rows of these columns: arrays, numbered from 1 on.
pub(super) fn unnest(columns: &[&str]) -> String {
    let arrays = columns.iter().enumerate().map(|(place, column)| {
        let kind = if is_text(column) { "text" } else { "bigint" };
        format!("${}::{kind}[]", place + 1)
    });
    format!("UNNEST({})", arrays.collect::<Vec<_>>().join(", "))
}

/// The arrays for [`unnest`], of rows that lie one behind the other.
pub(super) fn arguments(columns: &[&str], values: &[Value]) -> Result<PgArguments, SinkError> {
    let mut arguments = PgArguments::default();
    for (place, column) in columns.iter().enumerate() {
        let values = values.iter().skip(place).step_by(columns.len());
        add_column(&mut arguments, column, values)?;
    }
    Ok(arguments)
}

/// Adds the values of a column as one array.
pub(super) fn add_column<'v>(
    arguments: &mut PgArguments,
    column: &str,
    values: impl Iterator<Item = &'v Value>,
) -> Result<(), SinkError> {
    let added = if is_text(column) {
        let text = |value: &'v Value| match value {
            Value::Text(text) => Some(&**text),
            Value::Integer(_) | Value::Null => None,
        };
        arguments.add(values.map(text).collect::<Vec<Option<&str>>>())
    } else {
        let number = |value: &'v Value| match value {
            Value::Integer(number) => Some(*number),
            Value::Text(_) | Value::Null => None,
        };
        arguments.add(values.map(number).collect::<Vec<Option<i64>>>())
    };
    Ok(added.map_err(sqlx::Error::Encode)?)
}

/// Adds one value.
pub(super) fn add(arguments: &mut PgArguments, value: &Value) -> Result<(), SinkError> {
    let added = match value {
        Value::Integer(number) => arguments.add(*number),
        Value::Text(text) => arguments.add(&**text),
        Value::Null => arguments.add(None::<&str>),
    };
    Ok(added.map_err(sqlx::Error::Encode)?)
}
