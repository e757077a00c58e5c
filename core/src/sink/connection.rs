//! A connection that reads a copy, whichever database it is in.
//!
//! Statements keep to what all of them have in common; `?` stands for a value.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Column as _, ColumnIndex, ConnectOptions as _, Connection as _,
    Row as _, TypeInfo as _, ValueRef as _,
};
use tokio::time::timeout;

use crate::time::Timestamp;

use super::database::Database;
use super::error::{SinkError, Trouble};
use super::schema::judge;
use super::sql::{MARK, MIGRATED};
use super::store::Mark;
use super::table::Value;
use super::{postgres, sqlite};

/// How long a server may take to close a connection in order.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// A connection that reads.
#[derive(Debug)]
pub(super) struct Connection {
    link: Link,
    patience: Duration,
}

#[derive(Debug)]
enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    /// An answer did not come in time, and may come yet.
    Lost,
}

impl Connection {
    /// Opens a database that is there; a server's answers must come within `patience`.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn open(database: &Database, patience: Duration) -> Result<Self, SinkError> {
        let link = match database {
            Database::Sqlite(file) => {
                Link::Sqlite(sqlite::options(file).read_only(true).connect().await?)
            }
            Database::Postgres(address) => {
                Link::Postgres(postgres::connect(address, &postgres::read_only(patience)).await?)
            }
        };
        Ok(Self { link, patience })
    }

    /// What a statement gives.
    ///
    /// # Errors
    /// What the database says. The connection is not to be used any more.
    pub(super) async fn query(
        &mut self,
        statement: &str,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, SinkError> {
        if let Link::Sqlite(_) = self.link {
            // A file answers.
            return self.link.query(statement, values).await;
        }
        let answer = timeout(self.patience, self.link.query(statement, values)).await;
        answer.unwrap_or_else(|_| {
            self.link = Link::Lost;
            Err(SinkError::unanswered(self.patience))
        })
    }

    /// Lets all that is read from now on be of one moment.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn hold_still(&mut self) -> Result<(), SinkError> {
        let begin = match &self.link {
            Link::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Link::Sqlite(_) | Link::Lost => "BEGIN",
        };
        self.query(begin, Vec::new()).await.map(|_| ())
    }

    /// Where the copy of `cell` stands.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn mark(&mut self, cell: u16) -> Result<Mark, SinkError> {
        let rows = self.query(&format!("{MARK}?"), vec![Value::number(cell)]).await?;
        let Some(row) = rows.first() else { return Ok(Mark::NONE) };
        let time = row.number("recorded_at")?.max(0) as u64;
        Ok(Mark {
            sequence: row.number("sequence")?.max(0) as u64,
            time: Timestamp::from_micros(time),
            journal: Some(row.text("journal")?.to_owned()),
        })
    }

    /// Whether there are tables of a copy, all of them as this program knows them.
    ///
    /// # Errors
    /// They are another program's, or what the database says.
    pub(super) async fn has_tables(&mut self) -> Result<bool, SinkError> {
        let known = match &self.link {
            Link::Sqlite(_) | Link::Lost => {
                "SELECT COUNT(*) AS tables FROM sqlite_schema WHERE name = 'migrations'"
            }
            Link::Postgres(_) => "SELECT COUNT(to_regclass('migrations')) AS tables",
        };
        let rows = self.query(known, Vec::new()).await?;
        if rows.first().map_or(Ok(0), |row| row.number("tables"))? == 0 {
            return Ok(false);
        }
        let rows = self.query(MIGRATED, Vec::new()).await?;
        let number = |column| match rows.first().map(|row| row.value(column)) {
            Some(Ok(Value::Integer(number))) => Some(*number),
            _ => None,
        };
        judge(number("first"), number("last")).map(|()| true)
    }

    /// Closes it in order.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn close(self) -> Result<(), SinkError> {
        match self.link {
            Link::Sqlite(connection) => Ok(connection.close().await?),
            Link::Postgres(connection) => match timeout(CLOSE_PATIENCE, connection.close()).await {
                Ok(closed) => Ok(closed?),
                Err(_) => Err(SinkError::unanswered(CLOSE_PATIENCE)),
            },
            Link::Lost => Ok(()),
        }
    }
}

