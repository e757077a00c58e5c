//! What follows from an accepted order: cancels, payments with their webhooks, reads of orders that wait or run out.
//!
//! Each step is planned by the answer before it. A step whose outcome is not known is taken again, but for a cancel:
//! reading the order back tells whether that took effect, and both are right.

mod answers;
mod step;

pub(crate) use step::Step;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::book::Book;
use crate::cancels;
use crate::clock::unix_seconds;
use crate::finding::Kind;
use crate::rest::rest_ns;
use crate::script::Script;
use crate::traffic::Fate;
use crate::webhook::{Event, Provider};
use crate::workload::Sent;

/// Steps that are still to be taken, by when they are due.
pub(crate) struct FollowUps {
    due: BinaryHeap<Reverse<(u64, u64)>>,
    /// How many of them a rush waits for.
    soon: usize,
    attempts: HashMap<u64, u32>,
    attempts_max: u32,
    provider: Option<Provider>,
    /// Cancels sent.
    pub(crate) cancels: u64,
    /// Waiting orders are read again until then.
    looks_until_ns: u64,
    /// And no longer than this, whatever may still come back.
    looks_max_ns: u64,
}

impl FollowUps {
    /// Nothing to do yet. Nobody pays without a provider.
    pub(crate) fn new(provider: Option<Provider>, attempts_max: u32) -> FollowUps {
        FollowUps {
            due: BinaryHeap::new(),
            soon: 0,
            attempts: HashMap::new(),
            attempts_max,
            provider,
            cancels: 0,
            looks_until_ns: 0,
            looks_max_ns: 0,
        }
    }

    /// The order at `place` was accepted, at first (`is_new`) or after it waited: plans what its buyer does.
    pub(crate) fn plan(&mut self, script: &Script, book: &Book, place: usize, is_new: bool) {
        let order = &book.orders[place];
        match script.fate(order.number) {
            // Who waits may cancel as well.
            Fate::Cancelled(after_ns) if is_new => {
                self.add(Step::Cancel, place, order.from_ns + after_ns);
            }
            Fate::Paid(after_ns) | Fate::PaidLate(after_ns) if !order.is_waiting => {
                self.add(Step::Start, place, order.from_ns + after_ns);
            }
            _ => {}
        }
    }

    /// Plans a step.
    pub(crate) fn add(&mut self, step: Step, place: usize, due_ns: u64) {
        self.soon += usize::from(step.is_soon());
        self.due.push(Reverse((due_ns, step.number(place))));
    }

    /// Plans to read every order that waits, now and again until `until_ns`; while units may come back, until `max_ns`.
    pub(crate) fn look_after(&mut self, book: &Book, now_ns: u64, until_ns: u64, max_ns: u64) {
        (self.looks_until_ns, self.looks_max_ns) = (until_ns, max_ns);
        for place in book.waiters.places(book) {
            self.add(Step::Look, place, now_ns);
        }
    }

