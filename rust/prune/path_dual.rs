//! A tighter Lagrangian bound, in which a cluster pays for the path that covers it.

use super::fix::{Fix, fix_by_cost};
use super::forest::{Forest, Hint};
use super::none::NONE;
use super::pairs::Pairs;
use super::subgradient::{Relaxation, Step, Steps};
use crate::clock::Clock;

/// Where it has shrunk this much, the bound has all but converged.
const SHORTEST_STEP: f64 = 0.01;
/// A subtree worth less than nothing by this little is level, but for rounding.
const LEVEL: f64 = 1e-14;

/// Relaxes "a cluster is covered through the path to one kept carrier", where all have the one
/// gain.
///
/// Each pair of a cluster `k` and a node `v` on a path to one of its carriers has a multiplier
/// `p_vk >= 0`. What a cluster pays is the cheapest path, `u_k = min(gain, min over its carriers of
/// the sum of p_vk on the path)`, and
///
/// ```text
/// L(p) = sum_k (gain - u_k) + max over selections of sum_v (value_v + sum_k p_vk)
/// ```
///
/// bounds every selection from above: one that covers `k` collects at least `u_k` on the path that
/// covers it. Carriers that share part of their path share its multipliers, which makes the bound
/// tighter than that of the linear relaxation with one constraint for each cluster. One pass over
/// the tree and the pairs computes it.
#[derive(Debug, Default)]
pub(super) struct PathDual {
    pairs: Pairs,
    /// Multiplier of each pair, and the multipliers of the best bound.
    multiplier: Vec<f64>,
    best_multiplier: Vec<f64>,
    /// Sum of the multipliers on the path down to each pair.
    path: Vec<f64>,
    /// The carrier's pair with the smallest such sum; `NONE` where that is the gain or more, `[K]`.
    cheapest: Vec<u32>,
    /// Direction of the next step for each pair.
    pull: Vec<f64>,
    /// Worth of each subtree at the current multipliers, given that its top is kept, `[r]`.
    pub sum: Vec<f64>,
    /// Best selection at the current multipliers, `[r]`.
    keep: Vec<bool>,
    /// Scratch of what is fixed by cost; not `path`, which is by pairs.
    loss: Vec<f64>,
    /// Smallest bound found.
    pub bound: f64,
}

impl PathDual {
    /// Bounds a forest whose root carries no member, until the bound comes within `tolerance` of a
    /// target, which it cannot pass, or converges. Returns how many bounds it took.
    ///
    /// Steps become shorter after `patience` of them without progress. `see` is shown the selection
    /// that attains each bound, and whether it is worth a repair: the best bound so far, and at some
    /// steps only, for a repair costs as much as some bounds. It returns the target.
    pub fn run(
        &mut self,
        forest: &Forest,
        tolerance: f64,
        patience: u32,
        most_steps: u32,
        clock: &mut Clock,
        see: impl FnMut(&[bool], bool, &mut Clock) -> f64,
    ) -> u64 {
        self.pairs.list(forest, &mut self.multiplier, clock);
        self.best_multiplier.clone_from(&self.multiplier);
        self.path.clone_from(&self.multiplier);
        self.ascend(forest, clock);
        self.bound = f64::INFINITY;
        let steps = Steps { patience, shortest: SHORTEST_STEP, most: most_steps };
        steps.lower(&mut Shown { dual: self, see }, forest, tolerance, clock)
    }

    /// Tells what each cluster pays at the current multipliers, `[K]`.
    pub fn paid(&self, forest: &Forest, paid: &mut Vec<f64>) {
        let gain = forest.gains.same().unwrap_or(0.0);
        let of = |&pair: &u32| if pair == NONE { gain } else { self.path[pair as usize] };
        paid.clear();
        paid.extend(self.cheapest.iter().map(of));
    }

    /// Hands on the multipliers of the best bound.
    pub fn hints(&self, hints: &mut Vec<Hint>) {
        hints.clear();
        for (cluster, span) in self.pairs.start.windows(2).enumerate() {
            for pair in span[0] as usize..span[1] as usize {
                let (node, multiplier) = (self.pairs.node[pair], self.best_multiplier[pair]);
                if multiplier > 0.0 {
                    hints.push(Hint { node, cluster: cluster as u32, multiplier });
                }
            }
        }
    }

