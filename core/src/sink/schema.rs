//! The migrations: one statement each, in an order that never changes, so that a schema that was
//! left half-way is finished by going on.
//!
//! The statements keep to what SQLite and PostgreSQL have in common: 64-bit integers, text that is
//! compared bytewise, no types of their own. `{text}` stands for such text.

/// How each database spells text that is compared bytewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// SQLite: the default of its text.
    Sqlite,
}

impl Dialect {
    fn text(self) -> &'static str {
        match self {
            Self::Sqlite => "TEXT COLLATE BINARY",
        }
    }

    /// What stands behind a table whose rows lie in the order of their key.
    fn table_end(self) -> &'static str {
        match self {
            Self::Sqlite => "WITHOUT ROWID",
        }
    }

    /// The statement of a migration.
    pub(super) fn spell(self, migration: &str) -> String {
        migration.replace("{text}", self.text()).replace("{end}", self.table_end())
    }
}

/// Creates the table of migrations, which is older than all of them.
pub(super) const BEGIN: &str =
    "CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY)";

/// The number of the first migration. Those before it were of no release; a database that has them
/// is refused.
pub(super) const FIRST: i64 = 11;

/// The migrations, numbered from [`FIRST`] on. New ones are appended; none is ever changed.
pub(super) const MIGRATIONS: [&str; 21] = [
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
];

#[cfg(test)]
mod tests {
    use super::super::table::TABLES;
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
            let key = format!("PRIMARY KEY ({}))", table.columns[..table.key].join(", "));
            assert!(found.is_some_and(|text| text.contains(&key)), "{key}");
        }
    }

    #[test]
    fn a_migration_is_one_statement_that_may_be_said_again() {
        for migration in MIGRATIONS {
            let statement = Dialect::Sqlite.spell(migration);
            assert!(statement.contains("IF NOT EXISTS"), "{statement}");
            assert!(!statement.contains([';', '{', '}']), "{statement}");
        }
    }
}
