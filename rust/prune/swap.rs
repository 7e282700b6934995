//! Better selections within a budget, by taking a subtree out and filling up.

use std::mem::swap;

use super::fit::Filler;
use super::forest::Forest;
use crate::clock::Clock;

/// Subtrees that are taken out of a selection and its betters, each for some passes over the forest.
const MOST_TRIALS: u32 = 1000;

/// Betters selections; owns the scratch memory.
#[derive(Debug, Default)]
pub(super) struct Swap {
    filler: Filler,
    trial: Vec<bool>,
    held: Vec<u32>,
    /// What each kept subtree is worth without gains, and its tokens, `[r]`.
    value: Vec<f64>,
    tokens: Vec<u64>,
    /// Kept children, `[r]`.
    below: Vec<u32>,
}

impl Swap {
    /// Takes one subtree after another out of a selection, each time fills up what the budget leaves
    /// then, and goes on with what is worth more; returns the worth of the last.
    ///
    /// `price` is of tokens: one at which a selection within the budget is nearly best.
    pub fn better(
        &mut self,
        forest: &Forest,
        budget: u64,
        price: f64,
        keep: &mut Vec<bool>,
        clock: &mut Clock,
    ) -> f64 {
        let mut best = forest.worth(keep, &mut self.held);
        let (mut trials, mut better) = (0, true);
        while std::mem::take(&mut better) {
            let mut spare = self.weigh(forest, budget, keep);
            for v in 1..forest.len() {
                if !keep[v] || self.leads_on(forest, v) {
                    continue;
                }
                // At such a price nothing is worth more than it costs, but for clusters that open again:
                // to use up the budget gains what is spare at most.
                if self.value[v] - price * self.tokens[v] as f64 >= price * spare as f64 {
                    continue;
                }
                self.take_out(forest, keep, v);
                // A leaf would come back at once where it is worth most.
                let without = if self.below[v] == 0 { v } else { 0 };
                self.filler.fill(forest, budget, without, &mut self.trial, clock);
                let worth = forest.worth(&self.trial, &mut self.held);
                if worth > best {
                    (best, better) = (worth, true);
                    swap(keep, &mut self.trial);
                    spare = self.weigh(forest, budget, keep);
                }
                trials += 1;
                if clock.after(forest.len() + forest.owner.len()) || trials == MOST_TRIALS {
                    return best;
                }
            }
        }
        best
    }

    /// Weighs the kept subtrees; returns the tokens that the budget leaves.
    fn weigh(&mut self, forest: &Forest, budget: u64, keep: &[bool]) -> u64 {
        self.value.clone_from(&forest.value);
        self.tokens.clone_from(&forest.tokens);
        self.below.clear();
        self.below.resize(forest.len(), 0);
        for v in (1..forest.len()).rev().filter(|&v| keep[v]) {
            let above = forest.parent[v] as usize;
            self.value[above] += self.value[v];
            self.tokens[above] += self.tokens[v];
            self.below[above] += 1;
        }
        budget.saturating_sub(self.tokens[0])
    }

    /// Says whether a kept node carries nothing and has one kept child, with which it goes.
    fn leads_on(&self, forest: &Forest, v: usize) -> bool {
        self.below[v] == 1 && forest.members_of(v).is_empty()
    }

    /// Makes the trial: a selection without a subtree, and without what only led there.
    fn take_out(&mut self, forest: &Forest, keep: &[bool], v: usize) {
        let above = |v: usize| forest.parent[v] as usize;
        let mut top = v;
        while above(top) != 0 && self.leads_on(forest, above(top)) {
            top = above(top);
        }
        self.trial.clear();
        self.trial.extend_from_slice(keep);
        self.trial[top] = false;
        for w in top + 1..forest.len() {
            self.trial[w] &= self.trial[above(w)];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generate::{ClusterKind, Generator};
    use crate::prune::problem::Problem;

    fn closed(forest: &Forest, keep: &[bool]) -> bool {
        (1..forest.len()).all(|v| !keep[v] || keep[forest.parent[v] as usize])
    }

    /// The root alone, and what a budget bears on top of it.
    fn filled(forest: &Forest, budget: u64) -> Vec<bool> {
        let mut keep = vec![false; forest.len()];
        keep[0] = true;
        Filler::default().fill(forest, budget, 0, &mut keep, &mut Clock::default());
        keep
    }

    proptest! {
        #[test]
        fn what_is_filled_up_and_bettered_fits_and_is_worth_no_less(
            (width, depth, seed) in (1_usize..40, 1_usize..6, any::<u64>()),
            (lambda_b, lambda_d, rho) in (0.0..3.0, 0.0..3.0, prop_oneof![Just(0.0), 0.1..0.9]),
            (part, price) in (0.05..1.0, prop_oneof![Just(0.0), 0.0..1e-3]),
        ) {
            let clusters = ClusterKind::Independent;
            let made = Generator { width, depth, clusters, pruned: None, seed }.generate().unwrap();
            let all: u64 = made.tokens.iter().sum();
            let budget = made.tokens[0].max((part * all as f64) as u64);
            let request = made.request(lambda_b, lambda_d).node_tokens(&made.tokens);
            let mut problem = Problem::default();
            problem.read(&request.rho(rho).kv_budget(all)).unwrap();
            problem.list_candidates();
            let mut forest = Forest::default();
            forest.load(&problem, 1.0);
            let (mut held, mut clock) = (vec![], Clock::default());
            let mut keep = filled(&forest, budget);
            let before = forest.worth(&keep, &mut held);
            prop_assert!(before >= forest.value[0]);
            let worth = Swap::default().better(&forest, budget, price, &mut keep, &mut clock);
            prop_assert!(worth >= before);
            prop_assert_eq!(worth.to_bits(), forest.worth(&keep, &mut held).to_bits());
            prop_assert!(closed(&forest, &keep) && forest.tokens_of(&keep) <= budget);
        }
    }

    /// Three leaves below the root: the best alone fills the budget, the two others are worth more.
    #[test]
    fn two_leaves_take_the_place_of_a_better_one() {
        let mut forest = Forest {
            parent: vec![0; 4],
            value: vec![0.0, 5.0, 4.0, 3.0],
            tokens: vec![1, 10, 5, 5],
            ..Forest::default()
        };
        forest.gains.clear(Some(1.0));
        let mut keep = filled(&forest, 11);
        assert_eq!(keep, [true, true, false, false]);
        let worth = Swap::default().better(&forest, 11, 0.6, &mut keep, &mut Clock::default());
        assert_eq!(keep, [true, false, true, true]);
        assert!((worth - 7.0).abs() < 1e-12);
    }
}
