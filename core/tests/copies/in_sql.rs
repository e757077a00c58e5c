//! The journal of a real engine, its SQL copy, and the audit that compares them (I7, I8).

mod copied;
mod erasing;
mod faults;
mod life;
mod questions;
mod serving;
mod tampering;

use sluice_core::audit::AuditError;
use sluice_core::limits::{DEFAULT, Limits, TINY};

use copied::Copied;

#[test]
fn a_copy_is_equal_in_as_many_passes_as_it_takes() {
    let copied = Copied::new(20);
    // TINY holds three orders a pass and reads two rows at a time.
    for limits in [DEFAULT, TINY] {
        let report = copied.audit(limits);
        assert!(report.is_clean() && report.is_whole(), "{report:?}");
        assert_eq!(
            (report.first, report.through, report.last),
            (1, copied.durable, copied.durable)
        );
        let rows = |table| report.compared.iter().find(|(name, _)| *name == table).map(|t| t.1);
        assert_eq!(
            (rows("orders"), rows("order_lines"), rows("skus")),
            (Some(20), Some(24), Some(3))
        );
        assert_eq!((rows("order_events"), rows("lots")), (Some(27), Some(6)));
        assert_eq!((rows("withdrawals"), rows("withdrawal_draws")), (Some(1), Some(1)));
    }
}

#[test]
fn lag_is_no_difference_and_a_copy_goes_on_where_it_ended() {
    let copied = Copied::new(6);
    std::fs::remove_file(copied.path()).expect("removed");
    let half = copied.durable / 2;
    copied.copy_up_to(half);
    let report = copied.audit(DEFAULT);
    assert!(report.is_clean(), "{report:?}");
    assert!(report.through < copied.durable && report.last == copied.durable, "{report:?}");
    let status = copied.copy();
    assert_eq!(status.records.get(), copied.durable - report.through, "nothing is stored twice");
    assert!(copied.audit(DEFAULT).is_clean());
}

#[test]
fn a_copy_of_another_journal_is_told() {
    let copied = Copied::new(2);
    assert_eq!(copied.tamper("UPDATE watermarks SET journal = 'another'"), 1);
    let report = copied.audit(DEFAULT);
    assert_eq!(report.differences_count, 1);
    assert_eq!(
        (report.differences[0].table, report.differences[0].column),
        ("watermarks", "journal")
    );
}

#[test]
fn a_copy_that_has_more_than_the_journal_is_no_damage_of_the_journal() {
    let copied = Copied::new(2);
    assert_eq!(copied.tamper("UPDATE watermarks SET sequence = sequence + 7"), 1);
    match copied.audit_with(DEFAULT, &mut |_| {}) {
        Err(AuditError::Ahead { through, last }) => {
            assert_eq!((through, last), (copied.durable + 7, copied.durable));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_journal_that_is_trimmed_meanwhile_is_told_and_no_difference() {
    let copied = of_two_segments();
    let first = copied.folder.path().join("journal").join("0000000000000001.segment");
    // The pass over events has it open; the pass over orders finds it gone.
    let mut trim = |_| {
        let _ = std::fs::remove_file(&first);
    };
    let report = copied.audit_with(DEFAULT, &mut trim);
    assert!(matches!(report, Err(AuditError::Trimmed)), "{report:?}");
}

/// A copy of a journal that has more than one segment.
fn of_two_segments() -> Copied {
    // Frames take at least a sector each: more than one of these segments holds.
    let segment = 1 << 20;
    let limits = Limits { segment_bytes: segment, first_segment_bytes: segment, ..DEFAULT };
    Copied::within(limits, segment / 512)
}

#[test]
fn what_is_left_of_a_trimmed_journal_is_compared() {
    let copied = of_two_segments();
    let journal = copied.folder.path().join("journal");
    std::fs::remove_file(journal.join("0000000000000001.segment")).expect("removed");
    let report = copied.audit(DEFAULT);
    assert!(report.is_clean() && !report.is_whole(), "{report:?}");
    assert!(report.first > 1 && report.through == copied.durable, "{report:?}");
    let rows = |table| report.compared.iter().find(|(name, _)| *name == table).map(|t| t.1);
    assert!(rows("orders").is_some_and(|rows| rows > 0), "{report:?}");
    let last = "WHERE sequence = (SELECT MAX(sequence) FROM orders)";
    assert_eq!(copied.tamper(&format!("UPDATE orders SET version = 9 {last}")), 1);
    assert_eq!(copied.audit(DEFAULT).differences_count, 1);
    assert_eq!(copied.tamper(&format!("DELETE FROM orders {last}")), 1);
    assert_eq!(copied.audit(DEFAULT).differences_count, 1);
    // One that ends before what is left can be compared with nothing.
    assert_eq!(copied.tamper("UPDATE watermarks SET sequence = 3"), 1);
    let report = copied.audit_with(DEFAULT, &mut |_| {});
    assert!(matches!(report, Err(AuditError::Behind { through: 3, .. })), "{report:?}");
}
