//! The Lagrangian bound of a forest, and selections found on the way to it.

use super::blocks::Blocks;
use super::fix::{Fix, fix_by_cost};
use super::forest::{Forest, Hint};
use super::repair::Repair;
use super::subgradient::{Relaxation, Step, Steps};
use crate::clock::Clock;

/// Subgradient steps without progress after which their length shrinks.
const PATIENCE: u32 = 4;
/// Forests smaller than this have their selections repaired at every better bound.
const OFTEN: usize = 64;
/// Where the step length has shrunk this much, the bound has all but converged.
const SHORTEST_STEP: f64 = 0.02;
/// Weight of the newest selection in the running mean.
const MEAN_WEIGHT: f64 = 0.15;

/// Relaxes "a member adds its gain only where its carrier is kept", with a multiplier `u_k` for a
/// member of each cluster, at least 0 and at most the first gain:
///
/// ```text
/// L(u) = sum_k sum_j max(0, gain_kj - u_k)
///     + max over selections of sum_v (value_v + sum of u_k over the members that v carries)
/// ```
///
/// bounds every selection from above, since `m` members are worth at most `m u_k` and the excess of
/// each gain over `u_k`. One pass over the tree computes it.
///
/// Where entries have ranks, a cluster has a multiplier for each rank that occurs, none above the
/// one before it; it stands for the gains from that rank up to the next. Some best selection has,
/// in order of rank, its `i`-th member of each cluster at a rank of `i` at most (both from 0), so
/// that the multipliers it collects come to no less than those of its first `m` gains, and the
/// bound holds for it. Equal members at one place then share no more of their path's cost than the
/// first of them.
#[derive(Debug, Default)]
pub(super) struct Dual {
    /// Worth of each subtree at the current multipliers, given that its top is kept, `[r]`.
    pub(super) sum: Vec<f64>,
    /// Best selection at the current multipliers, `[r]`.
    keep: Vec<bool>,
    /// What has a multiplier: a cluster, or the gains of one from a rank up to the next.
    pub(super) blocks: Blocks,
    /// Kept members of each block, `[blocks]`.
    count: Vec<u32>,
    pub(super) multiplier: Vec<f64>,
    pull: Vec<f64>,
    best_multiplier: Vec<f64>,
    /// Running mean of `keep`, `[r]`: near the fractions that the linear relaxation has.
    mean: Vec<f64>,
    repair: Repair,
    margin: Vec<f64>,
    held: Vec<u32>,
    pub(super) needs: Vec<f64>,
    /// Best selection found, `[r]`; holds one only where `found`.
    pub incumbent: Vec<bool>,
    pub found: bool,
    /// Its worth, or the cutoff that a selection must exceed.
    pub floor: f64,
    /// Smallest bound found.
    pub bound: f64,
}

impl Dual {
    /// Bounds a forest, until the bound meets `cutoff` or the best selection found, or converges.
    ///
    /// Leaves the multipliers of the best bound in the forest, as hints for what is made of it.
    /// Returns how many bounds it took.
    pub fn run(
        &mut self,
        forest: &mut Forest,
        cutoff: f64,
        most_steps: u32,
        tolerance: f64,
        clock: &mut Clock,
    ) -> u64 {
        self.begin(forest, cutoff);
        self.ascend(forest, clock);
        let steps = Steps { patience: PATIENCE, shortest: SHORTEST_STEP, most: most_steps };
        let bounds = steps.lower(self, forest, tolerance, clock);
        let mut hints = std::mem::take(&mut forest.hints);
        hints.clear();
        let entries = forest.owner.iter().zip(&forest.cover).zip(self.blocks.of(forest));
        hints.extend(entries.map(|((&node, &cluster), &block)| Hint {
            node,
            cluster,
            multiplier: self.best_multiplier[block as usize],
        }));
        forest.hints = hints;

        bounds
    }

    /// Starts with what is known without a bound.
    pub fn begin(&mut self, forest: &Forest, cutoff: f64) {
        let r = forest.len();
        self.blocks.list(forest);
        let blocks = self.blocks.count(forest);
        self.count.clear();
        self.count.resize(blocks, 0);
        self.multiplier.clear();
        self.multiplier.resize(blocks, 0.0);
        self.take_hints(forest);
        self.best_multiplier.clone_from(&self.multiplier);
        self.mean.clear();
        self.mean.resize(r, 0.0);
        self.bound = f64::INFINITY;
        self.floor = cutoff;
        self.found = false;
        // Keeping nothing but the root is always possible.
        if forest.value[0] > self.floor {
            self.floor = forest.value[0];
            self.found = true;
            self.incumbent.clear();
            self.incumbent.resize(r, false);
            self.incumbent[0] = true;
        }
    }

    /// Starts from the multipliers that the forest hints at.
    fn take_hints(&mut self, forest: &Forest) {
        if let Some(gain) = forest.gains.same() {
            // A path's may exceed the gain, and then bound nothing here.
            for hint in &forest.hints {
                let multiplier = &mut self.multiplier[hint.cluster as usize];
                *multiplier = multiplier.max(hint.multiplier).min(gain);
            }
            return;
        }
        for hint in &forest.hints {
            let own = forest.entries_of(hint.node as usize);
            if let Some(e) = own.into_iter().find(|&e| forest.cover[e] == hint.cluster) {
                let block = self.blocks.of(forest)[e];
                let most = self.blocks.most(&forest.gains, block);
                let multiplier = &mut self.multiplier[block as usize];
                *multiplier = multiplier.max(hint.multiplier).min(most);
            }
        }
        self.blocks.level(&mut self.multiplier);
    }

