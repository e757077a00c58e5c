//! What the statements of all SQL databases have in common.

use super::table::Table;

pub(super) mod changes;

/// Where the store of a cell stands.
pub(super) const MARK: &str = "SELECT sequence, recorded_at, journal FROM watermarks WHERE cell = ";

/// Which migrations a database has.
pub(super) const MIGRATED: &str =
    "SELECT MIN(number) AS first, MAX(number) AS last FROM migrations";

/// What becomes of rows that are there already: a SKU or a sale takes on new terms. Rows of all
/// other tables are never there.
pub(super) fn on_conflict(table: &Table) -> String {
    let kept: &[&str] = match table.name {
        "skus" => &["created_at"],
        "sales" => &["created_at", "paused", "ended"],
        _ => return String::new(),
    };
    let terms = table.columns[table.key..].iter().filter(|column| !kept.contains(column));
    let terms: Vec<_> = terms.map(|column| format!("{column} = excluded.{column}")).collect();
    let key = table.columns[..table.key].join(", ");
    format!(" ON CONFLICT ({key}) DO UPDATE SET {}", terms.join(", "))
}

/// A watermark's row, written whatever was there.
pub(super) fn advance(places: [&str; 4]) -> String {
    let places = places.join(", ");
    format!(
        "INSERT INTO watermarks (cell, sequence, recorded_at, journal) VALUES ({places}) \
         ON CONFLICT (cell) DO UPDATE SET sequence = excluded.sequence, \
         recorded_at = excluded.recorded_at, journal = excluded.journal"
    )
}
