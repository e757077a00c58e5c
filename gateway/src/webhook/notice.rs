//! Notices: what a payment provider's call says.

use std::borrow::Cow;

use sluice_core::command::Notice;
use sluice_core::event::NoticeKind;
use sluice_core::id::RequestId;
use sluice_core::limits::{NOTICE_CURRENCY_BYTES_MAX, NOTICE_ID_BYTES_MAX};
use sluice_core::money::{AMOUNT_MAX, Amount};

use crate::json::write::Writer;
use crate::json::{Document, Invalid};

/// Reads a notice; `None` if its type is none that matters here, for providers tell of much.
///
/// Unlike the bodies of clients, one of a provider may have fields that nobody asked for: providers
/// add some without notice, and a payment must not be lost over it. Ids and a currency that are none
/// of ours are texts all the same: they fit no payment, and are kept for people to look into. What
/// is malformed, ambiguous (a field given twice) or of another type is refused, and so is an amount
/// that is no whole number of minor units in range.
///
/// # Errors
/// What is wrong, with the name of the field.
pub(crate) fn read(bytes: &[u8], request: RequestId) -> Result<Option<Notice>, Invalid> {
    let document = Document::read(bytes)?;
    let fields = document.open_fields();
    let Some(kind) = NoticeKind::parse(fields.text("type")?) else { return Ok(None) };
    Ok(Some(Notice {
        kind,
        payment: kept(fields.text("payment_id")?, NOTICE_ID_BYTES_MAX).into(),
        order: kept(fields.text("order_id")?, NOTICE_ID_BYTES_MAX).into(),
        amount: Amount::new(fields.integer("amount", 0, AMOUNT_MAX)?).expect("in range"),
        currency: kept(fields.text("currency")?, NOTICE_CURRENCY_BYTES_MAX).into(),
        request,
    }))
}

/// The body of a call that says so.
pub(crate) fn body(notice: &Notice) -> Vec<u8> {
    let mut json = Writer::with_capacity(192);
    json.raw("{\"type\":\"").raw(notice.kind.as_str());
    json.raw("\",\"payment_id\":").string(&notice.payment);
    json.raw(",\"order_id\":").string(&notice.order);
    json.raw(",\"amount\":").number(notice.amount.minor());
    json.raw(",\"currency\":").string(&notice.currency).raw("}");
    json.into_bytes()
}

/// As much of a provider's words as is kept. Control characters, which a terminal may act on and a
/// database may not store, are replaced.
fn kept(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max && !text.contains(char::is_control) {
        return text.into();
    }
    let text = text.replace(char::is_control, "\u{FFFD}");
    text[..text.floor_char_boundary(bytes_max)].to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::{Notice, NoticeKind, body};
    use crate::json::Invalid;
    use sluice_core::id::RequestId;
    use sluice_core::money::Amount;

    const GOOD: &str = r#"{"type":"payment.succeeded","payment_id":"p1","order_id":"o1","amount":599900,"currency":"CNY"}"#;

    fn read(bytes: &[u8]) -> Result<Option<Notice>, Invalid> {
        super::read(bytes, RequestId::NONE)
    }

    #[test]
    fn what_is_written_is_read() {
        for (kind, name) in NoticeKind::ALL {
            let notice = Notice {
                kind,
                payment: "p\"1".into(),
                order: "o\\1".into(),
                amount: Amount::new(599_900).expect("in range"),
                currency: "CNY".into(),
                request: RequestId::NONE,
            };
            assert_eq!((kind.as_str(), read(&body(&notice))), (name, Ok(Some(notice))));
        }
        let notice = read(GOOD.as_bytes()).expect("right").expect("of a known type");
        assert_eq!(body(&notice), GOOD.as_bytes());
    }

    #[test]
    fn a_provider_may_add_fields_and_types() {
        let more = GOOD.replace("{", r#"{"data":{"fee":1.5,"tags":[null]},"#);
        assert_eq!(read(more.as_bytes()), read(GOOD.as_bytes()));
        for name in ["payment.created", "refund.Succeeded", "payment.succeeded ", ""] {
            let other = format!(r#"{{"type":"{name}","id":7}}"#);
            assert_eq!(read(other.as_bytes()), Ok(None), "{name}");
        }
    }

    #[test]
    fn odd_words_are_kept_as_far_as_there_is_room() {
        let long = "é".repeat(200);
        for (said, id, currency) in [
            ("", "", ""),
            ("cny", "cny", "cny"),
            ("a b", "a b", "a b"),
            ("a\\u0000\\u001bb", "a\u{FFFD}\u{FFFD}b", "a\u{FFFD}\u{FFFD}b"),
            ("CNYX", "CNYX", "CNYX"),
            (long.as_str(), &long[..64], &long[..16]),
            (&format!("x{long}"), &format!("x{}", &long[..62]), &format!("x{}", &long[..14])),
        ] {
            let body = GOOD.replace("\"p1\"", &format!("\"{said}\""));
            let body = body.replace("\"o1\"", &format!("\"{said}\""));
            let body = body.replace("\"CNY\"", &format!("\"{said}\""));
            let notice = read(body.as_bytes()).expect(&body).expect("of a known type");
            assert_eq!((&*notice.payment, &*notice.order, &*notice.currency), (id, id, currency));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (field, value) in [
            ("type", "null"),
            ("type", "1"),
            ("payment_id", "7"),
            ("order_id", "null"),
            ("order_id", "[\"a\"]"),
            ("amount", "-1"),
            ("amount", "1.0"),
            ("amount", "\"1\""),
            ("amount", "1e3"),
            ("amount", "9007199254740992"),
            ("currency", "null"),
            ("currency", "156"),
        ] {
            let mut parts: Vec<String> = Vec::new();
            for (name, good) in [
                ("type", "\"refund.failed\""),
                ("payment_id", "\"p\""),
                ("order_id", "\"o\""),
                ("amount", "1"),
                ("currency", "\"EUR\""),
            ] {
                let value = if name == field { value } else { good };
                parts.push(format!("\"{name}\":{value}"));
            }
            let body = format!("{{{}}}", parts.join(","));
            let Invalid(what) = read(body.as_bytes()).expect_err(&body);
            assert!(what.starts_with(&format!("{field}: must")), "{body}: {what}");
            parts.retain(|part| !part.starts_with(&format!("\"{field}\"")));
            let body = format!("{{{}}}", parts.join(","));
            let missing = Err(Invalid(format!("{field}: is missing")));
            assert_eq!(read(body.as_bytes()), missing);
        }
        for malformed in ["", "[]", "{", "{}x", r#"{"type":"a","type":"payment.failed"}"#] {
            assert!(read(malformed.as_bytes()).is_err(), "{malformed}");
        }
    }
}
