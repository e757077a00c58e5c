//! Refunds that the sandbox performs: each that is asked for is called for once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smallvec::smallvec;

use sluice_core::command::Notice;
use sluice_core::event::NoticeKind;
use sluice_core::id::RequestId;
use sluice_core::money::{Amount, Currency};

use crate::problem::Problem;

use super::calls::{Delivery, Schedule};

/// How long after one look at what is asked for the next begins.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Refunds that are looked at together.
const PAGE_REFUNDS: usize = 256;

/// Most refunds that are remembered as called for and not settled.
const CALLED_MAX: usize = 65_536;

/// Most payments whose refund is to fail; the oldest is forgotten first.
const FAILING_MAX: usize = 1_024;

/// A refund that is asked for and not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefundAsked {
    pub(crate) payment: Box<str>,
    pub(crate) order: Box<str>,
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
}

/// The refunds there are.
pub(crate) trait Refunds: Send + Sync + 'static {
    /// Those that are asked for and not settled, in the order of their payments' ids, bytewise,
    /// behind `after`; at most `most`, fewer only at the end.
    fn open(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<RefundAsked>, Problem>> + Send;
}

/// The payments whose refund is to fail.
#[derive(Debug, Default)]
pub(crate) struct FailingRefunds(Mutex<VecDeque<Box<str>>>);

impl FailingRefunds {
    /// The refund of `payment` is to fail.
    pub(super) fn add(&self, payment: &str) {
        let mut payments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if payments.iter().any(|known| **known == *payment) {
            return;
        }
        if payments.len() == FAILING_MAX {
            payments.pop_front();
        }
        payments.push_back(Box::from(payment));
    }

    fn has(&self, payment: &str) -> bool {
        let payments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        payments.iter().any(|known| **known == *payment)
    }
}

/// Performs refunds.
pub(crate) struct Refunder<R> {
    refunds: R,
    schedule: Schedule,
    failing: Arc<FailingRefunds>,
    /// Called for, and not settled when it was looked last.
    called: BTreeSet<Box<str>>,
}

impl<R: Refunds> Refunder<R> {
    pub(crate) fn new(refunds: R, schedule: Schedule, failing: Arc<FailingRefunds>) -> Self {
        Self { refunds, schedule, failing, called: BTreeSet::new() }
    }

