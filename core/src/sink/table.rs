//! The tables of the SQL copy: their columns, in the order in which rows are written and read.
//!
//! What they mean is told in `docs/sql-schema.md`; `schema` creates them. `cell` leads every key.

use std::sync::Arc;

/// A value of a row. Shared, because the same names stand in many rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// None.
    Null,
    /// Quantities, amounts, sequences; times in microseconds since the epoch, UTC.
    Integer(i64),
    /// Names, ids and words; compared bytewise.
    Text(Arc<str>),
}

impl Value {
    /// Text.
    pub fn text(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    /// A number that the record's decoder has found to be in range.
    ///
    /// # Panics
    /// Above 2^63 − 1, which no sequence, time or amount reaches.
    pub fn number(number: impl TryInto<i64>) -> Self {
        Self::Integer(number.try_into().ok().expect("sequences, times and amounts fit 63 bits"))
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// A table: its name, its columns, and how many of them are its key.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns, the key first.
    pub columns: &'static [&'static str],
    /// How many columns are the key.
    pub key: usize,
}

impl Table {
    /// The place of a column.
    ///
    /// # Panics
    /// If there is none of this name.
    pub const fn column(&self, name: &str) -> usize {
        let mut place = 0;
        while !same(self.columns[place], name) {
            place += 1;
        }
        place
    }
}

/// The columns, of whatever table, that hold text. All others hold integers.
const TEXTS: [&str; 22] = [
    "actor",
    "buyer",
    "carrier",
    "currency",
    "detail",
    "idempotency_key",
    "journal",
    "kind",
    "lot",
    "name",
    "order_id",
    "payment_id",
    "reason",
    "refund_reason",
    "request_id",
    "sale",
    "sink",
    "sku",
    "status",
    "tracking_number",
    "why",
    "withdrawal",
];

/// Whether a column holds text. A name means the same in every table.
pub fn is_text(column: &str) -> bool {
    TEXTS.binary_search(&column).is_ok()
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut place = 0;
    while place < a.len() {
        if a[place] != b[place] {
            return false;
        }
        place += 1;
    }
    true
}

/// SKUs with their terms as they are.
pub const SKUS: Table = Table {
    name: "skus",
    columns: &[
        "cell",
        "sku",
        "revision",
        "name",
        "unit_price",
        "currency",
        "per_buyer_limit",
        "hold_seconds",
        "standby_pass",
        "created_at",
        "updated_at",
        "sequence",
    ],
    key: 2,
};

/// Lots with where their units are.
pub const LOTS: Table = Table {
    name: "lots",
    columns: &[
        "cell",
        "sku",
        "lot",
        "ordinal",
        "quantity",
        "unit_price",
        "available",
        "held",
        "sold",
        "withdrawn",
        "received_at",
        "sequence",
    ],
    key: 3,
};

/// Withdrawals.
pub const WITHDRAWALS: Table = Table {
    name: "withdrawals",
    columns: &["cell", "sku", "withdrawal", "quantity", "reason", "withdrawn_at", "sequence"],
    key: 3,
};

/// The lots that withdrawals took from.
pub const WITHDRAWAL_DRAWS: Table = Table {
    name: "withdrawal_draws",
    columns: &["cell", "sku", "withdrawal", "draw", "lot", "ordinal", "quantity"],
    key: 4,
};

/// Orders as they are.
pub const ORDERS: Table = Table {
    name: "orders",
    columns: &[
        "cell",
        "order_id",
        "buyer",
        "idempotency_key",
        "status",
        "version",
        "amount",
        "currency",
        "created_at",
        "expires_at",
        "updated_at",
        "sequence",
    ],
    key: 2,
};

/// The lines of orders.
pub const ORDER_LINES: Table = Table {
    name: "order_lines",
    columns: &["cell", "order_id", "line", "sku", "sale", "quantity", "amount"],
    key: 3,
};

/// The lots that lines were drawn from, and their prices.
pub const ORDER_DRAWS: Table = Table {
    name: "order_draws",
    columns: &["cell", "order_id", "line", "draw", "lot", "ordinal", "quantity", "unit_price"],
    key: 4,
};

/// Every event of every order.
pub const ORDER_EVENTS: Table = Table {
    name: "order_events",
    columns: &[
        "cell",
        "sequence",
        "order_id",
        "kind",
        "version",
        "occurred_at",
        "actor",
        "request_id",
        "payment_id",
        "detail",
    ],
    key: 2,
};

/// What orders asked for that wait or waited.
pub const STANDBY: Table = Table {
    name: "standby",
    columns: &["cell", "order_id", "sku", "ticket", "max_amount", "sequence"],
    key: 2,
};

/// How orders were shipped.
pub const SHIPMENTS: Table = Table {
    name: "shipments",
    columns: &["cell", "order_id", "carrier", "tracking_number", "shipped_at", "sequence"],
    key: 2,
};

/// Payments as they are.
pub const PAYMENTS: Table = Table {
    name: "payments",
    columns: &[
        "cell",
        "payment_id",
        "order_id",
        "amount",
        "currency",
        "status",
        "refund_reason",
        "refund_failed",
        "created_at",
        "updated_at",
        "sequence",
    ],
    key: 2,
};

/// What providers said and fits no payment.
pub const UNMATCHED_NOTICES: Table = Table {
    name: "unmatched_notices",
    columns: &[
        "cell",
        "sequence",
        "kind",
        "payment_id",
        "order_id",
        "amount",
        "currency",
        "received_at",
    ],
    key: 2,
};

/// Sales as they are.
pub const SALES: Table = Table {
    name: "sales",
    columns: &[
        "cell",
        "sale",
        "revision",
        "name",
        "starts_at",
        "ends_at",
        "per_buyer_limit",
        "paused",
        "ended",
        "created_at",
        "updated_at",
        "sequence",
    ],
    key: 2,
};

/// The SKUs of sales.
pub const SALE_SKUS: Table =
    Table { name: "sale_skus", columns: &["cell", "sale", "sku", "sequence"], key: 3 };

/// Records that operators let sinks pass over.
pub const SKIPPED_RECORDS: Table = Table {
    name: "skipped_records",
    columns: &["cell", "sequence", "sink", "skipped_sequence", "why", "skipped_at"],
    key: 2,
};

/// How far the copy has come.
pub const WATERMARKS: Table =
    Table { name: "watermarks", columns: &["cell", "sequence", "recorded_at", "journal"], key: 1 };

/// All tables that a cell's rows are in.
pub const TABLES: [&Table; 16] = [
    &SKUS,
    &LOTS,
    &WITHDRAWALS,
    &WITHDRAWAL_DRAWS,
    &SALES,
    &SALE_SKUS,
    &ORDERS,
    &ORDER_LINES,
    &ORDER_DRAWS,
    &STANDBY,
    &SHIPMENTS,
    &PAYMENTS,
    &ORDER_EVENTS,
    &UNMATCHED_NOTICES,
    &SKIPPED_RECORDS,
    &WATERMARKS,
];

#[cfg(test)]
mod tests {
    use super::{ORDERS, TABLES};

    #[test]
    fn cell_leads_every_key() {
        for table in TABLES {
            assert_eq!(table.columns[0], "cell", "{}", table.name);
            assert!((1..=table.columns.len()).contains(&table.key));
        }
        assert_eq!(ORDERS.column("status"), 4);
    }
}
