//! A connection to the copy in SQL that is opened when it is needed, and again when the file is
//! another one or the server does not answer any more; and how far the copy must be to be believed.

use std::sync::Arc;
use std::time::Duration;

use sluice_core::engine::Handle;
use sluice_core::sink::{Database, Reading, SinkError, SinkStatus, Trouble};
use tokio::time::{Instant, sleep};

/// How long the sink may take to open the database, before nobody can tell what stands there: less than
/// those wait who ask.
const JUDGED_WITHIN: Duration = Duration::from_millis(1_500);

/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How far the copy was. One that has fewer records is an older one: what is missing there may be in
/// the newer one, and what is there may be old.
#[derive(Clone)]
pub(crate) struct Reached {
    status: Arc<SinkStatus>,
    /// The last sequence that was recovered: orders that retired before this start are in records up
    /// to here.
    recovered: u64,
}

impl Reached {
    /// As far as this start knows, which recovered records up to this sequence.
    pub(crate) fn new(status: Arc<SinkStatus>, recovered: u64) -> Self {
        Self { status, recovered }
    }

    /// A copy with this last sequence, or a later one, has every order that has left the ledger until
    /// now. To be asked before the copy is: meanwhile it goes on.
    pub(crate) fn least(&self) -> u64 {
        self.recovered.max(self.status.watermark_max.get())
    }
}

/// The connection, if there is one.
pub(crate) struct CopyConnection {
    database: Database,
    cell: u16,
    journal: String,
    status: Arc<SinkStatus>,
    reading: Option<Reading>,
}

impl CopyConnection {
    /// To a database, which need not be there yet, with a copy of the journal of this engine. The
    /// sink of this status fills it.
    pub(crate) fn new(database: Database, status: Arc<SinkStatus>, handle: &Handle) -> Self {
        let journal = handle.hash_key().journal().to_string();
        Self { database, cell: handle.cell(), journal, status, reading: None }
    }

    /// The connection, open.
    ///
    /// # Errors
    /// What the database says; it holds the copy of another journal, or of another past.
    pub(crate) async fn open(&mut self) -> Result<&mut Reading, SinkError> {
        self.must_be_own().await?;
        let is_replaced = match &self.reading {
            Some(reading) => reading.is_replaced()?,
            None => true,
        };
        if is_replaced {
            let mut reading = Reading::open(self.database.clone()).await?;
            reading.must_be_of(self.cell, &self.journal).await?;
            self.reading = Some(reading);
        }
        Ok(self.reading.as_mut().expect("it was opened"))
    }

    /// Makes sure that the sink has found it to be a copy of this journal's past; after a start that takes
    /// a moment.
    async fn must_be_own(&self) -> Result<(), SinkError> {
        let until = Instant::now() + JUDGED_WITHIN;
        loop {
            let what = match self.status.is_own() {
                Some(true) => return Ok(()),
                Some(false) => {
                    "the database is a copy of another journal, or of another past of this one: \
                     rebuild it"
                }
                None if Instant::now() < until => {
                    sleep(LOOK_EVERY).await;
                    continue;
                }
                None => "nobody has been able to open the database since the server started",
            };
            return Err(SinkError::new(Trouble::Foreign, what));
        }
    }

    /// Gives it up: something is wrong with it.
    pub(crate) fn close(&mut self) {
        self.reading = None;
    }
}
