//! What a shop asks of the copy goes by an index, in either database.

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use sluice_core::limits::DEFAULT;

use crate::in_sql::copied::{Copied, on_a_runtime};
use crate::in_sql::serving::{database, started};
use crate::living::selling::sell;

/// Questions of `docs/sql-schema.md`, and the index that each goes by.
const QUESTIONS: [(&str, &str); 5] = [
    (
        "SELECT order_id FROM orders WHERE cell = 1 AND buyer = 'buyer-3' \
         ORDER BY created_at DESC, order_id DESC LIMIT 20",
        "orders_of_buyer",
    ),
    (
        "SELECT order_id FROM orders WHERE cell = 1 AND buyer = 'buyer-3' \
         AND (created_at, order_id) < (1794355200000000, '01KA') \
         ORDER BY created_at DESC, order_id DESC LIMIT 20",
        "orders_of_buyer",
    ),
    (
        "SELECT order_id FROM order_lines WHERE cell = 1 AND sku = 'sku-1' \
         AND order_id >= '01KA0000000000000000000000' AND order_id < '01KB0000000000000000000000'",
        "order_lines_of_sku",
    ),
    (
        "SELECT order_id, expires_at FROM orders WHERE cell = 1 AND status = 'reserved' \
         ORDER BY expires_at, order_id LIMIT 20",
        "orders_unpaid",
    ),
    (
        "SELECT payment_id FROM payments WHERE cell = 1 AND status = 'refunding' \
         ORDER BY payment_id LIMIT 20",
        "payments_to_give_back",
    ),
];

#[test]
fn questions_go_by_an_index_in_a_file() {
    let copied = Copied::new(60);
    on_a_runtime(async {
        let options = SqliteConnectOptions::new().filename(copied.path());
        let mut connection = options.connect().await.expect("opened");
        for (question, index) in QUESTIONS {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {question}"));
            let rows = connection.fetch_all(explain).await.expect("explained");
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index) && !plan.contains("SCAN"), "{question}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{question}: {plan}");
        }
        connection.close().await.expect("closed");
    });
}

#[test]
fn questions_go_by_an_index_on_a_server() {
    let postgres = started();
    let there = database(&postgres);
    let _copied = Copied::kept_in(|_| there, DEFAULT, |handle| sell(handle, 60));
    on_a_runtime(async {
        let mut connection = PgConnection::connect(&postgres.url()).await.expect("opened");
        // So few rows are read whole otherwise.
        let set = "ANALYZE; SET enable_seqscan = off; SET enable_bitmapscan = off; \
                   SET enable_sort = off";
        connection.execute(set).await.expect("set");
        for (question, index) in QUESTIONS {
            let explain = AssertSqlSafe(format!("EXPLAIN {question}"));
            let rows = connection.fetch_all(explain).await.expect("explained");
            let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
            let plan = plan.join("\n");
            assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{question}: {plan}");
            assert!(!plan.contains("Sort"), "{question}: {plan}");
        }
        connection.close().await.expect("closed");
    });
}
