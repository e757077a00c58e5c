//! How the sandbox is told to behave: what the page's form, or a program in its place, asks for.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use sluice_core::command::Notice;
use sluice_core::event::NoticeKind;
use sluice_core::id::RequestId;
use sluice_core::money::{AMOUNT_MAX, Amount};

use crate::json::{Document, Value};
use crate::problem::Problem;
use crate::query::Query;

use super::PaymentFacts;
use super::calls::Delivery;

/// Latest that a call may be asked for, in seconds.
pub(super) const DELAY_SECONDS_MAX: u64 = 600;

/// Most times that each call may be made.
pub(super) const TIMES_MAX: u64 = 5;

const FIELDS: [&str; 6] =
    ["outcome", "delay_seconds", "times", "out_of_order", "amount", "refund_fails"];

/// What is to become of a payment, and how badly it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manners {
    is_paid: bool,
    delay_seconds: u64,
    times: u32,
    /// The contrary is called too, behind what is true: a failure that comes after the success it
    /// went before, or the other way round.
    out_of_order: bool,
    /// What is called instead of the payment's amount.
    amount: Option<Amount>,
    /// If the payment is to be refunded later, that fails.
    pub(super) refund_fails: bool,
}

impl Manners {
    /// Reads a form. A box that is ticked is there, one that is not is missing; an amount left
    /// empty is none.
    pub(super) fn of_form(bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes);
        let text = text.map_err(|_| Problem::invalid("the form is not UTF-8"))?;
        // No field holds a space or a plus: a number with one is none.
        let form = Query::of(text, &FIELDS)?;
        let has_amount = form.get("amount").is_some_and(|text| !text.is_empty());
        let amount = if has_amount { form.number("amount", 0, AMOUNT_MAX)? } else { None };
        Ok(Self {
            is_paid: is_paid(form.get("outcome"))?,
            delay_seconds: form.number("delay_seconds", 0, DELAY_SECONDS_MAX)?.unwrap_or(0),
            times: form.number("times", 1, TIMES_MAX)?.unwrap_or(1) as u32,
            out_of_order: form.get("out_of_order").is_some(),
            amount: amount.and_then(Amount::new),
            refund_fails: form.get("refund_fails").is_some(),
        })
    }

    /// Reads an object of JSON; all but `outcome` may be left out.
    pub(super) fn of_json(bytes: &[u8]) -> Result<Self, Problem> {
        let document = Document::read(bytes)?;
        let fields = document.fields(&FIELDS)?;
        let amount = match fields.get("amount") {
            Some(Value::Null) => None,
            _ => fields.optional_integer("amount", 0, AMOUNT_MAX)?,
        };
        let delay = fields.optional_integer("delay_seconds", 0, DELAY_SECONDS_MAX)?;
        Ok(Self {
            is_paid: is_paid(Some(fields.text("outcome")?))?,
            delay_seconds: delay.unwrap_or(0),
            times: fields.optional_integer("times", 1, TIMES_MAX)?.unwrap_or(1) as u32,
            out_of_order: fields.optional_bool("out_of_order")?.unwrap_or(false),
            amount: amount.and_then(Amount::new),
            refund_fails: fields.optional_bool("refund_fails")?.unwrap_or(false),
        })
    }

    /// The calls that this makes of a payment.
    pub(super) fn delivery(&self, facts: &PaymentFacts) -> Delivery {
        let notice = |is_paid| Notice {
            kind: if is_paid { NoticeKind::PaymentSucceeded } else { NoticeKind::PaymentFailed },
            payment: facts.payment.clone().into(),
            order: facts.order.clone().into(),
            amount: self.amount.unwrap_or(facts.amount),
            currency: facts.currency.as_str().into(),
            request: RequestId::NONE,
        };
        let mut notices: SmallVec<[Notice; 2]> = smallvec![notice(self.is_paid)];
        if self.out_of_order {
            notices.push(notice(!self.is_paid));
        }
        Delivery { delay: Duration::from_secs(self.delay_seconds), times: self.times, notices }
    }
}

fn is_paid(outcome: Option<&str>) -> Result<bool, Problem> {
    match outcome {
        Some("pay") => Ok(true),
        Some("fail") => Ok(false),
        _ => Err(Problem::invalid("outcome: must be pay or fail")),
    }
}

#[cfg(test)]
mod tests {
    use super::Manners;
    use crate::sandbox::tests::facts;
    use sluice_core::event::NoticeKind;

    fn kinds(manners: &Manners) -> Vec<NoticeKind> {
        manners.delivery(&facts()).notices.iter().map(|notice| notice.kind).collect()
    }

    #[test]
    fn a_form_says_what_json_says() {
        for (form, json) in [
            ("outcome=pay&delay_seconds=0&times=1&amount=", r#"{"outcome":"pay"}"#),
            (
                "outcome=fail&delay_seconds=600&times=5&amount=7&out_of_order=on&refund_fails=on",
                r#"{"outcome":"fail","delay_seconds":600,"times":5,"amount":7,"out_of_order":true,"refund_fails":true}"#,
            ),
            (
                "outcome=pay",
                r#"{"outcome":"pay","amount":null,"out_of_order":false,"refund_fails":false}"#,
            ),
        ] {
            let read = Manners::of_form(form.as_bytes());
            assert_eq!(read, Manners::of_json(json.as_bytes()), "{form}");
            assert!(read.is_ok(), "{form}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, form, value) in [
            ("outcome", "", "\"\""),
            ("outcome", "Pay", "\"Pay\""),
            ("delay_seconds", "601", "601"),
            ("delay_seconds", "-1", "-1"),
            ("delay_seconds", "%2B1", "\"1\""),
            ("times", "0", "0"),
            ("times", "6", "6"),
            ("amount", "9007199254740992", "9007199254740992"),
            ("amount", "1.0", "1.0"),
            ("color", "red", "\"red\""),
        ] {
            let (form, json) = match name {
                "outcome" => (format!("outcome={form}"), format!("{{\"outcome\":{value}}}")),
                _ => (
                    format!("outcome=pay&{name}={form}"),
                    format!("{{\"outcome\":\"pay\",\"{name}\":{value}}}"),
                ),
            };
            for refused in [Manners::of_form(form.as_bytes()), Manners::of_json(json.as_bytes())] {
                let problem = refused.expect_err(&form);
                assert!(problem.detail.starts_with(&format!("{name}: ")), "{}", problem.detail);
            }
        }
        for wrong in ["", "outcome=pay&outcome=pay", "outcome=%zz", "outcome=%ff"] {
            assert!(Manners::of_form(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Manners::of_form(b"outcome=\xff").is_err());
    }

    #[test]
    fn out_of_order_means_what_is_true_first_and_the_contrary_behind_it() {
        let read = |form: &str| Manners::of_form(form.as_bytes()).expect("right");
        use NoticeKind::{PaymentFailed, PaymentSucceeded};
        assert_eq!(kinds(&read("outcome=pay")), [PaymentSucceeded]);
        assert_eq!(kinds(&read("outcome=fail")), [PaymentFailed]);
        let pay = read("outcome=pay&out_of_order=on&times=5&amount=0");
        assert_eq!(kinds(&pay), [PaymentSucceeded, PaymentFailed]);
        assert_eq!(kinds(&read("outcome=fail&out_of_order=on")), [PaymentFailed, PaymentSucceeded]);
        let delivery = pay.delivery(&facts());
        assert_eq!((delivery.calls(), delivery.notices[0].amount.minor()), (10, 0));
    }
}
