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
        for (&v, profit) in problem.leaf.iter().zip(&problem.profit) {
            self.sums[v as usize].0 += profit * unit;
        }
        if coupled {
            let entry = |i: usize| (problem.leaf[i], problem.cluster[i]);
            self.fold.run(&gains, problem.leaf.len(), entry, tally);
            for (&v, &k) in problem.leaf.iter().zip(&problem.cluster) {
                let (value, hope) = &mut self.sums[v as usize];
                *value += self.fold.base(k);
                *hope += self.fold.gain(&gains, k, 0);
            }
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
        left.parent.push(0);
        left.value.push(sums[0].0);
        place.clear();
        place.resize(p, 0);
        for (v, &state) in self.state.iter().enumerate().skip(1) {
            let mut at = place[parent[v] as usize];
            at = if state == State::Out { NONE } else { at };
            if state == State::Live && at != NONE {
                left.parent.push(at);
                left.value.push(sums[v].0);
                at = left.len() as u32 - 1;
            }
            place[v] = at;
        }
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
