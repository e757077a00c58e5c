//! Which orders may leave the ledger: those whose retention is over and that SQL has stored.
//!
//! A record gets its sequence when its step is staged, and an order does not remember it. So a
//! shard looks now and then at its clock and at what is staged on the node: whatever this shard
//! decided before that moment has one of those sequences. Once SQL has stored all of them, orders
//! that were final before that moment are stored too.

use crate::planted::{self, Bug};
use crate::time::Timestamp;
use crate::watermark::Watermark;

/// What orders wait for before they leave.
#[derive(Clone, Debug)]
pub struct Retention {
    /// How far SQL has come; without it no order leaves.
    pub sql: Option<Watermark>,
    /// How long an order stays after it became final, in microseconds.
    pub retention_us: u64,
}

/// A moment, and the highest sequence that was staged then.
type Moment = (Timestamp, u64);

/// Up to when SQL has stored what a shard's values went through.
#[derive(Debug, Default)]
pub(super) struct Stored {
    through: Option<Moment>,
    awaited: Option<Moment>,
}

impl Stored {
    /// Looks at what SQL has, at `now`, when everything up to `staged` is staged.
    #[inline]
    pub(super) fn look(&mut self, sql: Option<&Watermark>, now: Timestamp, staged: u64) {
        let Some(stored) = sql.map(Watermark::get) else { return };
        if self.through.is_some_and(|(_, sequence)| stored < sequence) {
            // The store was replaced by an older copy.
            self.forget();
        }
        match self.awaited {
            Some((_, sequence)) if stored < sequence => {}
            awaited => {
                self.through = awaited.or(self.through);
                self.awaited = Some((now, staged));
            }
        }
    }

    /// Begins anew: a value has come whose past is another shard's.
    pub(super) fn forget(&mut self) {
        (self.through, self.awaited) = (None, None);
    }
}

impl Retention {
    /// Orders that became final no later than this may leave at `now`; `None`: none may.
    pub(super) fn retires(&self, stored: &Stored, now: Timestamp) -> Option<Timestamp> {
        self.sql.as_ref()?;
        let before = |moment: Timestamp, micros: u64| {
            moment.micros().checked_sub(micros).map(Timestamp::from_micros)
        };
        // What was decided at that very moment may have been staged after it.
        let stored = stored.through.and_then(|(moment, _)| before(moment, 1));
        let over = before(now, self.retention_us);
        match (planted::is(Bug::RetiredUnstored), planted::is(Bug::RetiredEarly)) {
            (true, _) => over,
            (_, true) => stored,
            _ => Some(stored?.min(over?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Retention, Stored};
    use crate::time::Timestamp;
    use crate::watermark::Watermark;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn orders_leave_when_they_are_old_enough_and_stored() {
        let sql = Watermark::default();
        let retention = Retention { sql: Some(sql.clone()), retention_us: 100 };
        let mut stored = Stored::default();
        stored.look(Some(&sql), at(1_000), 7);
        assert_eq!(retention.retires(&stored, at(1_000)), None, "nothing was heard of SQL");
        sql.set(6);
        stored.look(Some(&sql), at(1_010), 9);
        assert_eq!(retention.retires(&stored, at(2_000)), None, "the seventh is missing");
        sql.set(7);
        stored.look(Some(&sql), at(1_020), 9);
        assert_eq!(retention.retires(&stored, at(2_000)), Some(at(999)));
        assert_eq!(retention.retires(&stored, at(1_050)), Some(at(950)), "too young");
        sql.set(9);
        stored.look(Some(&sql), at(1_030), 9);
        assert_eq!(retention.retires(&stored, at(2_000)), Some(at(1_019)));
        sql.set(8);
        stored.look(Some(&sql), at(1_040), 9);
        assert_eq!(retention.retires(&stored, at(2_000)), None, "SQL was rolled back");
    }

    #[test]
    fn without_sql_no_order_leaves() {
        let retention = Retention { sql: None, retention_us: 0 };
        let mut stored = Stored::default();
        stored.look(None, at(1), 0);
        assert_eq!(retention.retires(&stored, Timestamp::MAX), None);
    }
}
