//! A connection to the copy in SQL that is opened when it is needed, and again when the file is
//! another one or the server does not answer any more.

use sluice_core::sink::{Database, Reading, SinkError};

/// The connection, if there is one.
pub(crate) struct CopyConnection {
    database: Database,
    reading: Option<Reading>,
}

impl CopyConnection {
    /// To a database, which need not be there yet.
    pub(crate) fn new(database: Database) -> Self {
        Self { database, reading: None }
    }

    /// The connection, open.
    ///
    /// # Errors
    /// What the database says.
    pub(crate) async fn open(&mut self) -> Result<&mut Reading, SinkError> {
        let is_replaced = match &self.reading {
            Some(reading) => reading.is_replaced()?,
            None => true,
        };
        if is_replaced {
            self.reading = Some(Reading::open(self.database.clone()).await?);
        }
        Ok(self.reading.as_mut().expect("it was opened"))
    }

    /// Gives it up: something is wrong with it.
    pub(crate) fn close(&mut self) {
        self.reading = None;
    }
}