    /// Takes in a selection that attains another bound, to be repaired where it `is_good`; returns the
    /// worth of the best one found.
    pub fn see_other(
        &mut self,
        forest: &Forest,
        keep: &[bool],
        is_good: bool,
        clock: &mut Clock,
    ) -> f64 {
        average(&mut self.mean, keep);
        if is_good {
            self.try_selection(forest, keep, clock);
        }
        self.floor
    }

    /// Repairs a selection, and remembers it where it is the best so far.
    fn try_selection(&mut self, forest: &Forest, keep: &[bool], clock: &mut Clock) {
        let trial = self.repair.run(forest, keep, self.blocks.by_cluster(), clock);
        let worth = forest.worth(trial, &mut self.held);
        if worth > self.floor {
            self.floor = worth;
            self.found = true;
            self.incumbent.clear();
            self.incumbent.extend_from_slice(trial);
        }
    }

    /// Fixes what every selection worth more than `floor` by the tolerance has in common, by
    /// reduced cost.
    ///
    /// Returns how many nodes are fixed.
    pub fn fix(
        &mut self,
        forest: &Forest,
        floor: f64,
        tolerance: f64,
        fix: &mut Vec<Fix>,
    ) -> usize {
        self.multiplier.clone_from(&self.best_multiplier);
        let bound = self.evaluate(forest);
        let spare = bound - floor - tolerance;
        fix_by_cost(forest, &self.sum, &self.keep, spare, &mut self.margin, fix)
    }

    /// Picks the node to branch on: the most undecided, weighted by the clusters at and below it.
    ///
    /// Returns it, and whether it is rather kept.
    pub fn branch(&mut self, forest: &Forest, fix: &[Fix]) -> (usize, bool) {
        // Entries at and below each node, `[r]`.
        self.margin.clear();
        self.margin.resize(forest.len(), 0.0);
        forest.owner.iter().for_each(|&v| self.margin[v as usize] += 1.0);
        for v in (1..forest.len()).rev() {
            self.margin[forest.parent[v] as usize] += self.margin[v];
        }
        let free = (1..forest.len()).filter(|&v| fix[v] == Fix::Free);
        let score = |v: usize| {
            let mean = self.mean[v];
            (mean.min(1.0 - mean) + 1e-6) * self.margin[v].sqrt()
        };
        // The first of equal scores.
        let v = free.reduce(|best, v| if score(v) > score(best) { v } else { best });
        let v = v.unwrap_or(1);
        (v, self.mean[v] >= 0.5)
    }
}

impl Relaxation for Dual {
    fn evaluate(&mut self, forest: &Forest) -> f64 {
        self.sum.clone_from(&forest.value);
        for (&v, &block) in forest.owner.iter().zip(self.blocks.of(forest)) {
            self.sum[v as usize] += self.multiplier[block as usize];
        }
        forest.choose(0.0, &mut self.sum, &mut self.keep);
        self.count.fill(0);
        for (&v, &block) in forest.owner.iter().zip(self.blocks.of(forest)) {
            self.count[block as usize] += u32::from(self.keep[v as usize]);
        }
        average(&mut self.mean, &self.keep);
        let spared: f64 = match forest.gains.same() {
            Some(gain) => self.multiplier.iter().map(|multiplier| gain - multiplier).sum(),
            None => (0_u32..)
                .zip(&self.multiplier)
                .map(|(block, multiplier)| {
                    let gains = self.blocks.gains(&forest.gains, block);
                    let above = gains.iter().take_while(|&gain| gain > multiplier);
                    above.map(|gain| gain - multiplier).sum::<f64>()
                })
                .sum(),
        };
        self.sum[0] + spared
    }

    fn step(&mut self, forest: &Forest, gap: f64) -> bool {
        let gains = &forest.gains;
        let Self { multiplier, pull, count, blocks, .. } = self;
        // The kept members should be as many as the gains above the multiplier.
        let miss = |block: u32, multiplier: f64, count: u32| {
            let of = blocks.gains(gains, block);
            let above = of.iter().take_while(|&&gain| gain > multiplier).count() as u32;
            if count < above {
                return f64::from(above - count);
            }
            // At a multiplier of 0 further members are as good as none.
            let level = of[above as usize..].iter().take_while(|&&gain| gain >= multiplier).count();
            let most = above + level as u32;
            if count > most && multiplier > 0.0 { -f64::from(count - most) } else { 0.0 }
        };
        pull.clear();
        pull.extend(
            (0..)
                .zip(&*multiplier)
                .zip(&*count)
                .map(|((b, &multiplier), &c)| miss(b, multiplier, c)),
        );
        let norm: f64 = pull.iter().map(|pull| pull * pull).sum();
        if norm == 0.0 {
            return false;
        }
        let length = gap / norm;
        multiplier
            .iter_mut()
            .zip(&*pull)
            .for_each(|(multiplier, pull)| *multiplier += length * pull);
        blocks.level(multiplier);
        for (block, multiplier) in (0..).zip(multiplier) {
            *multiplier = multiplier.clamp(0.0, blocks.most(gains, block));
        }
        true
    }

    fn remember(&mut self, bound: f64) {
        self.bound = bound;
        self.best_multiplier.clone_from(&self.multiplier);
    }

    fn see(&mut self, forest: &Forest, at: Step, clock: &mut Clock) -> f64 {
        let often = at.is_regular || forest.len() < OFTEN;
        if at.is_best && often || at.is_last {
            let keep = std::mem::take(&mut self.keep);
            self.try_selection(forest, &keep, clock);
            self.keep = keep;
        }
        self.floor
    }

    fn work(&self, forest: &Forest) -> usize {
        forest.len() + forest.owner.len()
    }
}

fn average(mean: &mut [f64], keep: &[bool]) {
    for (mean, &kept) in mean.iter_mut().zip(keep) {
        *mean += MEAN_WEIGHT * (f64::from(u8::from(kept)) - *mean);
    }
}
