//! What is known of the best selection, and what branches add to that.

/// Gaps up to this part of the largest coefficient are rounding, not worth a branch.
pub(super) const TOLERANCE: f64 = 1e-12;

/// What is known of a forest's best selection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// Worth of the selection found; `None` where none was found that exceeds the cutoff.
    pub worth: Option<f64>,
    /// No selection is worth more than the larger of this and the cutoff.
    pub bound: f64,
}

impl Answer {
    /// Takes a gap that is only rounding for none, so that many parts do not add up to one.
    pub fn closed(self) -> Self {
        let worth = self.worth.filter(|worth| self.bound <= worth + TOLERANCE);
        Self { bound: worth.unwrap_or(self.bound), ..self }
    }

    /// Goes on through branches that hold, together, all selections worth more than `floor`.
    ///
    /// `solve` finds the best selection worth more than the floor that it is given, of one branch.
    pub fn over(
        mut self,
        branches: &[Option<bool>],
        mut floor: f64,
        mut solve: impl FnMut(Option<bool>, f64) -> Self,
    ) -> Self {
        let mut bound = f64::NEG_INFINITY;
        for &branch in branches {
            let found = solve(branch, floor);
            if let Some(worth) = found.worth {
                floor = worth;
                self.worth = found.worth;
            }
            bound = bound.max(found.bound);
        }
        // The selections that reduced costs excluded are worth `floor` at most.
        self.bound = self.bound.min(bound.max(floor));
        self.closed()
    }
}
