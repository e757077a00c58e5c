//! A copy that is taken away while a sink fills it is made anew.

use sluice_core::sink::{Database, erase, stored};
use sluice_core::storage::DatabaseFile;

use crate::in_sql::copied::on_a_runtime;
use crate::in_sql::serving::{Serving, database, started, until};

fn is_made_anew(database: &Database) {
    let nothing = |cell| assert_eq!(on_a_runtime(erase(database, cell)).expect("erased"), 0);
    nothing(1);
    assert_eq!(on_a_runtime(stored(database, 1)).expect("read"), None);
    let serving = Serving::new(database.clone());
    for round in 1..=3 {
        serving.sell(30);
        if round > 1 {
            serving.caught_up();
        }
        until("there is something", || serving.status().watermark.get() > 0);
        let copied = on_a_runtime(stored(database, 1)).expect("read").expect("something");
        assert_eq!(copied.journal, serving.handle.hash_key().journal().to_string());
        assert!(copied.sequence <= serving.durable() && copied.time > Default::default());
        let rows = on_a_runtime(erase(database, 1)).expect("erased");
        assert!(rows > 2, "{rows}");
        until("it is noticed", || serving.status().rewinds.get() >= round);
        serving.audited();
    }
    nothing(2);
    serving.close();
}

#[test]
fn in_a_file() {
    let folder = tempfile::tempdir().expect("temporary folder");
    is_made_anew(&Database::Sqlite(DatabaseFile::new(folder.path().join("copy.db"))));
}

#[test]
fn on_a_server() {
    let postgres = started();
    is_made_anew(&database(&postgres));
}
