//! The exact method under a KV budget: a price on tokens, and branching where prices cannot decide.

use std::cmp::Reverse;

use super::answer::{Answer, TOLERANCE};
use super::dual::Dual;
use super::exact::{Exact, MOST_NESTED};
use super::fit::{Filler, shed};
use super::fix::{Fix, decide};
use super::forest::Forest;
use super::knapsack::{Knapsack, Outcome, Terms};
use super::path_dual::PathDual;
use super::presolve::Presolve;
use super::reduction::Reduction;
use super::swap::Swap;

/// Prices tried for one bound; each cuts the interval at the crossing of two lines, and a dozen
/// is usual.
const MOST_PRICES: u32 = 60;
/// After the first branch: a price that is nearly best bounds nearly as well, and the branches below try
/// more.
const MOST_LATER_PRICES: u32 = 5;
/// Branches at one price: a proof that takes more is left to the branches on the budget, which make both
/// problems smaller.
const MOST_INNER_BRANCHES: u64 = 3;
/// Steps towards the prices that reduced costs are taken from, before the first branch and after.
const FIRST_STEPS: u32 = 600;
const LATER_STEPS: u32 = 150;
/// Of those without progress, how many before they become shorter. Prices that are not there yet fix
/// next to nothing.
const FIRST_PATIENCE: u32 = 20;
const LATER_PATIENCE: u32 = 12;
/// How near to the best bound at a price those come, as a part of the gap.
const NEAR: f64 = 0.05;

/// Solves forests with a budget; owns the scratch memory, reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Budgeted {
    presolve: Presolve,
    dual: PathDual,
    plain: Dual,
    filler: Filler,
    swap: Swap,
    knapsack: Knapsack,
    paid: Vec<f64>,
    spare: Vec<Level>,
    held: Vec<u32>,
}

/// One level of the search.
#[derive(Debug, Default)]
struct Level {
    reduction: Reduction,
    priced: Forest,
    /// Best selection found, and the two that the price lies between.
    best: Vec<bool>,
    over: Vec<bool>,
    under: Vec<bool>,
    trial: Vec<bool>,
    fix: Vec<Fix>,
    branch_fix: Vec<Fix>,
}

/// What a selection is worth and holds.
#[derive(Debug, Clone, Copy)]
struct Point {
    worth: f64,
    tokens: u64,
}

/// What is asked of a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    /// The most tokens.
    pub budget: u64,
    /// The price of a token to try first.
    pub price: f64,
    /// Only selections worth more are of interest.
    pub cutoff: f64,
    /// Branches that this is inside of.
    pub nested: usize,
}

impl Task {
    /// Asks for the best selection there is.
    pub fn new(budget: u64) -> Self {
        Self { budget, price: 0.0, cutoff: f64::NEG_INFINITY, nested: 0 }
    }
}

impl Budgeted {
    /// Finds the best selection worth more than the cutoff that fits the budget, some nodes fixed.
    pub fn solve(
        &mut self,
        exact: &mut Exact,
        forest: &Forest,
        fix: &[Fix],
        task: Task,
        keep: &mut Vec<bool>,
    ) -> Answer {
        let mut level = self.spare.pop().unwrap_or_default();
        let (presolve, tally) = (&mut self.presolve, &mut exact.counts.tally);
        level.reduction.run(forest, fix, presolve, tally, &mut exact.clock);
        let answer = self.search(exact, &mut level, task);
        if answer.worth.is_some() {
            level.reduction.expand(&level.best, keep, &mut level.trial);
        }
        self.spare.push(level);
        answer
    }

    /// Solves what the reductions left, into `level.best`.
    fn search(&mut self, exact: &mut Exact, level: &mut Level, task: Task) -> Answer {
        let left = level.reduction.left();
        if left.tokens[0] > task.budget {
            return Answer { worth: None, bound: f64::NEG_INFINITY };
        }
        let mut answer = Answer { worth: None, bound: f64::INFINITY };
        let mut floor = task.cutoff;
        level.under.clear();
        level.under.resize(left.len(), false);
        level.under[0] = true;
        let mut under = Point { worth: left.value[0], tokens: left.tokens[0] };
        if under.worth > floor {
            floor = under.worth;
            answer.worth = Some(floor);
            level.best.clone_from(&level.under);
        }
        if left.len() == 1 {
            answer.bound = under.worth;
            return answer;
        }
        // The line through the two selections that the budget lies between gives the next price.
        let mut over: Option<Point> = None;
        let mut price = task.price;
        for round in 0..MOST_PRICES {
            if let Some(over) = over {
                price = (over.worth - under.worth) / (over.tokens - under.tokens) as f64;
            } else if round > 0 {
                price = 0.0;
            }
            level.priced.load_priced(left, price);
            level.priced.hints.clear();
            exact.branches_left = MOST_INNER_BRANCHES;
            let found = exact.solve(&level.priced, &mut level.trial);
            exact.branches_left = u64::MAX;
            answer.bound = answer.bound.min(found.bound + price * task.budget as f64);
            let point = Point {
                worth: left.worth(&level.trial, &mut self.held),
                tokens: left.tokens_of(&level.trial),
            };
            let fits = point.tokens <= task.budget;
            let line = over.unwrap_or(under);
            let ahead =
                (point.worth - line.worth) - price * (point.tokens as f64 - line.tokens as f64);
            let settled = over.is_some() && ahead <= TOLERANCE;
            let mut held = point;
            if fits {
                under = point;
                level.under.clone_from(&level.trial);
            } else {
                over = Some(point);
                level.over.clone_from(&level.trial);
                shed(left, task.budget, price, &mut level.trial);
                exact.clock.after(left.len() + left.owner.len());
            }
            self.filler.fill(left, task.budget, 0, &mut level.trial, &mut exact.clock);
            held.worth = left.worth(&level.trial, &mut self.held);
            held.tokens = left.tokens_of(&level.trial);
            if held.tokens <= task.budget && held.worth > floor {
                floor = held.worth;
                answer.worth = Some(floor);
                level.best.clone_from(&level.trial);
            }
            let closed = answer.bound <= floor + TOLERANCE;
            // At price 0 a selection that fits is the best of all.
            let expired = exact.clock.after(left.len() + left.owner.len());
            let enough = task.nested > 0 && round >= MOST_LATER_PRICES && over.is_some();
            if closed || settled || expired || enough || (fits && price == 0.0) {
                break;
            }
        }
        if answer.bound <= floor + TOLERANCE || exact.clock.expired() {
            return answer.closed();
        }
        if task.nested == MOST_NESTED {
            return answer;
        }
        if task.nested == 0 && answer.worth.is_some() {
            let (swap, clock) = (&mut self.swap, &mut exact.clock);
            floor = swap.better(left, task.budget, price, &mut level.best, clock);
            answer.worth = Some(floor);
            if answer.bound <= floor + TOLERANCE {
                return answer.closed();
            }
        }
        if over.is_none() {
            // The inner search left its proof open.
            level.over.clone_from(&level.under);
        }
        self.branch(exact, level, Task { price, cutoff: floor, ..task }, answer)
    }

