//! Leaf selection: which candidate leaves are worth their KV cache.

mod answer;
mod ascent;
mod blocks;
mod bounds;
mod budget;
mod components;
mod counts;
mod dominance;
mod dual;
mod exact;
mod fit;
mod fix;
mod fold;
mod forest;
mod gains;
mod groups;
mod incumbent;
mod inner;
mod knapsack;
mod labels;
#[cfg(any(feature = "milp", feature = "highs"))]
mod milp;
mod nodes;
mod none;
mod nonempty;
mod pairs;
mod path_dual;
mod paths;
mod preorder;
mod presolve;
mod problem;
mod reduction;
mod repair;
mod request;
mod subgradient;
mod submodular;
mod subtree;
mod swap;
mod sweep;
#[cfg(test)]
mod tests;

use std::time::Instant;

use crate::clock::Clock;
use crate::error::Error;
use answer::{Answer, TOLERANCE};
use budget::{Budgeted, Task};
use exact::Exact;
use forest::Forest;
use incumbent::simple_selection;
use none::NONE;
use nonempty::Nonempty;
#[cfg(feature = "python")]
pub(crate) use paths::wrong_parent;
use problem::{Problem, Scratch};
pub use request::{Request, Selection, Solver, Stats};

/// Chooses the leaves to keep.
///
/// With `O_i = weights[i] / sum(weights)`, `c_v` the cost of node `v` and `K` the number of distinct
/// clusters, maximises
///
/// ```text
/// lambda_r * sum_{i kept} O_i - lambda_b * sum_{v on a path to a kept leaf} c_v
///     + lambda_d * sum_k w_k * (1 - rho^(kept leaves of cluster k))
/// ```
///
/// (with `rho^0 = 1`, so that with `rho = 0` a cluster is worth `w_k` from its first kept leaf on, and
/// `w_k = 1 / K` unless `cluster_worth` says otherwise: ETS as published) over all non-empty sets of candidates (within `kv_budget` tokens, where given). Uniform costs are
/// `c_v = 1 / (nodes on paths to candidate leaves, leaves and root included)`. Equal optima are
/// broken the same way on every run and platform.
///
/// Costs O(m) where no coverage term couples the subtrees, and in practice little more with one;
/// the worst case, a set cover, is exponential, and a time limit cuts it short. Use a [`Pruner`] in
/// a loop: it keeps its memory.
///
/// # Errors
///
/// Any array of the wrong length or with an entry out of range, a leaf twice, all weights 0, a
/// negative or non-finite lambda, `kv_budget` without `node_tokens` or below what the cheapest leaf
/// needs; [`Error::Solver`] where the MILP solver failed or its answer did not hold up when
/// recomputed.
pub fn select_leaves(request: &Request<'_>) -> Result<Selection, Error> {
    Pruner::new().select_leaves(request)
}

/// Selects leaves again and again with the same scratch memory.
#[derive(Debug, Default)]
pub struct Pruner {
    problem: Problem,
    forest: Forest,
    exact: Exact,
    budgeted: Budgeted,
    nonempty: Nonempty,
    /// Node of what the first reductions left that each node became part of, `[p]`, and whether
    /// that is kept.
    place: Vec<u32>,
    kept: Vec<bool>,
    scratch: Scratch,
    /// Whether each candidate is kept, `[n]`.
    keep: Vec<bool>,
    /// Whether a candidate sits at each node, `[p]`.
    candidate: Vec<bool>,
}