    /// Performs refunds for ever.
    pub(crate) async fn run(mut self) {
        loop {
            if let Err(problem) = self.look().await {
                tracing::debug!("refunds wait: {}", problem.detail);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at all that is asked for, once.
    async fn look(&mut self) -> Result<(), Problem> {
        let mut open = BTreeSet::new();
        let mut after: Option<Box<str>> = None;
        loop {
            let page = self.refunds.open(after.as_deref(), PAGE_REFUNDS).await?;
            let is_last = page.len() < PAGE_REFUNDS;
            after = page.last().map(|asked| asked.payment.clone());
            for asked in page {
                if !self.called.contains(&asked.payment) && self.called.len() < CALLED_MAX {
                    let payment = asked.payment.clone();
                    self.schedule.add(self.delivery(asked))?;
                    self.called.insert(payment.clone());
                    open.insert(payment);
                } else {
                    open.insert(asked.payment);
                }
            }
            if is_last {
                break;
            }
        }
        // What is settled is asked for no more.
        self.called.retain(|payment| open.contains(payment));
        Ok(())
    }

    fn delivery(&self, asked: RefundAsked) -> Delivery {
        let kind = match self.failing.has(&asked.payment) {
            true => NoticeKind::RefundFailed,
            false => NoticeKind::RefundSucceeded,
        };
        let RefundAsked { payment, order, amount, currency } = asked;
        let notice = Notice {
            kind,
            payment: payment.into(),
            order: order.into(),
            amount,
            currency: currency.as_str().into(),
            request: RequestId::NONE,
        };
        Delivery { delay: Duration::ZERO, times: 1, notices: smallvec![notice] }
    }
}

#[cfg(test)]
mod tests {
    use super::{FAILING_MAX, FailingRefunds, PAGE_REFUNDS, RefundAsked, Refunder, Refunds};
    use crate::problem::Problem;
    use crate::sandbox::calls::{CALLS_MAX, Schedule};
    use sluice_core::event::NoticeKind;
    use sluice_core::money::{Amount, Currency};
    use std::sync::{Arc, Mutex};

    /// As many as there are, by number.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<usize>>>);

    impl Refunds for Asked {
        async fn open(
            &self,
            after: Option<&str>,
            most: usize,
        ) -> Result<Vec<RefundAsked>, Problem> {
            let asked = self.0.lock().expect("sound").clone();
            let all = asked.into_iter().map(|number| RefundAsked {
                payment: format!("{number:05}").into(),
                order: "o".into(),
                amount: Amount::new(number as u64).expect("in range"),
                currency: Currency::new("CNY").expect("a code"),
            });
            Ok(all
                .filter(|one| after.is_none_or(|after| *one.payment > *after))
                .take(most)
                .collect())
        }
    }

    #[tokio::test]
    async fn each_refund_is_called_for_once_while_it_is_asked_for() {
        let (asked, failing) = (Asked::default(), Arc::new(FailingRefunds::default()));
        let (schedule, mut added) = Schedule::new();
        let mut refunder = Refunder::new(asked.clone(), schedule, Arc::clone(&failing));
        failing.add("00001");
        let count = 2 * PAGE_REFUNDS + 1;
        *asked.0.lock().expect("sound") = (0..count).collect();
        let mut taken = async || {
            let mut notices = Vec::new();
            while let Some(delivery) = added.try_next() {
                notices.extend(delivery.notices);
            }
            notices
        };
        assert_eq!(refunder.look().await, Ok(()));
        let calls = taken().await;
        assert_eq!(calls.len(), count);
        for (number, call) in calls.iter().enumerate() {
            let kind = match number {
                1 => NoticeKind::RefundFailed,
                _ => NoticeKind::RefundSucceeded,
            };
            assert_eq!((call.kind, call.amount.minor()), (kind, number as u64));
        }
        // Those that failed stay asked for, and so do those whose call is still under way.
        *asked.0.lock().expect("sound") = vec![1, 7, count];
        assert_eq!(refunder.look().await, Ok(()));
        let calls = taken().await;
        assert_eq!(
            calls.iter().map(|call| call.amount.minor()).collect::<Vec<_>>(),
            [count as u64]
        );
        assert_eq!(refunder.called.len(), 3);
    }

    #[tokio::test]
    async fn what_finds_no_place_is_called_for_later() {
        let asked = Asked::default();
        let (schedule, mut added) = Schedule::new();
        let mut refunder = Refunder::new(asked.clone(), schedule, Arc::default());
        *asked.0.lock().expect("sound") = (0..CALLS_MAX + 1).collect();
        assert!(refunder.look().await.is_err(), "I6");
        let mut calls = 0;
        while added.try_next().is_some() {
            calls += 1;
        }
        assert_eq!(calls, CALLS_MAX);
        assert_eq!(refunder.look().await, Ok(()));
        assert_eq!(added.try_next().map(|delivery| delivery.calls()), Some(1));
    }

    #[tokio::test]
    async fn it_looks_again_and_again() {
        let asked = Asked::default();
        let (schedule, mut added) = Schedule::new();
        let refunder = Refunder::new(asked.clone(), schedule, Arc::default());
        let refunding = tokio::spawn(refunder.run());
        for number in 0..2 {
            asked.0.lock().expect("sound").push(number);
            let delivery = added.next().await.expect("called for");
            assert_eq!(delivery.notices[0].amount.minor(), number as u64);
        }
        refunding.abort();
    }

    #[test]
    fn what_is_to_fail_is_remembered_under_a_ceiling() {
        let failing = FailingRefunds::default();
        for number in 0..=FAILING_MAX {
            failing.add(&number.to_string());
            failing.add(&number.to_string());
        }
        assert!(!failing.has("0") && failing.has("1") && failing.has(&FAILING_MAX.to_string()));
    }
}
