//! Rounds of reductions, repeated until none applies, and the way back.

use super::counts::Tally;
use super::fix::Fix;
use super::forest::{Forest, Hint};
use super::none::NONE;
use super::presolve::Presolve;
use crate::clock::Clock;

/// A forest after the reductions, and the way back to the one it came from.
#[derive(Debug, Default)]
pub(super) struct Reduction {
    /// The rounds so far; those from `used` on are spare memory.
    rounds: Vec<Round>,
    used: usize,
}

/// One round: each node's place in what is left, and that.
#[derive(Debug, Default)]
struct Round {
    /// Node of `left` that each node became part of, or [`NONE`].
    place: Vec<u32>,
    left: Forest,
}

impl Reduction {
    /// Reduces a forest, some nodes of it fixed (`fix` empty: none), until nothing applies.
    pub fn run(
        &mut self,
        forest: &Forest,
        fix: &[Fix],
        presolve: &mut Presolve,
        tally: &mut Tally,
        clock: &mut Clock,
    ) {
        self.used = 0;
        self.round(Some(forest), fix, presolve, tally);
        let mut work = forest.len() + forest.owner.len();
        // Each round alone is lossless, so that the deadline may end them anywhere.
        while !clock.after(work) && self.left().len() > 1 {
            let (nodes, entries) = (self.left().len(), self.left().owner.len());
            work = nodes + entries;
            let left = &mut self.rounds[self.used - 1].left;
            // Ranks say nothing where the members before one may not fit.
            let found = !(left.budgeted() && left.gains.same().is_none())
                && presolve.dominance.find(left, tally);
            let fix = std::mem::take(&mut presolve.dominance.fix);
            let folded = self.round(None, if found { &fix } else { &[] }, presolve, tally);
            presolve.dominance.fix = fix;
            let left = self.left();
            if left.len() == nodes && left.owner.len() == entries && !folded {
                // Nothing was done: the round before left the same, with ranks.
                self.used -= 1;
                break;
            }
        }
    }

    /// What is left; its root's value is the worth of all that is settled.
    pub fn left(&self) -> &Forest {
        &self.rounds[self.used - 1].left
    }

    /// Hands on multipliers for what is left.
    pub fn set_hints(&mut self, hints: &[Hint]) {
        let left = &mut self.rounds[self.used - 1].left;
        left.hints.clear();
        left.hints.extend_from_slice(hints);
    }

    /// Turns a selection of what is left into one of the forest that was reduced.
    pub fn expand(&self, left: &[bool], keep: &mut Vec<bool>, scratch: &mut Vec<bool>) {
        scratch.clear();
        scratch.extend_from_slice(left);
        for round in self.rounds[..self.used].iter().rev() {
            keep.clear();
            keep.extend(round.place.iter().map(|&at| at != NONE && scratch[at as usize]));
            std::mem::swap(keep, scratch);
        }
        std::mem::swap(keep, scratch);
    }

    /// Applies one round to `forest`, or to what is left; says whether a cluster was folded.
    fn round(
        &mut self,
        forest: Option<&Forest>,
        fix: &[Fix],
        presolve: &mut Presolve,
        tally: &mut Tally,
    ) -> bool {
        if self.rounds.len() == self.used {
            self.rounds.push(Round::default());
        }
        let (before, rest) = self.rounds.split_at_mut(self.used);
        let Round { place, left } = &mut rest[0];
        self.used += 1;
        let folds = tally.folded;
        // `forest` is only missing after a first round.
        if let Some(forest) = forest.or(before.last().map(|round| &round.left)) {
            presolve.bottom_up(forest, fix, tally);
            presolve.top_down(forest, place, left);
        }
        tally.folded > folds
    }
}
