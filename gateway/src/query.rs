//! Query parameters and fields of forms: each known, each once.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Uri;

use crate::json::write::Writer;
use crate::problem::Problem;

/// The parameters of a request, of which there may be only those `known`, each once.
pub(crate) struct Query<'u>(Vec<(Cow<'u, str>, Cow<'u, str>)>);

impl<'u> Query<'u> {
    /// Reads the query of `uri`.
    pub(crate) fn read(uri: &'u Uri, known: &[&str]) -> Result<Self, Problem> {
        Self::of(uri.query().unwrap_or_default(), known)
    }

    /// Reads pairs as a query spells them.
    pub(crate) fn of(text: &'u str, known: &[&str]) -> Result<Self, Problem> {
        let mut parameters: Vec<(Cow<'u, str>, Cow<'u, str>)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !known.contains(&&*name) {
                let shown: String = name.chars().take(64).collect();
                return Err(Problem::invalid(format!("{shown}: unknown parameter")));
            }
            if parameters.iter().any(|(earlier, _)| *earlier == name) {
                return Err(Problem::invalid(format!("{name}: given more than once")));
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// How many a page is to show: `limit`, 1 … `most`, or `usual` if it is not given.
    pub(crate) fn limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        let limit = self.number("limit", 1, most as u64)?;
        Ok(limit.map_or(usual.min(most), |limit| limit as usize))
    }

    /// A whole number, `least` … `most`, if it is given.
    pub(crate) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = whole_number(text).filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| {
            Problem::invalid(format!("{name}: must be a whole number from {least} to {most}"))
        })
    }

    /// Where the page is to begin: what `read` makes of the bytes in `cursor`, if it is given.
    pub(crate) fn cursor<T>(
        &self,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| read(&bytes))
            .map(Some)
            .ok_or_else(|| Problem::invalid("cursor: must be the next_cursor of an earlier page"))
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Writes where a page ended, if there is more behind it.
pub(crate) fn end_of_page(json: &mut Writer, place: Option<&[u8]>) {
    let cursor = place.map(|place| URL_SAFE_NO_PAD.encode(place));
    json.raw(",\"next_cursor\":").name(cursor.as_deref());
}

/// Refuses any query parameter.
pub(crate) fn none(uri: &Uri) -> Result<(), Problem> {
    Query::read(uri, &[]).map(|_| ())
}

/// Undoes percent-encoding (RFC 3986, 2.1), and nothing else: `+` stays what it is.
fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let wrong = || Problem::invalid("a parameter is wrongly percent-encoded");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
        bytes.push((high << 4 | low) as u8);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| wrong())
}

fn whole_number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::{Query, Writer, end_of_page};
    use hyper::Uri;

    fn read(text: &str) -> Result<Option<String>, String> {
        let uri: Uri = format!("/x{text}").parse().expect("a URI");
        let query = Query::read(&uri, &["limit", "status"]);
        query.map(|query| query.get("limit").map(str::to_owned)).map_err(|p| p.detail.into_owned())
    }

    #[test]
    fn parameters_are_known_and_given_once() {
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("?"), Ok(None));
        assert_eq!(read("?limit=2&status=a"), Ok(Some("2".to_owned())));
        assert_eq!(read("?limit=%32"), Ok(Some("2".to_owned())));
        assert_eq!(read("?limi%74=+"), Ok(Some("+".to_owned())));
        assert_eq!(read("?limits=2"), Err("limits: unknown parameter".to_owned()));
        assert_eq!(read("?limit=2&limi%74=2"), Err("limit: given more than once".to_owned()));
        for wrong in ["?limit=%", "?limit=%3", "?limit=%zz", "?limit=%ff", "?limit=%+1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cursor_is_the_one_that_was_given() {
        for (text, bytes) in
            [("", Some(&b""[..])), ("AAE", Some(&[0, 1])), ("AAE=", None), ("*", None)]
        {
            let uri: Uri = format!("/x?cursor={text}").parse().expect("a URI");
            let query = Query::read(&uri, &["cursor"]).expect("right");
            let read = query.cursor(|bytes| Some(bytes.to_vec())).ok().flatten();
            assert_eq!(read.as_deref(), bytes, "{text}");
            assert!(query.cursor(|_| None::<()>).is_err());
        }
        let mut json = Writer::default();
        end_of_page(&mut json, Some(&[0, 1]));
        assert_eq!(json.into_bytes(), br#","next_cursor":"AAE""#);
    }
}
