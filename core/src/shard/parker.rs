//! Puts a shard's thread to sleep and wakes it, without a lock.
//!
//! The thread announces that it will sleep, looks once more for work, and only then parks; whoever
//! brings work puts it into a queue first and looks for the announcement after. The two fences
//! make sure that at least one of them sees the other (Dekker's argument): no work is left lying
//! in front of a sleeping thread. `loom_no_wake_is_lost` checks it.

use std::time::Duration;

#[cfg(sluice_loom)]
use loom::{
    sync::atomic::{AtomicBool, Ordering, fence},
    thread::{self, Thread},
};
#[cfg(not(sluice_loom))]
use std::{
    sync::atomic::{AtomicBool, Ordering, fence},
    thread::{self, Thread},
};

use std::sync::OnceLock;

/// One thread's bed.
#[derive(Debug, Default)]
pub struct Parker {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Parker {
    /// Names the calling thread as the one that sleeps here. The first call counts.
    pub fn adopt(&self) {
        self.thread.get_or_init(thread::current);
    }

    /// Wakes the thread if it sleeps or is about to. To be called after the work is in its queue.
    #[inline]
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Sleeps until woken, at most `longest`, unless `has_work` says there is something to do.
    /// May return early.
    pub fn sleep(&self, longest: Duration, has_work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !has_work() {
            park(longest);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

#[cfg(not(sluice_loom))]
fn park(longest: Duration) {
    thread::park_timeout(longest);
}

/// Loom knows no time: a wake that is lost is a deadlock there, which is what the test looks for.
#[cfg(sluice_loom)]
fn park(_longest: Duration) {
    thread::park();
}

#[cfg(all(test, sluice_loom))]
mod loom_tests {
    use super::Parker;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn loom_no_wake_is_lost() {
        loom::model(|| {
            let shared = Arc::new((Parker::default(), AtomicUsize::new(0)));
            shared.0.adopt();
            let submitter = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    shared.1.store(1, Ordering::Release);
                    shared.0.wake();
                })
            };
            while shared.1.load(Ordering::Acquire) == 0 {
                shared.0.sleep(Duration::MAX, || shared.1.load(Ordering::Acquire) != 0);
            }
            submitter.join().expect("submitter");
        });
    }
}
