//! The first reductions, over the whole tree at once.

use super::counts::Tally;
use super::forest::Forest;
use super::none::NONE;
use super::presolve::{Presolve, State};
use super::problem::Problem;

impl Presolve {
    /// Reduces a whole problem once, every value times `unit`; returns what is left.
    ///
    /// The first round of all, on much the largest forest, so without branches: the rounds that
    /// follow find what it does not look for, the unary chains.
    pub fn sweep(
        &mut self,
        problem: &Problem,
        unit: f64,
        place: &mut Vec<u32>,
        left: &mut Forest,
        tally: &mut Tally,
    ) {
        let p = problem.parent.len();
        let mut gains = std::mem::take(&mut self.scaled);
        gains.copy_scaled(&problem.gains, unit);
        let coupled = problem.coupled();
        // Worth without gains, and what gains may add to it.
        self.sums.clear();
        self.sums.extend(problem.cost.iter().map(|cost| (-cost * unit, 0.0)));
        let leaves = problem.leaf.iter().zip(&problem.profit);
        if coupled {
            let entry = |i: usize| (problem.leaf[i], problem.cluster[i]);
            self.fold.run(&gains, problem.leaf.len(), entry, tally);
            self.firsts.clear();
            let clusters = 0..gains.clusters() as u32;
            let fold = &self.fold;
            self.firsts.extend(clusters.map(|k| (fold.base(k), fold.gain(&gains, k, 0))));
            for ((&v, profit), &k) in leaves.zip(&problem.cluster) {
                let ((base, first), sum) = (self.firsts[k as usize], &mut self.sums[v as usize]);
                *sum = (sum.0 + profit * unit + base, first);
            }
        } else {
            leaves.for_each(|(&v, profit)| self.sums[v as usize].0 += profit * unit);
        }
        self.state.clear();
        self.state.resize(p, State::Live);
        let (mut joined, mut dropped) = (0_u32, 0_u32);
        let (sums, parent) = (&mut self.sums[..p], &problem.parent[..p]);
        for (v, state) in self.state.iter_mut().enumerate().skip(1).rev() {
            let (value, hope) = sums[v];
            let all = value + hope;
            let (joins, out) = (value >= 0.0, all <= 0.0);
            let above = &mut sums[parent[v] as usize];
            let values = if joins { value } else { 0.0 };
            above.0 += if out { 0.0 } else { values };
            let hopes = if joins { hope } else { all };
            above.1 += if out { 0.0 } else { hopes };
            *state = if joins { State::Joined } else { State::Live };
            *state = if out { State::Out } else { *state };
            joined += u32::from(*state == State::Joined);
            dropped += u32::from(*state == State::Out);
        }
        tally.joined += u64::from(joined);
        tally.dropped += u64::from(dropped);
        left.clear(gains.same());
        // Each node is written where the next live one goes, so one slot more than there are.
        let live = p - (joined + dropped) as usize;
        left.parent.resize(live + 1, 0);
        left.value.resize(live + 1, 0.0);
        left.value[0] = sums[0].0;
        let mut next = 1;
        place.clear();
        place.resize(p, 0);
        for (v, &state) in self.state.iter().enumerate().skip(1) {
            let mut at = place[parent[v] as usize];
            at = if state == State::Out { NONE } else { at };
            left.parent[next] = at;
            left.value[next] = sums[v].0;
            let stays = state == State::Live && at != NONE;
            place[v] = if stays { next as u32 } else { at };
            next += usize::from(stays);
        }
        left.parent.truncate(next);
        left.value.truncate(next);
        if coupled {
            let entry = |i: usize| (place[problem.leaf[i] as usize], problem.cluster[i]);
            self.settle(problem.leaf.len(), entry, &gains, left);
            if left.len() > 1 {
                self.carry_over(problem.leaf.len(), entry, &gains, left);
            }
        }
        self.scaled = gains;
    }
}
