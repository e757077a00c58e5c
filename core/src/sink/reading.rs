//! Reading the copy: orders that have left the ledger, and all of it for the audit. Never writes.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use sqlx::{Column as _, TypeInfo as _, ValueRef as _};

use crate::event::{Draw, Line, Lines, OrderStatus, total};
use crate::id::OrderId;
use crate::money::{Amount, Currency};
use crate::name::{LotId, SkuId};
use crate::outcome::OrderView;
use crate::quantity::Quantity;
use crate::storage::{DatabaseFile, FileIdentity};
use crate::time::Timestamp;

use super::error::{SinkError, Trouble};
use super::sqlite::{mark, options};
use super::table::{Table, Value};

/// An order as the copy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOrder {
    /// The buyer's raw id.
    pub buyer: Box<str>,
    /// The order, as the ledger would show it.
    pub view: OrderView,
}

/// A connection that reads orders by their ids.
#[derive(Debug)]
pub struct Reading {
    connection: SqliteConnection,
    file: DatabaseFile,
    identity: Option<FileIdentity>,
}

/// What a query of orders came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundOrders {
    /// How far the copy was at that moment: an order that a later record made may be missing.
    pub sequence: u64,
    /// Those that it has.
    pub orders: Vec<StoredOrder>,
}

/// How far the copy is, and beside it, in order, each line and draw of the orders that it has.
const ORDERS_BY_ID: &str = "SELECT w.sequence, o.order_id, o.buyer, o.status, o.version, \
     o.currency, o.created_at, o.expires_at, l.line, l.sku, d.lot, d.ordinal, d.quantity, \
     d.unit_price \
     FROM watermarks AS w \
     LEFT JOIN orders AS o \
     ON o.cell = w.cell AND o.order_id IN (SELECT value FROM json_each(?)) \
     LEFT JOIN order_lines AS l ON l.cell = o.cell AND l.order_id = o.order_id \
     LEFT JOIN order_draws AS d ON d.cell = l.cell AND d.order_id = l.order_id AND d.line = l.line \
     WHERE w.cell = ? ORDER BY o.order_id, l.line, d.draw";

impl Reading {
    /// Opens the database at `file`, which must be there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(file: DatabaseFile) -> Result<Self, SinkError> {
        let identity = file.identity()?;
        let connection = options(&file).read_only(true).connect().await?;
        Ok(Self { connection, file, identity })
    }

    /// Whether the file was deleted or replaced since it was opened.
    ///
    /// # Errors
    /// The directory cannot be searched.
    pub fn is_replaced(&self) -> Result<bool, SinkError> {
        Ok(self.file.identity()? != self.identity)
    }

    /// Those of `orders` that the copy has, by one query.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn orders(
        &mut self,
        cell: u16,
        orders: &[OrderId],
    ) -> Result<FoundOrders, SinkError> {
        // Ids need no escape.
        let ids: Vec<String> = orders.iter().map(|order| format!("\"{order}\"")).collect();
        let query = sqlx::query(ORDERS_BY_ID).bind(format!("[{}]", ids.join(",")));
        let rows = query.bind(i64::from(cell)).fetch_all(&mut self.connection).await?;
        let mut found = FoundOrders { sequence: 0, orders: Vec::new() };
        let mut line_number = -1;
        for row in &rows {
            found.sequence = number(row, 0)?.max(0) as u64;
            if row.try_get_raw(1)?.is_null() {
                break;
            }
            let order = read(row, 1, OrderId::parse)?;
            if found.orders.last().is_none_or(|last| last.view.order != order) {
                found.orders.push(head(row, order)?);
                line_number = -1;
            }
            let lines = &mut found.orders.last_mut().expect("one was pushed").view.lines;
            if number(row, 8)? != line_number {
                line_number = number(row, 8)?;
                let sku = read(row, 9, SkuId::new)?;
                lines.push(Line { sku, quantity: Quantity::ONE, draws: Default::default() });
            }
            let draws = &mut lines.last_mut().expect("one was pushed").draws;
            draws.push(Draw {
                lot: read(row, 10, LotId::new)?,
                ordinal: ranged(row, 11, |number| u32::try_from(number).ok())?,
                quantity: ranged(row, 12, units)?,
                unit_price: ranged(row, 13, |price| Amount::new(u64::try_from(price).ok()?))?,
            });
        }
        for order in &mut found.orders {
            sum_up(order)?;
        }
        Ok(found)
    }
}

