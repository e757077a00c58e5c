//! Notices: what a payment provider's call says.

use sluice_core::command::Notice;
use sluice_core::event::NoticeKind;
use sluice_core::id::RequestId;
use sluice_core::money::{AMOUNT_MAX, Amount, Currency};

use crate::json::write::Writer;
use crate::json::{Document, Fields, Invalid};

/// Longest id of a payment or an order in a notice, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Reads a notice; `None` if its type is none that matters here, for providers tell of much.
///
/// Unlike the bodies of clients, one of a provider may have fields that nobody asked for: providers
/// add some without notice, and a payment must not be lost over it. What is malformed or ambiguous
/// (a field given twice) is refused all the same.
///
/// # Errors
/// What is wrong, with the name of the field.
pub(crate) fn read(bytes: &[u8], request: RequestId) -> Result<Option<Notice>, Invalid> {
    let document = Document::read(bytes)?;
    let fields = document.open_fields();
    let Some(kind) = NoticeKind::parse(fields.text("type")?) else { return Ok(None) };
    let currency = Currency::new(fields.text("currency")?);
    Ok(Some(Notice {
        kind,
        payment: id(&fields, "payment_id")?.into(),
        order: id(&fields, "order_id")?.into(),
        amount: Amount::new(fields.integer("amount", 0, AMOUNT_MAX)?).expect("in range"),
        currency: currency
            .ok_or_else(|| fields.wrong("currency", "must be three capital letters"))?,
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
    json.raw(",\"currency\":\"").raw(notice.currency.as_str()).raw("\"}");
    json.into_bytes()
}

fn id<'v>(fields: &Fields<'v, '_>, name: &str) -> Result<&'v str, Invalid> {
    let text = fields.text(name)?;
    match (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text),
        false => {
            let range = format_args!("must have 1 to {ID_BYTES_MAX} bytes of visible ASCII");
            Err(fields.wrong(name, range))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Notice, NoticeKind, body};
    use crate::json::Invalid;
    use sluice_core::id::RequestId;
    use sluice_core::money::{Amount, Currency};

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
                currency: Currency::new("CNY").expect("a code"),
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
    fn what_is_wrong_is_named() {
        let long = format!("\"{}\"", "x".repeat(65));
        for (field, value) in [
            ("type", "null"),
            ("type", "1"),
            ("payment_id", "\"\""),
            ("payment_id", "7"),
            ("payment_id", "\"a b\""),
            ("payment_id", "\"a\\u0000\""),
            ("payment_id", "\"\\u202ea\""),
            ("payment_id", long.as_str()),
            ("order_id", "null"),
            ("order_id", "[\"a\"]"),
            ("order_id", long.as_str()),
            ("amount", "-1"),
            ("amount", "1.0"),
            ("amount", "\"1\""),
            ("amount", "1e3"),
            ("amount", "9007199254740992"),
            ("currency", "\"cny\""),
            ("currency", "\"CNYX\""),
            ("currency", "null"),
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
