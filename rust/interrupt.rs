//! Ending a selection from outside.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A question that is asked in the middle of a selection.
type Question = Arc<dyn Fn() -> bool + Send + Sync>;

/// Ends the selections and clusterings that it is given to, from any thread.
///
/// They return what they have found by then, as at a time limit. Clones share one flag, which stays
/// set.
#[derive(Clone, Default)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    question: Option<Question>,
}

impl Interrupt {
    /// Makes an interrupt that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends what runs with this interrupt, and what will, at its next look.
    pub fn set(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Says whether it was set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Returns the same interrupt with a question that ends the work too, where the answer is true.
    ///
    /// It is asked on the thread that computes, some 20 times a second, at first after 50 ms.
    #[must_use]
    pub fn asking(&self, question: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { flag: Arc::clone(&self.flag), question: Some(Arc::new(question)) }
    }

    pub(crate) fn asks(&self) -> bool {
        self.question.is_some()
    }

    pub(crate) fn ask(&self) -> bool {
        self.question.as_ref().is_some_and(|question| question())
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("set", &self.is_set()).finish_non_exhaustive()
    }
}