fn head(row: &SqliteRow, order: OrderId) -> Result<StoredOrder, SinkError> {
    let time = |number| u64::try_from(number).ok().map(Timestamp::from_micros);
    Ok(StoredOrder {
        buyer: row.try_get::<String, _>(2)?.into_boxed_str(),
        view: OrderView {
            order,
            status: read(row, 3, OrderStatus::parse)?,
            version: ranged(row, 4, |number| u32::try_from(number).ok())?,
            currency: read(row, 5, Currency::new)?,
            created_at: ranged(row, 6, time)?,
            expires_at: ranged(row, 7, time)?,
            lines: Lines::new(),
            amount: Amount::ZERO,
        },
    })
}

/// Fills in the quantities and the amount that the order's draws add up to.
fn sum_up(order: &mut StoredOrder) -> Result<(), SinkError> {
    let id = order.view.order;
    let wrong =
        || SinkError::new(Trouble::Damaged, format!("order {id}: its lots add up to no order"));
    for line in &mut order.view.lines {
        let sum = line.draws.iter().map(|draw| i64::from(draw.quantity.get())).sum();
        line.quantity = units(sum).ok_or_else(wrong)?;
    }
    order.view.amount = total(&order.view.lines).ok_or_else(wrong)?;
    Ok(())
}

fn units(number: i64) -> Option<Quantity> {
    u32::try_from(number).ok().and_then(Quantity::new)
}

fn number(row: &SqliteRow, column: usize) -> Result<i64, SinkError> {
    Ok(row.try_get(column)?)
}

fn ranged<T>(
    row: &SqliteRow,
    column: usize,
    check: impl FnOnce(i64) -> Option<T>,
) -> Result<T, SinkError> {
    check(number(row, column)?).ok_or_else(|| out_of_range(row, column))
}

fn read<T>(
    row: &SqliteRow,
    column: usize,
    check: impl FnOnce(&str) -> Option<T>,
) -> Result<T, SinkError> {
    check(row.try_get(column)?).ok_or_else(|| out_of_range(row, column))
}

fn out_of_range(row: &SqliteRow, column: usize) -> SinkError {
    let order: String = row.try_get(1).unwrap_or_default();
    let what = format!("order {order}: {} is out of its range", row.column(column).name());
    SinkError::new(Trouble::Damaged, what)
}

/// The copy as it was at one moment.
#[derive(Debug)]
pub struct Snapshot {
    connection: SqliteConnection,
    cell: i64,
    sequence: u64,
    journal: Option<String>,
}

impl Snapshot {
    /// Takes one of the rows of `cell`. Holds nobody up; while it is there the database's log grows.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take(file: &DatabaseFile, cell: u16) -> Result<Self, SinkError> {
        let mut connection = options(file).read_only(true).connect().await?;
        // The first read is what fixes the moment.
        connection.execute("BEGIN").await?;
        let mark = mark(&mut connection, cell).await?;
        let (sequence, journal) = (mark.sequence, mark.journal);
        Ok(Self { connection, cell: i64::from(cell), sequence, journal })
    }

    /// The last sequence that is stored; 0 if none is.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whose journal it is a copy of; `None` if nothing is stored.
    pub fn journal(&self) -> Option<&str> {
        self.journal.as_deref()
    }

    /// The next rows of a table in the order of their keys: behind the key `after` and, if given,
    /// with a first column of the key, `cell` not counted, less than `below`. At most `limit`, in
    /// the order of the table's columns.
    ///
    /// # Errors
    /// What the database says.
    pub async fn page(
        &mut self,
        table: &'static Table,
        after: &[Value],
        below: Option<&Value>,
        limit: usize,
    ) -> Result<Vec<Vec<Value>>, SinkError> {
        let key = table.columns[1..table.key].join(", ");
        let mut statement = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
        statement.push_str(" WHERE cell = ?");
        if !after.is_empty() {
            let places = vec!["?"; after.len()].join(", ");
            statement.push_str(&format!(" AND ({key}) > ({places})"));
        }
        if below.is_some() {
            statement.push_str(&format!(" AND {} < ?", table.columns[1]));
        }
        statement.push_str(&format!(" ORDER BY cell, {key} LIMIT ?"));
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(self.cell);
        for value in after.iter().chain(below) {
            query = query.bind(value.clone());
        }
        let query = query.bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| (0..row.len()).map(|column| value(row, column)).collect()).collect()
    }

    /// Gives it up.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end(self) -> Result<(), SinkError> {
        Ok(self.connection.close().await?)
    }
}

fn value(row: &SqliteRow, column: usize) -> Result<Value, SinkError> {
    let raw = row.try_get_raw(column)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    match raw.type_info().name() {
        "INTEGER" => Ok(Value::Integer(row.try_get(column)?)),
        "TEXT" => Ok(Value::text(row.try_get(column)?)),
        // Whoever wrote that, it was not this program.
        other => Ok(Value::text(&format!("a value of the type {other}"))),
    }
}