    /// Computes the bound at the current multipliers, with the selection that attains it.
    fn evaluate(&mut self, forest: &Forest) -> f64 {
        let gain = forest.gains.same().unwrap_or(0.0);
        let Pairs { start, node, up, carries, .. } = &self.pairs;
        self.sum.clone_from(&forest.value);
        for (&v, multiplier) in node.iter().zip(&self.multiplier) {
            self.sum[v as usize] += multiplier;
        }
        forest.choose(-LEVEL, &mut self.sum, &mut self.keep);
        let mut bound = self.sum[0];
        self.cheapest.clear();
        for span in start.windows(2) {
            let (mut least, mut cheapest) = (gain, NONE);
            for pair in span[0] as usize..span[1] as usize {
                let above = if up[pair] == NONE { 0.0 } else { self.path[up[pair] as usize] };
                self.path[pair] = above + self.multiplier[pair];
                if carries[pair] && self.path[pair] < least {
                    (least, cheapest) = (self.path[pair], pair as u32);
                }
            }
            bound += gain - least;
            self.cheapest.push(cheapest);
        }
        bound
    }

    /// Moves the multipliers against the subgradient; false where that is zero.
    ///
    /// A kept node collects its multipliers, which the bound would rather not pay; a cluster's
    /// cheapest path limits what it pays.
    fn step(&mut self, gap: f64) -> bool {
        self.pull.clear();
        self.pull.extend(
            self.pairs.node.iter().map(|&v| if self.keep[v as usize] { -1.0 } else { 0.0 }),
        );
        for &cheapest in &self.cheapest {
            let mut pair = cheapest;
            while pair != NONE {
                self.pull[pair as usize] += 1.0;
                pair = self.pairs.up[pair as usize];
            }
        }
        let mut norm = 0.0;
        for (pull, &multiplier) in self.pull.iter_mut().zip(&self.multiplier) {
            if multiplier <= 0.0 && *pull < 0.0 {
                *pull = 0.0;
            }
            norm += *pull * *pull;
        }
        if norm == 0.0 {
            return false;
        }
        let length = gap / norm;
        for (multiplier, pull) in self.multiplier.iter_mut().zip(&self.pull) {
            *multiplier = (*multiplier + length * pull).max(0.0);
        }
        true
    }

    /// Lets each cluster in turn pay as much as costs nothing: what its paths lack to be kept.
    ///
    /// What a carrier lacks is paid from the carrier up, for what lies deeper is of use to fewer
    /// other clusters.
    fn ascend(&mut self, forest: &Forest, clock: &mut Clock) {
        let gain = forest.gains.same().unwrap_or(0.0);
        self.evaluate(forest);
        let Pairs { start, node, up, carries, .. } = &self.pairs;
        for span in start.windows(2) {
            let span = span[0] as usize..span[1] as usize;
            if clock.after(span.len()) {
                break;
            }
            let carriers = span.clone().filter(|&pair| carries[pair]);
            let paid = carriers.fold(gain, |least, pair| least.min(self.path[pair]));
            let mut least = gain - paid;
            for pair in span.clone() {
                let above = if up[pair] == NONE { 0.0 } else { self.path[up[pair] as usize] };
                self.path[pair] = above + (-self.sum[node[pair] as usize]).max(0.0);
                if carries[pair] {
                    least = least.min(self.path[pair]);
                }
            }
            // From here on: what the carriers below still have to be paid.
            self.path[span.clone()].fill(0.0);
            for pair in span.rev() {
                let open = if carries[pair] { least } else { self.path[pair] };
                let sum = &mut self.sum[node[pair] as usize];
                let paid = open.min(-*sum).max(0.0);
                self.multiplier[pair] += paid;
                *sum += paid;
                if up[pair] != NONE {
                    let above = &mut self.path[up[pair] as usize];
                    *above = above.max(open - paid);
                }
            }
        }
    }

    /// Fixes what every selection better than `floor` has in common, by reduced cost.
    ///
    /// Returns how many nodes are fixed.
    pub fn fix(&mut self, forest: &Forest, floor: f64, fix: &mut Vec<Fix>) -> usize {
        self.multiplier.clone_from(&self.best_multiplier);
        let bound = self.evaluate(forest);
        fix_by_cost(forest, &self.sum, &self.keep, bound - floor, &mut self.loss, fix)
    }
}

/// A bound whose selections are shown to somebody else, who sets its target.
struct Shown<'a, See> {
    dual: &'a mut PathDual,
    see: See,
}

impl<See: FnMut(&[bool], bool, &mut Clock) -> f64> Relaxation for Shown<'_, See> {
    fn evaluate(&mut self, forest: &Forest) -> f64 {
        self.dual.evaluate(forest)
    }

    fn remember(&mut self, bound: f64) {
        self.dual.bound = bound;
        self.dual.best_multiplier.clone_from(&self.dual.multiplier);
    }

    fn see(&mut self, _: &Forest, at: Step, clock: &mut Clock) -> f64 {
        (self.see)(&self.dual.keep, at.is_best && at.is_regular, clock)
    }

    fn step(&mut self, _: &Forest, gap: f64) -> bool {
        self.dual.step(gap)
    }

    fn work(&self, forest: &Forest) -> usize {
        forest.len() + self.dual.pairs.node.len()
    }
}
