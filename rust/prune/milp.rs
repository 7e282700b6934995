//! Leaf selection as a mixed-integer program, through `good_lp` and `microlp`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use good_lp::solvers::{SolutionStatus, WithInitialSolution, WithTimeLimit};
use good_lp::{
    Constraint, Expression, ProblemVariables, ResolutionError, Solution, SolverModel, Variable,
    constraint, microlp, variable,
};

use super::incumbent::{simple_bound, simple_selection};
use super::problem::{NONE, Problem};
use super::{Found, Stats};
use crate::error::Error;

const SOLVER: &str = "microlp";

/// How far a recomputed objective may fall below the one reported, in units of the largest
/// coefficient, before the solver's answer is called wrong.
const TOLERANCE: f64 = 1e-6;

/// Solves any problem; exactly, unless the time limit cuts the proof short.
///
/// The limit counts from `started`. `microlp` looks at its clock every few simplex iterations, so a
/// single large factorisation can overrun it. When it stops, the answer is its best selection (or
/// the best of a few simple ones) together with the smaller of its bound and a simple one.
pub(super) fn solve(
    problem: &Problem,
    time_limit: Option<Duration>,
    started: Instant,
) -> Result<Found, Error> {
    let fallback = simple_selection(problem);
    let model = Model::build(problem);
    let stats = Stats {
        solver: SOLVER,
        variables: model.variable_count,
        constraints: model.constraints.len(),
        ..Stats::default()
    };
    let left = time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
    let scale = model.scale;
    // A panic inside a third-party solver must not take the caller's process state with it.
    let outcome = catch_unwind(AssertUnwindSafe(|| model.run(problem, &fallback, left)))
        .map_err(|_| failed("it panicked".to_owned()))??;
    let Some(outcome) = outcome else {
        return Ok(Found { keep: fallback, bound: Some(simple_bound(problem)), stats });
    };
    let stats = Stats { branch_nodes: outcome.branch_nodes, ..stats };
    check(problem, &outcome, scale)?;
    if outcome.optimal {
        return Ok(Found { keep: outcome.keep, bound: None, stats });
    }
    let objective = |keep: &[bool]| problem.evaluate(keep).objective;
    let keep =
        if objective(&fallback) > objective(&outcome.keep) { fallback } else { outcome.keep };
    let bound = outcome.bound.map_or(f64::INFINITY, |bound| bound * scale);
    Ok(Found { keep, bound: Some(bound.min(simple_bound(problem))), stats })
}

/// What the solver handed back, rounded to a selection.
struct Outcome {
    keep: Vec<bool>,
    /// Reported objective, in units of `Model::scale`.
    objective: f64,
    /// Reported bound, in the same units.
    bound: Option<f64>,
    optimal: bool,
    branch_nodes: u64,
}

/// The tight form: a node needs its parent, a parent needs a child or its own candidate, a cluster
/// needs one of its leaves, the root is kept.
///
/// Only the candidates are integer: with those fixed, the best nodes and clusters are too. Unlike
/// "at least one leaf", keeping the root and passing the need down leaves no half-kept root in the
/// relaxation.
struct Model {
    variables: ProblemVariables,
    variable_count: usize,
    objective: Expression,
    constraints: Vec<Constraint>,
    /// Candidate variables, `[n]`.
    candidate: Vec<Variable>,
    /// Node variables, `[p]`; a node without children is its candidate; the root has none.
    node: Vec<Option<Variable>>,
    /// Cluster variables, `[K]`.
    cluster: Vec<Variable>,
    /// Largest coefficient of the objective, by which it is divided: tolerances are absolute.
    scale: f64,
}

impl Model {
    fn build(problem: &Problem) -> Self {
        let p = problem.parent.len();
        let mut children = vec![0_u32; p];
        for &parent in &problem.parent[1..] {
            children[parent as usize] += 1;
        }
        let mut variables = ProblemVariables::new();
        let between = || variable().min(0).max(1);
        let candidate: Vec<Variable> =
            problem.leaf.iter().map(|_| variables.add(between().integer())).collect();
        let node: Vec<Option<Variable>> = (0..p)
            .map(|v| match v {
                0 => None,
                _ if children[v] == 0 => Some(candidate[problem.candidate_at[v] as usize]),
                _ => Some(variables.add(between())),
            })
            .collect();
        let cluster: Vec<Variable> =
            (0..problem.cluster_count).map(|_| variables.add(between())).collect();
        let variable_count = variables.len();

        let coefficients = problem.profit.iter().chain(&problem.cost).chain([&problem.gain]);
        let largest = coefficients.fold(0.0_f64, |largest, &c| largest.max(c));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let mut objective = Expression::from(-problem.cost[0] / scale);
        for (i, &x) in candidate.iter().enumerate() {
            objective.add_mul(problem.profit[i] / scale, x);
        }
        for (v, y) in node.iter().enumerate() {
            y.iter().for_each(|&y| objective.add_mul(-problem.cost[v] / scale, y));
        }
        cluster.iter().for_each(|&z| objective.add_mul(problem.gain / scale, z));
        let mut model = Self {
            variables,
            variable_count,
            objective,
            constraints: Vec::with_capacity(2 * p + cluster.len()),
            candidate,
            node,
            cluster,
            scale,
        };
        model.add_tree(problem, &children);
        model.add_clusters(problem);
        model.add_budget(problem);
        model
    }