    /// Fixes by reduced cost at a price, then splits on a node that the two selections differ in.
    fn branch(
        &mut self,
        exact: &mut Exact,
        level: &mut Level,
        task: Task,
        answer: Answer,
    ) -> Answer {
        let Task { price, cutoff: floor, .. } = task;
        level.priced.load_priced(level.reduction.left(), price);
        // A selection that fits and is worth more than `floor` exceeds this at the price.
        let cutoff = floor - price * task.budget as f64;
        // The best bound there is at this price is known already.
        let target = answer.bound - price * task.budget as f64;
        let near = NEAR * (target - cutoff);
        let (steps, patience) = match task.nested {
            0 => (FIRST_STEPS, FIRST_PATIENCE),
            _ => (LATER_STEPS, LATER_PATIENCE),
        };
        let (clock, priced) = (&mut exact.clock, &mut level.priced);
        let fixed = if priced.gains.same().is_some() {
            exact.counts.bounds +=
                self.dual.run(priced, near, patience, steps, clock, |_, _, _| target);
            let fixed = self.dual.fix(priced, cutoff + TOLERANCE, &mut level.fix);
            self.dual.hints(&mut priced.hints);
            self.dual.paid(priced, &mut self.paid);
            fixed
        } else {
            // A path pays for one member, so that prices of paths say nothing of further ones.
            exact.counts.bounds += self.plain.run(priced, cutoff, steps, TOLERANCE, clock);
            self.plain.fix(priced, cutoff, TOLERANCE, &mut level.fix)
        };
        level.reduction.set_hints(&level.priced.hints);
        if let Some(found) = self.by_lists(exact, level, task) {
            let worth = found.worth.or(answer.worth);
            return Answer { worth, bound: found.bound.max(floor) };
        }
        let left = level.reduction.left();
        let differ = (1..left.len())
            .filter(|&v| level.fix[v] == Fix::Free && level.over[v] != level.under[v])
            .max_by_key(|&v| (left.tokens[v], Reverse(v)));
        let free = || (1..left.len()).find(|&v| level.fix[v] == Fix::Free);
        let v = differ.or_else(free).unwrap_or(1);
        let branches: &[Option<bool>] = if 8 * fixed >= left.len() || level.fix[v] != Fix::Free {
            &[None]
        } else {
            exact.counts.branches += 1;
            &[Some(true), Some(false)]
        };
        answer.over(branches, floor, |branch, floor| {
            let Level { reduction, best, trial, fix, branch_fix, .. } = level;
            let left = reduction.left();
            branch_fix.clone_from(fix);
            if let Some(kept) = branch {
                decide(branch_fix, &left.parent, v, kept);
            }
            let inner = Task { cutoff: floor, nested: task.nested + 1, ..task };
            let found = self.solve(exact, left, branch_fix, inner, trial);
            if found.worth.is_some() {
                best.clone_from(trial);
            }
            found
        })
    }

    /// Finds the best selection worth more than the cutoff by lists, into `level.best`, where few clusters
    /// are left and the lists stay short; `None` where not.
    ///
    /// The bound and its multipliers are those that nodes were fixed by.
    fn by_lists(&mut self, exact: &mut Exact, level: &mut Level, task: Task) -> Option<Answer> {
        let left = level.reduction.left();
        let (sum, bound) = match (left.gains.same(), left.clusters()) {
            (Some(_), _) => (&self.dual.sum, self.dual.bound),
            (None, 0) => (&self.plain.sum, self.plain.bound),
            _ => return None,
        };
        let room = bound + task.price * task.budget as f64 - task.cutoff - TOLERANCE;
        let multipliers = &level.priced.hints;
        let terms = Terms { sum, paid: &self.paid, multipliers, room };
        let (asked, clock) = ((task.budget, task.cutoff), &mut exact.clock);
        let worth = match self.knapsack.run(left, asked, terms, &mut level.trial, clock) {
            Outcome::TooLong => return None,
            Outcome::Nothing => None,
            Outcome::Best => {
                std::mem::swap(&mut level.best, &mut level.trial);
                Some(left.worth(&level.best, &mut self.held))
            }
        };
        Some(Answer { worth, bound: worth.unwrap_or(f64::NEG_INFINITY) })
    }
}
