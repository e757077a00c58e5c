//! Why a run could not be made, sorted by who must act.

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller: a setting is wrong.
    #[error("{key}: {value} is not allowed: {range}")]
    Setting {
        /// The setting's name, as its flag has it.
        key: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        range: String,
    },
    /// The operator of the target: nobody answers there.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// What was called.
        url: String,
        /// What came back.
        why: String,
    },
    /// The operator of the target: it answers, but not what the run needs to begin.
    #[error("{call} answered {answer}; {needed}")]
    Refused {
        /// The call.
        call: String,
        /// Status and body, shortened.
        answer: String,
        /// What the run needed from it.
        needed: String,
    },
    /// The machine: a system call that must not fail did.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// A wrong setting.
    pub(crate) fn setting(
        key: &'static str,
        value: &(impl ToString + ?Sized),
        range: impl Into<String>,
    ) -> Error {
        Error::Setting { key, value: value.to_string(), range: range.into() }
    }

    /// A failed system call.
    pub(crate) fn system(what: &'static str, source: impl Into<std::io::Error>) -> Error {
        Error::System { what, source: source.into() }
    }
}

/// The result of whatever may keep a run from being made.
pub type Result<T> = std::result::Result<T, Error>;