    /// When the next step is due.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((due_ns, _))| *due_ns)
    }

    /// Whether a rush waits for a step.
    pub(crate) fn holds_up(&self) -> bool {
        self.soon > 0
    }

    /// How many steps are planned.
    pub(crate) fn count(&self) -> usize {
        self.due.len()
    }

    /// Forgets all that is planned; how many steps, but for reads of orders that wait.
    pub(crate) fn forget_all(&mut self, book: &Book) -> usize {
        self.soon = 0;
        let place = |Reverse((_, number)): Reverse<(u64, u64)>| Step::of(number).1;
        self.due.drain().map(place).filter(|&place| !book.orders[place].is_waiting).count()
    }

    /// Writes the next step, which is taken at `now_ns`; its number.
    pub(crate) fn write(
        &mut self,
        script: &Script,
        book: &mut Book,
        now_ns: u64,
        request: &mut Vec<u8>,
    ) -> u64 {
        let Reverse((_, number)) = self.due.pop().expect("what is due can be taken");
        let (step, place) = Step::of(number);
        self.soon -= usize::from(step.is_soon());
        let order = book.orders[place];
        match step {
            Step::Cancel => {
                self.cancels += 1;
                cancels::write(script, book, place, now_ns, request);
            }
            Step::Start => script.write_payment(order.number, &order.id, request),
            Step::Look => script.write_read(order.number, &order.id, request),
            Step::Succeed => self.call(book, place, Event::Paid, now_ns, request),
            Step::Refund => self.call(book, place, Event::Refunded, now_ns, request),
        }
        number
    }

    fn call(
        &self,
        book: &mut Book,
        place: usize,
        event: Event,
        now_ns: u64,
        request: &mut Vec<u8>,
    ) {
        let order = book.orders[place].id;
        let payment = book.payments.of_mut(place).expect("only what was started is told of");
        match event {
            Event::Paid => payment.success.send(now_ns),
            Event::Refunded => payment.refunded.send(now_ns),
        }
        let provider = self.provider.as_ref().expect("nobody pays without a provider");
        provider.write(event, &order, payment, unix_seconds(), request);
        book.payments.webhooks += 1;
    }

    /// Takes a step again whose outcome is not known, or that was put off.
    pub(crate) fn again(
        &mut self,
        script: &Script,
        book: &mut Book,
        sent: &Sent,
        asked_s: Option<u64>,
    ) {
        let (step, place) = Step::of(sent.ticket.number);
        if step == Step::Cancel || self.try_again(sent, asked_s) {
            return;
        }
        let order = &book.orders[place];
        book.findings.add(Kind::Unchecked, || {
            format!(
                "order {:?}, {}: {step:?} without an answer",
                order.id,
                script.name(order.number)
            )
        });
    }

    /// Plans a step once more, unless it was taken too often.
    fn try_again(&mut self, sent: &Sent, asked_s: Option<u64>) -> bool {
        let (step, place) = Step::of(sent.ticket.number);
        let attempts = self.attempts.entry(sent.ticket.number).or_insert(0);
        *attempts += 1;
        if *attempts >= self.attempts_max {
            return false;
        }
        let rest_ns = rest_ns(*attempts, asked_s);
        self.add(step, place, sent.now_ns + rest_ns);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{FollowUps, Step};
    use crate::book::tests::{AT, body};
    use crate::book::{Book, How};
    use crate::finding::Kind;
    use crate::limits::Limits;
    use crate::payments::tests::answer;
    use crate::script::Script;
    use crate::script::tests::script_of;
    use crate::tally::Class;
    use crate::traffic::Traffic;
    use crate::webhook::Provider;
    use crate::workload::{Sent, Ticket};

    const PAYMENT: &str =
        r#"{"payment_id":"pay","order_id":"order","amount":5,"currency":"CNY","status":"open"}"#;

    /// One order of such a run, and what follows from it.
    struct One {
        script: Script,
        book: Book,
        follow_ups: FollowUps,
    }

    impl One {
        fn new(traffic: Traffic) -> One {
            let script = script_of(9, 1, traffic);
            let mut book = Book::new(&script, &Limits::DEFAULT, true);
            book.acknowledge(&script, 0, How::Made, &AT, &body(&script, 0, "order")).unwrap();
            let mut follow_ups = FollowUps::new(Some(Provider::new(b"key", "h")), 3);
            follow_ups.plan(&script, &book, 0, true);
            One { script, book, follow_ups }
        }

        fn order(&self, status: &str) -> String {
            String::from_utf8(body(&self.script, 0, "order")).unwrap().replace("reserved", status)
        }

        /// Takes the next step when it is due: what it is, when it was sent, and the request.
        fn send(&mut self) -> (Step, Sent, String) {
            let due_ns = self.follow_ups.due_ns().unwrap();
            let mut request = Vec::new();
            let number = self.follow_ups.write(&self.script, &mut self.book, due_ns, &mut request);
            let ticket = Ticket { number, due_ns, follows: true };
            let sent = Sent { ticket, sent_ns: due_ns, now_ns: due_ns };
            (Step::of(number).0, sent, String::from_utf8(request).unwrap())
        }

        /// Takes the next step, which is `expected`, and has it answered.
        fn take(&mut self, expected: Step, status: u16, body: &str) {
            let (step, sent, request) = self.send();
            assert_eq!(step, expected, "{request}");
            let answer = answer(status, body);
            let class = self.follow_ups.judge(&self.script, &mut self.book, &sent, &answer);
            assert_eq!(class, Class::FollowedUp, "{request}");
        }

        /// The webhook, as often as it is sent.
        fn tell(&mut self, step: Step) {
            self.take(step, 200, "");
            if self.script.calls_twice(0) {
                self.take(step, 200, "");
            }
        }
    }

    #[test]
    fn who_pays_has_paid_with_the_signed_webhook() {
        let mut one = One::new(Traffic { pays_percent: 100.0, ..Traffic::default() });
        assert!(one.follow_ups.holds_up());
        one.take(Step::Start, 201, PAYMENT);
        let (step, _, request) = one.send();
        assert_eq!(step, Step::Succeed);
        let told = r#"{"type":"payment.succeeded","payment_id":"pay","order_id":"order","amount":5,"currency":"CNY"}"#;
        assert!(request.starts_with("POST /v1/webhooks/payments "), "{request}");
        assert!(
            request.contains("\r\nwebhook-signature: v1,") && request.ends_with(told),
            "{request}"
        );
        assert_eq!(one.book.payments.webhooks, 1);
        assert_eq!(one.book.findings.kinds(), []);
    }

    #[test]
    fn who_pays_late_waits_for_the_end_of_the_hold_and_takes_the_money_back() {
        let mut one = One::new(Traffic { pays_late_percent: 100.0, ..Traffic::default() });
        one.take(Step::Start, 201, PAYMENT);
        // The start has extended the hold by a minute, and the next look lies behind that.
        assert!(!one.follow_ups.holds_up());
        let first_ns = one.follow_ups.due_ns().unwrap();
        let extended = one.order("reserved").replace("00:10:00", "00:11:00");
        one.take(Step::Look, 200, &extended);
        assert!(one.follow_ups.due_ns().unwrap() > first_ns + 59_000_000_000);
        let (expired, refunding) = (one.order("expired"), one.order("refunding"));
        one.take(Step::Look, 200, &expired);
        one.tell(Step::Succeed);
        one.take(Step::Look, 200, &refunding);
        one.tell(Step::Refund);
        assert_eq!(one.follow_ups.due_ns(), None);
        let payment = one.book.payments.of(0).unwrap();
        assert!(payment.was_over && payment.refunded.answered_ns.is_some());
        assert_eq!(one.book.findings.kinds(), []);
    }

    #[test]
    fn a_step_is_taken_again_until_it_was_taken_too_often() {
        let mut one = One::new(Traffic { pays_percent: 100.0, ..Traffic::default() });
        for attempt in 1..=3 {
            let (step, sent, _) = one.send();
            assert_eq!(step, Step::Start);
            let (script, book) = (&one.script, &mut one.book);
            if attempt == 1 {
                let busy = answer(503, "{}");
                let class = one.follow_ups.judge(script, book, &sent, &busy);
                assert_eq!(class, Class::Refused(None));
            } else {
                let unknown = answer(504, "");
                assert_eq!(one.follow_ups.judge(script, book, &sent, &unknown), Class::Unknown);
                one.follow_ups.again(script, book, &sent, None);
            }
        }
        assert_eq!((one.follow_ups.due_ns(), one.follow_ups.holds_up()), (None, false));
        assert_eq!(one.book.findings.kinds(), [Kind::Unchecked]);
    }

    #[test]
    fn a_cancel_is_sent_once_within_its_time() {
        let mut one = One::new(Traffic { cancels_percent: 100.0, ..Traffic::default() });
        let due_ns = one.follow_ups.due_ns().unwrap();
        assert!((AT.now_ns..AT.now_ns + 1_000_000_000).contains(&due_ns));
        let (step, sent, _) = one.send();
        assert_eq!((step, one.follow_ups.cancels), (Step::Cancel, 1));
        one.follow_ups.again(&one.script, &mut one.book, &sent, None);
        assert_eq!((one.follow_ups.due_ns(), one.book.findings.kinds()), (None, vec![]));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut one = One::new(Traffic { pays_late_percent: 100.0, ..Traffic::default() });
        one.take(Step::Start, 201, PAYMENT);
        assert_eq!(one.follow_ups.forget_all(&one.book), 1);
        assert_eq!((one.follow_ups.due_ns(), one.follow_ups.count()), (None, 0));
    }
}