    fn add_tree(&mut self, problem: &Problem, children: &[u32]) {
        // For each parent: its children and candidate, less itself, must not be negative.
        let mut needs: Vec<Expression> = (0..children.len())
            .map(|v| match self.node[v] {
                _ if children[v] == 0 => Expression::default(),
                None => Expression::from(-1),
                Some(y) => -y,
            })
            .collect();
        for (v, &parent) in problem.parent.iter().enumerate() {
            if let (Some(y), Some(parent)) = (self.node[v], (parent != NONE).then_some(parent)) {
                needs[parent as usize].add_mul(1, y);
                if let Some(above) = self.node[parent as usize] {
                    self.constraints.push(constraint!(y <= above));
                }
            }
        }
        for (i, &v) in problem.leaf.iter().enumerate() {
            let v = v as usize;
            if children[v] > 0 {
                needs[v].add_mul(1, self.candidate[i]);
                if let Some(y) = self.node[v] {
                    self.constraints.push(constraint!(self.candidate[i] <= y));
                }
            } else if v == 0 {
                // A tree of the root alone: its candidate is the only choice.
                self.constraints.push(constraint!(self.candidate[i] >= 1));
            }
        }
        for (need, _) in needs.into_iter().zip(children).filter(|(_, count)| **count > 0) {
            self.constraints.push(constraint!(need >= 0));
        }
    }

    fn add_clusters(&mut self, problem: &Problem) {
        let mut cover: Vec<Expression> = self.cluster.iter().map(|&z| -z).collect();
        for (&k, &x) in problem.cluster.iter().zip(&self.candidate) {
            cover[k as usize].add_mul(1, x);
        }
        self.constraints.extend(cover.into_iter().map(|cover| constraint!(cover >= 0)));
    }

    fn add_budget(&mut self, problem: &Problem) {
        let Some(budget) = problem.budget else { return };
        // Tokens are integers, so a quarter token of slack changes nothing but absorbs rounding.
        let unit = budget.max(1) as f64;
        let mut held = Expression::from(problem.tokens[0] as f64 / unit);
        for (v, y) in self.node.iter().enumerate() {
            y.iter().for_each(|&y| held.add_mul(problem.tokens[v] as f64 / unit, y));
        }
        self.constraints.push(constraint!(held <= (budget as f64 + 0.25) / unit));
    }

    /// Runs the solver from a first selection; `None` where time ran out before it had any.
    fn run(
        self,
        problem: &Problem,
        first: &[bool],
        time_limit: Option<Duration>,
    ) -> Result<Option<Outcome>, Error> {
        let start = self.complete(problem, first);
        let mut model = self.variables.maximise(self.objective.clone()).using(microlp);
        for constraint in self.constraints {
            model.add_constraint(constraint);
        }
        let mut model = model.with_initial_solution(start);
        if let Some(limit) = time_limit {
            model = model.with_time_limit(limit.as_secs_f64());
        }
        let solution = match model.solve() {
            Ok(solution) => solution,
            Err(ResolutionError::Other(_)) if time_limit.is_some() => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let keep = self.candidate.iter().map(|&x| solution.value(x) > 0.5).collect();
        let objective = solution.eval(&self.objective);
        let optimal = matches!(solution.status(), SolutionStatus::Optimal);
        let stats = solution.into_inner().stats();
        Ok(Some(Outcome {
            keep,
            objective,
            bound: stats.best_bound,
            optimal,
            branch_nodes: stats.nodes_solved,
        }))
    }

    /// Gives every variable its value in a selection; the solver takes missing ones for 0.
    fn complete(&self, problem: &Problem, keep: &[bool]) -> Vec<(Variable, f64)> {
        let mut on_path = vec![false; self.node.len()];
        let mut covered = vec![false; self.cluster.len()];
        let value = |is: bool| f64::from(u8::from(is));
        let mut start = Vec::with_capacity(self.variable_count);
        for (i, &kept) in keep.iter().enumerate() {
            start.push((self.candidate[i], value(kept)));
            on_path[problem.leaf[i] as usize] |= kept;
            problem.cluster.get(i).into_iter().for_each(|&k| covered[k as usize] |= kept);
        }
        for v in (1..on_path.len()).rev() {
            on_path[problem.parent[v] as usize] |= on_path[v];
            if let Some(y) = self.node[v] {
                start.push((y, value(on_path[v])));
            }
        }
        start.extend(self.cluster.iter().zip(covered).map(|(&z, is)| (z, value(is))));
        start
    }
}

/// Recomputes the solver's answer: it must be a feasible selection worth what was reported.
fn check(problem: &Problem, outcome: &Outcome, scale: f64) -> Result<(), Error> {
    if !outcome.keep.contains(&true) {
        return Err(failed("its answer keeps no leaf".to_owned()));
    }
    let value = problem.evaluate(&outcome.keep);
    if problem.budget.is_some_and(|budget| value.tokens > budget) {
        return Err(failed(format!("its answer holds {} tokens", value.tokens)));
    }
    let worth = value.objective / scale;
    if worth < outcome.objective - TOLERANCE {
        let reported = outcome.objective;
        return Err(failed(format!("its answer is worth {worth}, not {reported} as it reported")));
    }
    Ok(())
}

fn failed(message: String) -> Error {
    Error::Solver { solver: SOLVER, message }
}
