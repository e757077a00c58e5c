//! Rows by COPY in its binary form, which costs the server least:
//! <https://www.postgresql.org/docs/current/sql-copy.html>, "Binary Format".

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnection, PgCopyIn};

use super::super::error::SinkError;
use super::super::sql::on_conflict;
use super::super::table::{Table, Value};
use super::arrays;

/// What every copy begins with: its signature, no flags, no more to the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What stands in the place of a row behind the last.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// What stands in the place of a length if there is no value.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Inserts rows that lie one behind the other.
pub(super) async fn insert(
    connection: &mut PgConnection,
    table: &Table,
    values: &[Value],
) -> Result<(), SinkError> {
    if values.is_empty() {
        return Ok(());
    }
    let columns = table.columns.join(", ");
    let conflict = on_conflict(table);
    // A copy cannot tell what becomes of rows that are there already.
    if !conflict.is_empty() {
        let rows = arrays::unnest(table.columns);
        let insert =
            format!("INSERT INTO {} ({columns}) SELECT * FROM {rows}{conflict}", table.name);
        let arguments = arrays::arguments(table.columns, values)?;
        sqlx::query_with(AssertSqlSafe(insert), arguments).execute(connection).await?;
        return Ok(());
    }
    let copy = format!("COPY {} ({columns}) FROM STDIN WITH (FORMAT binary)", table.name);
    let mut copy: PgCopyIn<_> = connection.copy_in_raw(&copy).await?;
    copy.send(encoded(values, table.columns.len())).await?;
    copy.finish().await?;
    Ok(())
}

fn encoded(values: &[Value], width: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER.len() + 24 * values.len());
    bytes.extend_from_slice(HEADER);
    for row in values.chunks(width) {
        bytes.extend_from_slice(&(width as i16).to_be_bytes());
        for value in row {
            match value {
                Value::Null => bytes.extend_from_slice(&NULL),
                Value::Integer(number) => {
                    bytes.extend_from_slice(&8_i32.to_be_bytes());
                    bytes.extend_from_slice(&number.to_be_bytes());
                }
                Value::Text(text) => {
                    bytes.extend_from_slice(&(text.len() as i32).to_be_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
    bytes.extend_from_slice(&END);
    bytes
}
