//! Cancels: sent some time after an order was accepted, and what their answers mean.

use crate::book::{Book, Course};
use crate::finding::Kind;
use crate::http::Answer;
use crate::order::{Order, refusal_code};
use crate::script::Script;
use crate::tally::Class;
use crate::workload::Sent;

/// Writes the cancel of the order at `place`, which is sent at `now_ns`.
pub(crate) fn write(
    script: &Script,
    book: &mut Book,
    place: usize,
    now_ns: u64,
    request: &mut Vec<u8>,
) {
    let order = &mut book.orders[place];
    order.course = Course::CancelSent;
    order.until_ns = order.until_ns.min(now_ns);
    script.write_cancel(order.number, &order.id, request);
}

/// Judges the answer to the cancel of the order at `place`.
pub(crate) fn judge<'a>(
    script: &Script,
    book: &mut Book,
    place: usize,
    sent: &Sent,
    answer: &'a Answer<'_>,
) -> Class<'a> {
    let order = &mut book.orders[place];
    let name = || format!("order {:?}, {}", order.id, script.name(order.number));
    match answer.status {
        200 => {
            let cancelled = match Order::read(&answer.body) {
                Ok(read) if read.id() != Some(order.id) => Err("another order".to_owned()),
                Ok(read) if read.status != "cancelled" => Err("status not cancelled".to_owned()),
                Ok(read) => match read.fingerprint().difference(&order.fingerprint) {
                    Some(part) => Err(format!("{part} changed")),
                    None => Ok(()),
                },
                Err(why) => Err(why),
            };
            if let Err(why) = cancelled {
                book.findings.add(Kind::CancelUndone, || format!("{}: {why}", name()));
                return Class::Unexpected;
            }
            order.course = Course::Cancelled;
            Class::Cancelled
        }
        404 => {
            book.findings.add(Kind::LostOrder, || format!("{}: cancel answered 404", name()));
            Class::Refused(refusal_code(&answer.body))
        }
        500 | 502 | 504 => Class::Unknown,
        status @ (400..=499 | 503) => {
            // Nothing happened: it is taken as before, unless it had ended by itself.
            if !order.is_waiting {
                order.until_ns = u64::MAX;
            }
            order.course = Course::Kept;
            let over = order.expires_us.zip(book.clock.shown_us(sent.now_ns));
            let may_be_over = over.is_none_or(|(expires_us, (_, most_us))| most_us >= expires_us);
            if status == 409 && !may_be_over {
                book.findings.add(Kind::CancelRefused, name);
            }
            Class::Refused(refusal_code(&answer.body))
        }
        _ => Class::Unexpected,
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, write};
    use crate::book::tests::{AT, body};
    use crate::book::{Book, Course, How};
    use crate::finding::Kind;
    use crate::http::Answer;
    use crate::limits::Limits;
    use crate::script::Script;
    use crate::script::tests::script_of;
    use crate::tally::Class;
    use crate::traffic::Traffic;
    use std::borrow::Cow;

    /// A book of so many orders, the cancels of all of them sent.
    fn book(orders: u64) -> (Script, Book) {
        let script = script_of(9, 1, Traffic { cancels_percent: 100.0, ..Traffic::default() });
        let mut book = Book::new(&script, &Limits::DEFAULT, true);
        for number in 0..orders {
            let order = body(&script, number, &format!("order-{number}"));
            let place = book.acknowledge(&script, number, How::Made, &AT, &order).unwrap();
            write(&script, &mut book, place, AT.now_ns, &mut Vec::new());
        }
        (script, book)
    }

    fn answer(status: u16, body: Vec<u8>) -> Answer<'static> {
        Answer {
            status,
            replayed: false,
            retry_after_s: None,
            close: false,
            body: Cow::Owned(body),
        }
    }

    fn cancelled(script: &Script, number: u64, id: &str) -> Vec<u8> {
        String::from_utf8(body(script, number, id)).unwrap().replace("reserved", "cancelled").into()
    }

    #[test]
    fn answers_to_cancels_are_told_apart() {
        let (script, mut book) = book(6);
        let mut told = |place: usize, status, body| {
            let class = match judge(&script, &mut book, place, &AT, &answer(status, body)) {
                Class::Refused(_) => Class::Refused(None),
                Class::Cancelled => Class::Cancelled,
                Class::Unknown => Class::Unknown,
                _ => Class::Unexpected,
            };
            (class, book.orders[place].course, book.orders[place].until_ns == u64::MAX)
        };
        let honest = cancelled(&script, 0, "order-0");
        assert_eq!(told(0, 200, honest), (Class::Cancelled, Course::Cancelled, false));
        assert_eq!(told(1, 504, vec![]), (Class::Unknown, Course::CancelSent, false));
        assert_eq!(told(2, 503, vec![]), (Class::Refused(None), Course::Kept, true));
        assert_eq!(told(3, 409, vec![]), (Class::Refused(None), Course::Kept, true));
        let untouched = body(&script, 4, "order-4");
        assert_eq!(told(4, 200, untouched), (Class::Unexpected, Course::CancelSent, false));
        assert_eq!(told(5, 404, vec![]), (Class::Refused(None), Course::CancelSent, false));
        assert_eq!(
            book.findings.kinds(),
            [Kind::LostOrder, Kind::CancelUndone, Kind::CancelRefused]
        );
    }
}
