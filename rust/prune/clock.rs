//! When to stop: a deadline and an interrupt, looked at after bounded work.

use std::time::{Duration, Instant};

use super::interrupt::Interrupt;

/// Work between two looks, where it comes in small pieces: some tens of microseconds.
const STRIDE: usize = 1 << 14;
/// Between two questions of an interrupt that asks.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Counts work, in nodes and entries passed over, and says whether it is time to stop; once it is,
/// it stays so.
///
/// Everything that costs more than a few passes over the forest in work counts it in pieces of one
/// pass at most.
#[derive(Debug, Default)]
pub(super) struct Clock {
    deadline: Option<Instant>,
    interrupt: Option<Interrupt>,
    ask_at: Option<Instant>,
    expired: bool,
    /// Work since the last look.
    work: usize,
    #[cfg(test)]
    pub test: super::tests::Looks,
}

impl Clock {
    /// Starts a clock that has looked once.
    pub fn new(started: Instant, deadline: Option<Instant>, interrupt: Option<&Interrupt>) -> Self {
        let ask_at = interrupt.filter(|interrupt| interrupt.asks()).map(|_| started + ASK_EVERY);
        let mut clock = Self { deadline, interrupt: interrupt.cloned(), ask_at, ..Self::default() };
        clock.look();
        clock
    }

    /// Starts a clock that stops after some looks, the first of all included.
    #[cfg(test)]
    pub fn stopping_after(most_looks: Option<usize>) -> Self {
        let mut clock = Self::default();
        clock.test.most_looks = most_looks;
        clock.look();
        clock
    }

    /// Counts work that was done and says whether to stop, after a look if much was done since the
    /// last one.
    pub fn after(&mut self, work: usize) -> bool {
        self.work += work;
        #[cfg(test)]
        self.test.count(self.expired, work, self.work);
        if self.work >= STRIDE {
            self.look();
        }
        self.expired
    }

    /// Says whether the last look found that it is time to stop.
    pub fn expired(&self) -> bool {
        self.expired
    }

    fn look(&mut self) {
        self.work = 0;
        #[cfg(test)]
        {
            self.expired |= self.test.look();
        }
        let Some(interrupt) = self.interrupt.as_ref().filter(|_| !self.expired) else {
            self.expired |= self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            return;
        };
        self.expired = interrupt.is_set();
        if self.deadline.is_none() && self.ask_at.is_none() {
            return;
        }
        let now = Instant::now();
        self.expired |= self.deadline.is_some_and(|deadline| now >= deadline);
        if self.ask_at.is_some_and(|at| now >= at) {
            self.ask_at = Some(now + ASK_EVERY);
            self.expired |= interrupt.ask();
        }
    }
}
