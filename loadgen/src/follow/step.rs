//! The steps of orders, and how one goes through a ticket as a number.

/// One step of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// The buyer cancels.
    Cancel,
    /// The buyer starts a payment.
    Start,
    /// The provider tells that it succeeded.
    Succeed,
    /// The order is read: it waits, its hold should have ended, or nobody knows what a late payment did.
    Look,
    /// The provider tells that the money is back.
    Refund,
}

const STEPS: [Step; 5] = [Step::Cancel, Step::Start, Step::Succeed, Step::Look, Step::Refund];

impl Step {
    /// Whether a rush waits for it after the last planned request: others may be far ahead.
    pub(super) fn is_soon(self) -> bool {
        self != Step::Look
    }

    /// The step of the order at `place`, as one number.
    pub(super) fn number(self, place: usize) -> u64 {
        (place * STEPS.len() + self as usize) as u64
    }

    /// The step and the place that a number stands for.
    pub(super) fn of(number: u64) -> (Step, usize) {
        let number = number as usize;
        (STEPS[number % STEPS.len()], number / STEPS.len())
    }
}

#[cfg(test)]
mod tests {
    use super::{STEPS, Step};

    #[test]
    fn a_number_stands_for_one_step() {
        for place in [0, 7, 10_000_000] {
            for step in STEPS {
                assert_eq!(Step::of(step.number(place)), (step, place));
            }
        }
    }
}
