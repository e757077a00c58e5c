//! Where the results of a run go: standard output and files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use sluice_loadgen::{Distribution, Report, Result};

use crate::files::ResultFile;
use crate::flags::RunFlags;
use crate::values::setting;

/// The places of all results, known to be writable.
pub(crate) struct Results {
    /// The text goes to standard output unless the JSON does.
    is_json_shown: bool,
    json: Option<ResultFile>,
    html: Option<ResultFile>,
    hgrm: Option<ResultFile>,
    hgrm_raw: Option<ResultFile>,
}

impl Results {
    /// Makes sure that all of them can be written.
    pub(crate) fn open(flags: &RunFlags) -> Result<Results> {
        let is_json_shown = flags.json.as_deref() == Some(Path::new("-"));
        let json = flags.json.as_ref().filter(|_| !is_json_shown);
        let places = [
            ("json", json),
            ("html", flags.html.as_ref()),
            ("hgrm", flags.hgrm.as_ref()),
            ("hgrm-raw", flags.hgrm_raw.as_ref()),
        ];
        check_distinct(&places)?;
        let open = |(key, path): (&'static str, Option<&PathBuf>)| {
            path.map(|path| ResultFile::open(key, path)).transpose()
        };
        let [json, html, hgrm, hgrm_raw] = places;
        Ok(Results {
            is_json_shown,
            json: open(json)?,
            html: open(html)?,
            hgrm: open(hgrm)?,
            hgrm_raw: open(hgrm_raw)?,
        })
    }

    /// Shows the report and writes all files.
    pub(crate) fn keep(self, report: &Report) -> Result<()> {
        // Whoever closed standard output has read enough; the exit code still tells.
        let _ = match self.is_json_shown {
            true => std::io::stdout().write_all(json(report).as_bytes()),
            false => write!(std::io::stdout(), "{report}"),
        };
        let hgrm = |distribution: &Option<Distribution>| {
            distribution.as_ref().map(Distribution::hgrm).unwrap_or_default()
        };
        if let Some(file) = self.json {
            file.keep(&json(report))?;
        }
        if let Some(file) = self.html {
            file.keep(&report.html())?;
        }
        if let Some(file) = self.hgrm {
            file.keep(&hgrm(&report.distribution))?;
        }
        if let Some(file) = self.hgrm_raw {
            file.keep(&hgrm(&report.raw_distribution))?;
        }
        Ok(())
    }
}

fn json(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("a report has names for all fields");
    text.push('\n');
    text
}

fn check_distinct(places: &[(&'static str, Option<&PathBuf>)]) -> Result<()> {
    for (index, (key, path)) in places.iter().enumerate() {
        let Some(path) = path else { continue };
        if let Some((other, _)) =
            places[..index].iter().find(|(_, earlier)| *earlier == Some(*path))
        {
            let range = format!("--{other} is written there already");
            return Err(setting(key, &path.display(), range));
        }
    }
    Ok(())
}