impl Link {
    async fn query(&mut self, statement: &str, values: Vec<Value>) -> Result<Vec<Row>, SinkError> {
        match self {
            Self::Sqlite(connection) => {
                let mut arguments = SqliteArguments::default();
                for value in values {
                    arguments.add(value).map_err(sqlx::Error::Encode)?;
                }
                let query = sqlx::query_with(AssertSqlSafe(statement), arguments);
                rows(&query.fetch_all(connection).await?, sqlite_value)
            }
            Self::Postgres(connection) => {
                let mut arguments = PgArguments::default();
                for value in values {
                    let added = match value {
                        Value::Integer(number) => arguments.add(number),
                        Value::Text(text) => arguments.add(&*text),
                        Value::Null => arguments.add(None::<&str>),
                    };
                    added.map_err(sqlx::Error::Encode)?;
                }
                let query = sqlx::query_with(AssertSqlSafe(numbered(statement)), arguments);
                rows(&query.fetch_all(connection).await?, postgres_value)
            }
            Self::Lost => Err(SinkError::new(Trouble::Unreachable, "the connection is lost")),
        }
    }
}

/// A statement with `$1`, `$2` … in the place of each `?`.
fn numbered(statement: &str) -> String {
    let mut numbered = String::with_capacity(statement.len() + 16);
    for (number, part) in statement.split('?').enumerate() {
        if number > 0 {
            numbered.push_str(&format!("${number}"));
        }
        numbered.push_str(part);
    }
    numbered
}

/// A row: its columns' names and values.
#[derive(Debug)]
pub(super) struct Row {
    columns: Arc<[Box<str>]>,
    values: Vec<Value>,
}

impl Row {
    /// All values, in order.
    pub(super) fn into_values(self) -> Vec<Value> {
        self.values
    }

    /// What is in a column.
    pub(super) fn value(&self, column: &str) -> Result<&Value, SinkError> {
        let place = self.columns.iter().position(|name| **name == *column);
        let missing = || SinkError::new(Trouble::Other, format!("there is no column {column}"));
        place.map(|place| &self.values[place]).ok_or_else(missing)
    }

    /// A number.
    pub(super) fn number(&self, column: &'static str) -> Result<i64, SinkError> {
        match self.value(column)? {
            Value::Integer(number) => Ok(*number),
            other => Err(unexpected(column, other)),
        }
    }

    /// A text.
    pub(super) fn text(&self, column: &'static str) -> Result<&str, SinkError> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            other => Err(unexpected(column, other)),
        }
    }

    /// Whether there is nothing in a column.
    pub(super) fn is_null(&self, column: &'static str) -> Result<bool, SinkError> {
        Ok(*self.value(column)? == Value::Null)
    }
}

fn unexpected(column: &str, found: &Value) -> SinkError {
    SinkError::new(Trouble::Damaged, format!("{column} is {found}"))
}

fn rows<R: sqlx::Row>(
    rows: &[R],
    value: impl Fn(&R, usize) -> Result<Value, sqlx::Error>,
) -> Result<Vec<Row>, SinkError>
where
    usize: ColumnIndex<R>,
{
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let columns: Arc<[Box<str>]> =
        first.columns().iter().map(|column| Box::from(column.name())).collect();
    let row = |row: &R| {
        let values = (0..columns.len()).map(|column| value(row, column)).collect::<Result<_, _>>();
        Ok(Row { columns: Arc::clone(&columns), values: values? })
    };
    rows.iter().map(row).collect()
}

fn sqlite_value(row: &SqliteRow, column: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    match raw.type_info().name() {
        "INTEGER" => Ok(Value::Integer(row.try_get(column)?)),
        "TEXT" => Ok(Value::text(row.try_get(column)?)),
        other => Ok(strange(other)),
    }
}

fn postgres_value(row: &PgRow, column: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    match raw.type_info().name() {
        "INT8" => Ok(Value::Integer(row.try_get(column)?)),
        "INT4" => Ok(Value::Integer(row.try_get::<i32, _>(column)?.into())),
        "TEXT" => Ok(Value::text(row.try_get(column)?)),
        other => Ok(strange(other)),
    }
}

/// What stands in a column of another type: whoever made that, it was not this program.
fn strange(kind: &str) -> Value {
    Value::text(&format!("a value of the type {kind}"))
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn values_have_numbers() {
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
        assert_eq!(
            numbered("a = ? AND (b, c) > (?, ?) LIMIT ?"),
            "a = $1 AND (b, c) > ($2, $3) LIMIT $4"
        );
    }
}
