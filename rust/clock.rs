//! When to stop: a deadline and an interrupt, looked at after bounded work.

use std::time::{Duration, Instant};

use crate::interrupt::Interrupt;

/// Work between two looks, where it comes in small pieces: some tens of microseconds.
pub(crate) const STRIDE: usize = 1 << 14;
/// Between two questions of an interrupt that asks.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Counts work, in nodes and entries passed over, and says whether it is time to stop; once it is,
/// it stays so.
///
/// Everything that costs more than a few passes over the forest in work counts it in pieces of one
/// pass at most.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    deadline: Option<Instant>,
    interrupt: Option<Interrupt>,
    ask_at: Option<Instant>,
    expired: bool,
    /// Work since the last look.
    work: usize,
    #[cfg(test)]
    pub test: Looks,
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
        clock.test.stop_at = most_looks;
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

/// What a clock counts in the tests, and when it stops there.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// Looks after which it is time to stop.
    pub stop_at: Option<usize>,
    pub taken: usize,
    /// The most work between two looks, and all work after the one that said stop.
    pub between: usize,
    pub late: usize,
    pub total: usize,
}

#[cfg(test)]
impl Looks {
    pub fn count(&mut self, expired: bool, work: usize, since: usize) {
        self.total += work;
        self.between = self.between.max(since);
        self.late += if expired { work } else { 0 };
    }

    pub fn look(&mut self) -> bool {
        self.taken += 1;
        self.stop_at.is_some_and(|at| self.taken > at)
    }
}
