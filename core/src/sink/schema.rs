//! The migrations: one statement each, in an order that never changes, so that a schema that was
//! left half-way is finished by going on.
//!
//! The statements keep to what SQLite and PostgreSQL have in common: 64-bit integers, text that is
//! compared bytewise, no types of their own. `{text}` stands for such text.

use super::error::{SinkError, Trouble};

/// How each database spells text that is compared bytewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite: the default of its text.
    Sqlite,
    /// PostgreSQL: whatever the database's own order is.
    Postgres,
}

impl Dialect {
    fn text(self) -> &'static str {
        match self {
            Self::Sqlite => "TEXT COLLATE BINARY",
            Self::Postgres => "TEXT COLLATE \"C\"",
        }
    }

    /// What stands behind a table whose rows lie in the order of their key.
    fn table_end(self) -> &'static str {
        match self {
            Self::Sqlite => "WITHOUT ROWID",
            Self::Postgres => "",
        }
    }

    /// The statement of a migration.
    pub(super) fn spell(self, migration: &str) -> String {
        migration.replace("{text}", self.text()).replace("{end}", self.table_end())
    }
}

/// The migrations that a database lacks, with their numbers, given the first and the last that it
/// has.
///
/// # Errors
/// It is of no release, or of a newer program.
pub(super) fn pending(
    first: Option<i64>,
    last: Option<i64>,
) -> Result<impl Iterator<Item = (i64, &'static str)>, SinkError> {
    if first.is_some_and(|first| first < FIRST) {
        let what = "the database was made before the first release, by a schema that is no more: \
                    take it away, with what lies beside it, and it is built anew from the journal";
        return Err(SinkError::new(Trouble::Unusable, what));
    }
    let (done, known) = (last.unwrap_or(FIRST - 1), FIRST - 1 + MIGRATIONS.len() as i64);
    if done > known {
        let what = format!("the database has schema {done}, this program knows {known}");
        return Err(SinkError::new(Trouble::Unusable, what));
    }
    Ok((FIRST..).zip(MIGRATIONS).filter(move |(number, _)| *number > done))
}

/// Creates the table of migrations, which is older than all of them.
pub(super) const BEGIN: &str =
    "CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY)";

/// The number of the first migration. Those before it were of no release; a database that has them
/// is refused.
pub(super) const FIRST: i64 = 11;