impl Pruner {
    /// Makes a pruner that holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Does what the function [`select_leaves`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn select_leaves(&mut self, request: &Request<'_>) -> Result<Selection, Error> {
        let started = Instant::now();
        self.problem.read(request)?;
        let found = match request.solver {
            #[cfg(feature = "milp")]
            Solver::Milp => self.solve_milp(milp::MICROLP, request, started)?,
            #[cfg(feature = "highs")]
            Solver::Highs => self.solve_milp(milp::HIGHS, request, started)?,
            Solver::Auto | Solver::Exact => {
                // What does not fit an instant is no limit.
                let deadline = request.time_limit.and_then(|limit| started.checked_add(limit));
                self.solve(Clock::new(started, deadline, request.interrupt))
            }
        };
        let value = self.problem.evaluate_with(&mut self.scratch, &found.keep);
        let optimal = found.bound.is_none_or(|bound| bound <= value.objective);
        Ok(Selection {
            objective: value.objective,
            bound: if optimal { value.objective } else { found.bound.unwrap_or(f64::INFINITY) },
            optimal,
            nodes_kept: value.nodes,
            tokens_kept: request.node_tokens.map(|_| value.tokens),
            stats: Stats {
                nodes: self.problem.node_count,
                clusters: self.problem.cluster_count,
                elapsed: started.elapsed(),
                ..found.stats
            },
            keep: found.keep,
        })
    }

    /// Solves the problem at hand as a mixed-integer program.
    #[cfg(any(feature = "milp", feature = "highs"))]
    fn solve_milp(
        &mut self,
        backend: milp::Backend,
        request: &Request<'_>,
        started: Instant,
    ) -> Result<Found, Error> {
        self.problem.list_candidates();
        milp::solve(backend, &self.problem, request.time_limit, started, request.interrupt)
    }

    /// Solves the problem at hand by the exact method.
    fn solve(&mut self, clock: Clock) -> Found {
        self.exact.begin(clock);
        let unit = unit_of(self.problem.largest);
        let mut answer = self.solve_free(unit);
        if let Some(budget) = self.problem.budget {
            if self.problem.evaluate_with(&mut self.scratch, &self.keep).tokens > budget {
                answer = self.solve_budgeted(unit, Task::new(budget));
            }
        }
        if !self.keep.contains(&true) {
            let wider = answer.bound;
            answer = self.solve_nonempty(unit);
            if answer.worth.is_none_or(|worth| answer.bound > worth + TOLERANCE) {
                // Cut short: what bounds all selections bounds those that hold a candidate.
                answer.bound = answer.bound.min(wider);
            }
        }
        let coupled = self.problem.coupled();
        let counts = &self.exact.counts;
        let stats = Stats {
            solver: if coupled || self.problem.budget.is_some() { "exact" } else { "onepass" },
            joined: counts.tally.joined,
            dropped: counts.tally.dropped,
            dominated: counts.tally.dominated,
            folded: counts.tally.folded,
            residual_nodes: counts.residual_nodes,
            residual_clusters: counts.residual_clusters,
            components: counts.components,
            bounds: counts.bounds,
            branch_nodes: counts.branches,
            ..Stats::default()
        };
        let mut keep = std::mem::take(&mut self.keep);
        let mut open = answer.worth.is_none_or(|worth| answer.bound > worth + TOLERANCE);
        if !keep.contains(&true) {
            // Out of time before anything was found: something simple that fits.
            keep = simple_selection(&self.problem);
            open = true;
        }
        // What any choice covers is not in the forest.
        let covered = if coupled { 0.0 } else { self.problem.gains.total() };
        Found { keep, bound: open.then_some(answer.bound / unit + covered), stats }
    }

    /// Finds the best selection without a budget, into `keep`; it may be empty.
    fn solve_free(&mut self, unit: f64) -> Answer {
        let Self { problem, forest, place, kept, keep, .. } = self;
        let answer = self.exact.solve_problem(problem, unit, place, forest, kept);
        let is_kept = |v: u32| place[v as usize] != NONE && kept[place[v as usize] as usize];
        keep.clear();
        keep.extend(problem.leaf.iter().map(|&v| is_kept(v)));
        answer
    }

    /// Finds the best selection within the budget, into `keep`; it may be empty.
    fn solve_budgeted(&mut self, unit: f64, task: Task) -> Answer {
        let Self { problem, forest, kept, keep, exact, .. } = self;
        problem.list_candidates();
        forest.load(problem, unit);
        let answer = self.budgeted.solve(exact, forest, &[], task, kept);
        keep.clear();
        keep.extend(problem.leaf.iter().map(|&v| answer.worth.is_some() && kept[v as usize]));
        answer
    }

    /// Finds the best selection that holds a candidate, into `keep`.
    fn solve_nonempty(&mut self, unit: f64) -> Answer {
        let Self { problem, forest, kept, keep, exact, budgeted, .. } = self;
        problem.list_candidates();
        forest.load(problem, unit);
        self.candidate.clear();
        self.candidate.extend(problem.candidate_at.iter().map(|&at| at != NONE));
        let task = Task::new(problem.budget.unwrap_or(u64::MAX));
        let answer = self.nonempty.solve(forest, &self.candidate, task, exact, budgeted, kept);
        keep.clear();
        keep.extend(problem.leaf.iter().map(|&v| answer.worth.is_some() && kept[v as usize]));
        answer
    }
}

/// Returns a power of two that brings `largest` to 1 at most, so that no sum overflows.
fn unit_of(largest: f64) -> f64 {
    let mut unit = 1.0;
    while largest * unit > 1.0 {
        unit *= 0.5;
    }
    unit
}

/// What a method hands back.
struct Found {
    keep: Vec<bool>,
    /// The proven bound where the proof was cut short; `None` where `keep` is proven best.
    bound: Option<f64>,
    stats: Stats,
}
