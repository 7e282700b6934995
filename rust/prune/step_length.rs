//! How far the next subgradient step goes.

/// Progress that counts closes this part of the gap.
const VISIBLE: f64 = 0.02;
/// What is left of the length where there is none.
const SHRINK: f64 = 0.6;

/// The length of steps, as a part of what Polyak's rule gives: shorter where the bound makes no
/// progress.
#[derive(Debug)]
pub(super) struct StepLength {
    scale: f64,
    waited: u32,
    patience: u32,
    shortest: f64,
}

impl StepLength {
    /// Starts with the whole length, to shrink after `patience` steps without progress.
    ///
    /// Where it has shrunk below `shortest`, the bound has all but converged.
    pub fn new(patience: u32, shortest: f64) -> Self {
        Self { scale: 1.0, waited: 0, patience, shortest }
    }

    /// Returns the length of the next step after one by which the bound fell by `progress`, to so
    /// much above its target; `None` where no further one is worth it.
    pub fn next(&mut self, progress: f64, gap: f64) -> Option<f64> {
        self.waited = if progress > VISIBLE * gap { 0 } else { self.waited + 1 };
        if self.waited >= self.patience {
            self.waited = 0;
            self.scale *= SHRINK;
        }
        (self.scale >= self.shortest).then_some(self.scale)
    }
}
