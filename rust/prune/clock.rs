//! A deadline that is cheap to look at.

use std::time::Instant;

/// Says whether time has run out; once it has, it stays so.
#[derive(Debug, Default)]
pub(super) struct Clock {
    deadline: Option<Instant>,
    expired: bool,
}

impl Clock {
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { deadline, expired: false }
    }

    pub fn expired(&mut self) -> bool {
        if let Some(deadline) = self.deadline.filter(|_| !self.expired) {
            self.expired = Instant::now() >= deadline;
        }
        self.expired
    }
}
