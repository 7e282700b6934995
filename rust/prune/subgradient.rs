//! Subgradient steps on the multipliers of a Lagrangian bound.

use super::forest::Forest;
use crate::clock::Clock;

/// Progress that counts closes this part of the gap.
const VISIBLE: f64 = 0.02;
/// What is left of the length where there is none.
const SHRINK: f64 = 0.6;
/// The first steps and every so many later ones are regular: a selection of bad multipliers is not
/// worth its repair, which costs more than the bound.
const FIRST: u64 = 4;
const OFTEN: u64 = 4;

/// A Lagrangian bound of a forest, and where its multipliers stand.
pub(super) trait Relaxation {
    /// Computes the bound at the current multipliers, with the selection that attains it.
    fn evaluate(&mut self, forest: &Forest) -> f64;

    /// Remembers the current multipliers, whose bound is the best so far.
    fn remember(&mut self, bound: f64);

    /// Takes in the selection of the current multipliers; returns a target that no bound can pass.
    fn see(&mut self, forest: &Forest, at: Step, clock: &mut Clock) -> f64;

    /// Moves the multipliers against the subgradient, as far as would close this gap; false where that
    /// is zero.
    fn step(&mut self, forest: &Forest, gap: f64) -> bool;

    /// Nodes and entries that are looked at for a bound.
    fn work(&self, forest: &Forest) -> usize;
}

/// What is known of a step when its selection is seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The bound is the best so far.
    pub is_best: bool,
    pub is_regular: bool,
    pub is_last: bool,
}

/// How far steps go, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// Steps without progress after which their length shrinks.
    pub patience: u32,
    /// The bound has all but converged where the length, as a part of what Polyak's rule gives, has
    /// shrunk below this.
    pub shortest: f64,
    pub most: u32,
}

impl Steps {
    /// Lowers a bound until it comes within `tolerance` of its target, or converges; returns how
    /// many bounds that took.
    pub fn lower(
        self,
        relaxation: &mut impl Relaxation,
        forest: &Forest,
        tolerance: f64,
        clock: &mut Clock,
    ) -> u64 {
        let (mut best, mut scale, mut waited, mut bounds) = (f64::INFINITY, 1.0, 0, 0);
        loop {
            let bound = relaxation.evaluate(forest);
            let progress = best - bound;
            if progress > 0.0 {
                best = bound;
                relaxation.remember(bound);
            }
            let at = Step {
                is_best: progress > 0.0,
                is_regular: bounds < FIRST || bounds % OFTEN == 0,
                is_last: bounds == u64::from(self.most),
            };
            bounds += 1;
            let target = relaxation.see(forest, at, clock);
            if best <= target + tolerance || clock.after(relaxation.work(forest)) || at.is_last {
                return bounds;
            }
            waited = if progress > VISIBLE * (best - target) { 0 } else { waited + 1 };
            if waited >= self.patience {
                (waited, scale) = (0, scale * SHRINK);
            }
            if scale < self.shortest || !relaxation.step(forest, scale * (bound - target)) {
                return bounds;
            }
        }
    }
}
