//! `If-Match`: a change only if nobody else has made one meanwhile (RFC 9110, 13.1.1).

use hyper::HeaderMap;
use hyper::header::IF_MATCH;

use crate::problem::{Code, Problem};

/// What `If-Match` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// It is not there.
    Nothing,
    /// `*`: there must be one.
    Existing,
    /// One of these; other tags were never given out.
    Revisions(Vec<u32>),
}

pub(crate) fn if_match(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    let wrong = || Problem::invalid("If-Match: must be * or quoted revisions");
    let mut revisions = Vec::new();
    let mut given = false;
    for value in headers.get_all(IF_MATCH) {
        given = true;
        let text = value.to_str().map_err(|_| wrong())?.trim();
        if text == "*" {
            return Ok(IfMatch::Existing);
        }
        for tag in text.split(',').map(str::trim) {
            let bare = tag.strip_prefix("W/").unwrap_or(tag);
            let number = bare.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let number = number.ok_or_else(wrong)?;
            // A weak tag never matches strongly; revisions count from 1.
            let revision = number.parse().ok().filter(|revision: &u32| {
                bare == tag && *revision > 0 && revision.to_string() == number
            });
            revisions.extend(revision);
        }
    }
    Ok(if given { IfMatch::Revisions(revisions) } else { IfMatch::Nothing })
}

impl IfMatch {
    /// The revision that a command must find; `present` tells what there is, if it needs to be
    /// known: a command can be told one revision, not several.
    ///
    /// # Errors
    /// 412 if what there is does not fit; whatever `present` refuses.
    pub(crate) async fn revision(
        self,
        present: impl AsyncFnOnce() -> Result<Option<u32>, Problem>,
    ) -> Result<Option<u32>, Problem> {
        let revisions = match self {
            Self::Nothing => return Ok(None),
            Self::Revisions(one) if one.len() == 1 => return Ok(Some(one[0])),
            Self::Revisions(revisions) => Some(revisions),
            Self::Existing => None,
        };
        let fits = |found: &u32| revisions.as_ref().is_none_or(|wanted| wanted.contains(found));
        match present().await?.filter(fits) {
            Some(revision) => Ok(Some(revision)),
            None => Err(Problem::new(
                Code::PreconditionFailed,
                "If-Match: it is at another revision, or there is none of this name",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IfMatch, if_match};
    use hyper::HeaderMap;
    use hyper::header::{HeaderValue, IF_MATCH};

    fn read(values: &[&str]) -> Option<IfMatch> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_str(value).expect("a value"));
        }
        if_match(&headers).ok()
    }

    #[test]
    fn entity_tags_are_read_as_rfc_9110_says() {
        assert_eq!(read(&[]), Some(IfMatch::Nothing));
        assert_eq!(read(&["*"]), Some(IfMatch::Existing));
        assert_eq!(read(&["\"7\""]), Some(IfMatch::Revisions(vec![7])));
        assert_eq!(read(&["\"7\", \"8\"", "\"9\""]), Some(IfMatch::Revisions(vec![7, 8, 9])));
        for never in ["W/\"7\"", "\"x\"", "\"07\"", "\"0\"", "\"+7\"", "\"\""] {
            assert_eq!(read(&[never]), Some(IfMatch::Revisions(vec![])), "{never}");
        }
        for wrong in ["7", "\"7", "", "\"7\" \"8\""] {
            assert!(!matches!(read(&[wrong]), Some(IfMatch::Revisions(tags)) if !tags.is_empty()));
        }
    }
}
