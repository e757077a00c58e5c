//! Sinks, for those who look after them: how far they are, and records that one is to pass over.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use hyper::StatusCode;
use tokio::time::{Instant, sleep};

use sluice_core::command::{Command, SkipRecord};
use sluice_core::event::SinkName;
use sluice_core::limits::TEXT_BYTES_MAX;
use sluice_core::outcome::Outcome;
use sluice_core::sink::SinkStatus;

use crate::buyers::{PathPart, json_response};
use crate::gate::Gate;
use crate::json::Document;
use crate::json::write::Writer;
use crate::problem::{Code, Problem};
use crate::{call, query, sinks};

/// How long a sink may try its record once more before a word about it is turned away.
const TRIED_PATIENCE: Duration = Duration::from_secs(2);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// All sinks.
pub(super) async fn list(
    State(gate): State<Arc<Gate>>,
    request: Request,
) -> Result<Response, Problem> {
    gate.operator(request.headers())?;
    query::none(request.uri())?;
    let mut json = Writer::with_capacity(512);
    json.raw("{\"sinks\":");
    sinks::list(&mut json, &gate);
    json.raw(",\"journal_sequence\":").number(gate.handle.journal_metrics().durable.get());
    json.raw(",\"server_time\":").time(gate.handle.now()).raw("}");
    Ok(json_response(StatusCode::OK, json))
}

/// Lets a sink pass over the record that it has stopped at.
pub(super) async fn skip(
    State(gate): State<Arc<Gate>>,
    path: PathPart,
    mut request: Request,
) -> Result<Response, Problem> {
    let bytes = super::admitted(&gate, &mut request).await?;
    let document = Document::read(&bytes)?;
    let fields = document.fields(&["sequence", "why"])?;
    let sequence = fields.integer("sequence", 1, i64::MAX as u64)?;
    let why = Box::from(fields.plain_text("why", TEXT_BYTES_MAX)?);
    let status = named(&gate, &path)?;
    let (sink, request) = (status.name(), super::request_id(&request));
    let skip = SkipRecord { sink, sequence, why, request };
    // Seen through even if whoever asked has gone: a promise must be kept or taken back.
    let said = tokio::spawn(say(Arc::clone(&gate), Arc::clone(status), skip));
    said.await.unwrap_or_else(|_| Err(Problem::new(Code::Internal, "the word was lost")))?;
    let mut json = Writer::with_capacity(96);
    json.raw("{\"sink\":\"").raw(sink.as_str());
    json.raw("\",\"skipped_sequence\":").number(sequence).raw("}");
    Ok(json_response(StatusCode::OK, json))
}

/// Says in the journal that a sink is to pass over the record that it has stopped at.
async fn say(gate: Arc<Gate>, status: Arc<SinkStatus>, skip: SkipRecord) -> Result<(), Problem> {
    let sequence = skip.sequence;
    promise(&status, sequence).await?;
    match call::ask(&gate, Command::SkipRecord(Box::new(skip))).await {
        Ok(Outcome::Noted) => Ok(()),
        Ok(other) => Err(call::unexpected(&other)),
        // It may be in the journal after all: then the sink finds it there.
        Err(problem) if problem.code == Code::UnknownOutcome => Err(problem),
        Err(problem) => {
            status.withdraw_promise(sequence);
            Err(problem)
        }
    }
}

/// The sink that a path names.
fn named<'g>(gate: &'g Gate, path: &PathPart) -> Result<&'g Arc<SinkStatus>, Problem> {
    let name = path.as_ref().ok().and_then(|part| SinkName::parse(part));
    let found = gate.sinks.iter().find(|sink| Some(sink.status.name()) == name);
    let found = found.ok_or_else(|| Problem::new(Code::NotFound, "no sink of this name"))?;
    Ok(&found.status)
}

/// Makes sure that the sink has stopped at this record and leaves it alone from now on.
async fn promise(status: &SinkStatus, sequence: u64) -> Result<(), Problem> {
    let until = Instant::now() + TRIED_PATIENCE;
    while !status.promise_skip(sequence) {
        // It may just be trying it once more.
        if status.poison() != Some(sequence) || Instant::now() >= until {
            let detail = match status.poison() {
                Some(stopped_at) => format!("the sink has stopped at record {stopped_at}"),
                None => "the sink has not stopped at a record".to_owned(),
            };
            return Err(Problem::new(Code::SinkState, detail));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