/// The migrations, numbered from [`FIRST`] on. New ones are appended; none is ever changed.
pub(super) const MIGRATIONS: [&str; 24] = [
    "CREATE TABLE IF NOT EXISTS watermarks (
        cell BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        recorded_at BIGINT NOT NULL,
        journal {text} NOT NULL,
        PRIMARY KEY (cell)) {end}",
    "CREATE TABLE IF NOT EXISTS skus (
        cell BIGINT NOT NULL,
        sku {text} NOT NULL,
        revision BIGINT NOT NULL,
        name {text} NOT NULL,
        unit_price BIGINT NOT NULL,
        currency {text} NOT NULL,
        per_buyer_limit BIGINT NOT NULL,
        hold_seconds BIGINT NOT NULL,
        standby_pass BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, sku)) {end}",
    "CREATE TABLE IF NOT EXISTS lots (
        cell BIGINT NOT NULL,
        sku {text} NOT NULL,
        lot {text} NOT NULL,
        ordinal BIGINT NOT NULL,
        quantity BIGINT NOT NULL,
        unit_price BIGINT,
        available BIGINT NOT NULL,
        held BIGINT NOT NULL,
        sold BIGINT NOT NULL,
        withdrawn BIGINT NOT NULL,
        received_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, sku, lot)) {end}",
    "CREATE TABLE IF NOT EXISTS withdrawals (
        cell BIGINT NOT NULL,
        sku {text} NOT NULL,
        withdrawal {text} NOT NULL,
        quantity BIGINT NOT NULL,
        reason {text} NOT NULL,
        withdrawn_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, sku, withdrawal)) {end}",
    "CREATE TABLE IF NOT EXISTS withdrawal_draws (
        cell BIGINT NOT NULL,
        sku {text} NOT NULL,
        withdrawal {text} NOT NULL,
        draw BIGINT NOT NULL,
        lot {text} NOT NULL,
        ordinal BIGINT NOT NULL,
        quantity BIGINT NOT NULL,
        PRIMARY KEY (cell, sku, withdrawal, draw)) {end}",
    "CREATE TABLE IF NOT EXISTS orders (
        cell BIGINT NOT NULL,
        order_id {text} NOT NULL,
        buyer {text} NOT NULL,
        idempotency_key {text},
        status {text} NOT NULL,
        version BIGINT NOT NULL,
        amount BIGINT,
        currency {text} NOT NULL,
        created_at BIGINT NOT NULL,
        expires_at BIGINT,
        updated_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, order_id)) {end}",
    "CREATE TABLE IF NOT EXISTS order_lines (
        cell BIGINT NOT NULL,
        order_id {text} NOT NULL,
        line BIGINT NOT NULL,
        sku {text} NOT NULL,
        sale {text},
        quantity BIGINT NOT NULL,
        amount BIGINT,
        PRIMARY KEY (cell, order_id, line)) {end}",
    "CREATE TABLE IF NOT EXISTS order_draws (
        cell BIGINT NOT NULL,
        order_id {text} NOT NULL,
        line BIGINT NOT NULL,
        draw BIGINT NOT NULL,
        lot {text} NOT NULL,
        ordinal BIGINT NOT NULL,
        quantity BIGINT NOT NULL,
        unit_price BIGINT NOT NULL,
        PRIMARY KEY (cell, order_id, line, draw)) {end}",
    "CREATE TABLE IF NOT EXISTS order_events (
        cell BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        order_id {text} NOT NULL,
        kind {text} NOT NULL,
        version BIGINT,
        occurred_at BIGINT NOT NULL,
        actor {text} NOT NULL,
        request_id {text},
        payment_id {text},
        detail {text},
        PRIMARY KEY (cell, sequence)) {end}",
    "CREATE INDEX IF NOT EXISTS order_events_of_order ON order_events (cell, order_id)",
    "CREATE TABLE IF NOT EXISTS standby (
        cell BIGINT NOT NULL,
        order_id {text} NOT NULL,
        sku {text} NOT NULL,
        ticket BIGINT NOT NULL,
        max_amount BIGINT,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, order_id)) {end}",
    "CREATE TABLE IF NOT EXISTS shipments (
        cell BIGINT NOT NULL,
        order_id {text} NOT NULL,
        carrier {text} NOT NULL,
        tracking_number {text} NOT NULL,
        shipped_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, order_id)) {end}",
    "CREATE TABLE IF NOT EXISTS payments (
        cell BIGINT NOT NULL,
        payment_id {text} NOT NULL,
        order_id {text} NOT NULL,
        amount BIGINT NOT NULL,
        currency {text} NOT NULL,
        status {text} NOT NULL,
        refund_reason {text},
        refund_failed BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, payment_id)) {end}",
    "CREATE TABLE IF NOT EXISTS unmatched_notices (
        cell BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        kind {text} NOT NULL,
        payment_id {text} NOT NULL,
        order_id {text} NOT NULL,
        amount BIGINT NOT NULL,
        currency {text} NOT NULL,
        received_at BIGINT NOT NULL,
        PRIMARY KEY (cell, sequence)) {end}",
    "CREATE TABLE IF NOT EXISTS sales (
        cell BIGINT NOT NULL,
        sale {text} NOT NULL,
        revision BIGINT NOT NULL,
        name {text} NOT NULL,
        starts_at BIGINT NOT NULL,
        ends_at BIGINT NOT NULL,
        per_buyer_limit BIGINT NOT NULL,
        paused BIGINT NOT NULL,
        ended BIGINT NOT NULL,
        created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, sale)) {end}",
    "CREATE TABLE IF NOT EXISTS sale_skus (
        cell BIGINT NOT NULL,
        sale {text} NOT NULL,
        sku {text} NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (cell, sale, sku)) {end}",
    "CREATE INDEX IF NOT EXISTS orders_by_time ON orders (cell, created_at, order_id, buyer)",
    "CREATE INDEX IF NOT EXISTS orders_to_look_after ON orders (cell, status, created_at, order_id)
        WHERE status = 'waiting' OR status = 'refunding'",
    "CREATE INDEX IF NOT EXISTS payments_of_order ON payments (cell, order_id)",
    "CREATE INDEX IF NOT EXISTS payments_to_give_back ON payments (cell, status, payment_id)
        WHERE status = 'refunding'",
    "CREATE TABLE IF NOT EXISTS skipped_records (
        cell BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        sink {text} NOT NULL,
        skipped_sequence BIGINT NOT NULL,
        why {text} NOT NULL,
        skipped_at BIGINT NOT NULL,
        PRIMARY KEY (cell, sequence)) {end}",
    "CREATE INDEX IF NOT EXISTS orders_of_buyer ON orders (cell, buyer, created_at, order_id)",
    "CREATE INDEX IF NOT EXISTS order_lines_of_sku ON order_lines (cell, sku, order_id)",
    "CREATE INDEX IF NOT EXISTS orders_unpaid ON orders (cell, expires_at, order_id)
        WHERE status = 'reserved'",
];

/// Whether a database has all migrations.
///
/// # Errors
/// It is of no release, of a newer program, or of an older one.
pub(super) fn judge(first: Option<i64>, last: Option<i64>) -> Result<(), SinkError> {
    match pending(first, last)?.next() {
        None => Ok(()),
        Some((number, _)) => {
            let what = format!(
                "the database has schema {}, this program needs {}: start its server once, and the \
                 database is brought up",
                number - 1,
                FIRST - 1 + MIGRATIONS.len() as i64
            );
            Err(SinkError::new(Trouble::Unusable, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{TABLES, is_text};
    use super::{Dialect, MIGRATIONS};

    #[test]
    fn the_tables_have_the_columns_that_rows_are_written_in() {
        for table in TABLES {
            let begin = format!("CREATE TABLE IF NOT EXISTS {} (", table.name);
            let found = MIGRATIONS.iter().find(|migration| migration.starts_with(&begin));
            let lines = found.unwrap_or_else(|| panic!("{} is created", table.name)).lines();
            let words = lines.skip(1).map(|line| line.split_whitespace().next().unwrap_or(""));
            let columns: Vec<&str> = words.filter(|word| *word != "PRIMARY").collect();
            assert_eq!(columns, table.columns, "{}", table.name);
            for line in found.unwrap_or(&"").lines().skip(1) {
                let mut words = line.split_whitespace();
                let (column, kind) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
                let text = kind.starts_with("{text}");
                assert!(column == "PRIMARY" || is_text(column) == text, "{line}");
            }
            let key = format!("PRIMARY KEY ({}))", table.columns[..table.key].join(", "));
            assert!(found.is_some_and(|text| text.contains(&key)), "{key}");
        }
    }

    #[test]
    fn a_migration_is_one_statement_that_may_be_said_again() {
        for migration in MIGRATIONS {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let statement = dialect.spell(migration);
                assert!(statement.contains("IF NOT EXISTS"), "{statement}");
                assert!(!statement.contains([';', '{', '}']), "{statement}");
            }
        }
    }
}
