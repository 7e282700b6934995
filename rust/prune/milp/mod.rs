//! Leaf selection as a mixed-integer program, through `good_lp`: the independent second opinion.

#[cfg(feature = "highs")]
mod highs;
#[cfg(feature = "milp")]
mod microlp;
mod model;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::incumbent::{simple_bound, simple_selection};
use super::problem::Problem;
use super::{Found, Stats};
use crate::error::Error;
use crate::interrupt::Interrupt;
use model::Model;

#[cfg(feature = "highs")]
pub(super) use highs::BACKEND as HIGHS;
#[cfg(feature = "milp")]
pub(super) use microlp::BACKEND as MICROLP;

/// How far a recomputed objective may fall below the one reported, in units of the largest
/// coefficient, before the solver's answer is called wrong.
const TOLERANCE: f64 = 1e-6;

/// How near its best selection a solver stops looking for better ones, in the same units (or, where
/// that is larger, of the objective): `microlp` by its own constant, `HiGHS` by what it is given.
const PRUNED: f64 = 1e-9;

/// One solver of the model.
#[derive(Clone, Copy)]
pub(super) struct Backend {
    pub name: &'static str,
    run: Run,
}

/// Solves from a first selection and within a time; `None` where that ran out before the solver had
/// any selection of its own.
type Run = fn(Model, &Problem, &[bool], Option<Duration>) -> Result<Option<Outcome>, String>;

/// What a solver handed back, rounded to a selection.
struct Outcome {
    keep: Vec<bool>,
    /// Reported objective, in units of `Model::scale`.
    objective: f64,
    /// Reported bound, in the same units; infinite where there is none.
    bound: f64,
    optimal: bool,
    branch_nodes: u64,
}

/// Solves any problem; exactly, unless the time limit cuts the proof short.
///
/// "Exactly" is to a few 1e-9 of the largest coefficient or of the objective, whichever is larger:
/// the solvers compute in floats.
///
/// The limit counts from `started`, and neither solver obeys it to the millisecond. `microlp` looks
/// at its clock at every branch-and-bound node and every 1000 simplex iterations of one LP: with
/// 1300 variables it overran by up to 0.3 s, on a busy machine. `HiGHS` looks between the steps of
/// its presolve, cuts and heuristics, and overran by up to 35 ms there. When one stops, the answer is
/// its best selection (or the best of a few simple ones) together with the smaller of its bound and
/// a simple one. An interrupt that is set before the solver starts is a limit of no time; later ones
/// are not seen.
pub(super) fn solve(
    backend: Backend,
    problem: &Problem,
    time_limit: Option<Duration>,
    started: Instant,
    interrupt: Option<&Interrupt>,
) -> Result<Found, Error> {
    // A solver cannot be stopped once it runs.
    let time_limit =
        if interrupt.is_some_and(Interrupt::is_set) { Some(Duration::ZERO) } else { time_limit };
    let failed = |message: String| Error::Solver { solver: backend.name, message };
    let fallback = simple_selection(problem);
    let model = Model::build(problem);
    let stats = Stats {
        solver: backend.name,
        variables: model.variable_count,
        constraints: model.constraints.len(),
        ..Stats::default()
    };
    let scale = model.scale;
    let left = time_limit.map(|limit| limit.saturating_sub(started.elapsed()));
    let outcome = if left == Some(Duration::ZERO) {
        None
    } else {
        // A panic inside a third-party solver must not take the caller's process state with it.
        catch_unwind(AssertUnwindSafe(|| (backend.run)(model, problem, &fallback, left)))
            .unwrap_or_else(|_| Err("it panicked".to_owned()))
            .map_err(failed)?
    };
    let Some(outcome) = outcome else {
        return Ok(Found { keep: fallback, bound: Some(simple_bound(problem)), stats });
    };
    let stats = Stats { branch_nodes: outcome.branch_nodes, ..stats };
    check(problem, &outcome, scale).map_err(failed)?;
    if outcome.optimal {
        return Ok(Found { keep: outcome.keep, bound: None, stats });
    }
    let objective = |keep: &[bool]| problem.evaluate(keep).objective;
    let keep =
        if objective(&fallback) > objective(&outcome.keep) { fallback } else { outcome.keep };
    let bound = (outcome.bound + PRUNED * outcome.bound.abs().max(1.0)) * scale;
    Ok(Found { keep, bound: Some(bound.min(simple_bound(problem))), stats })
}

/// Recomputes a solver's answer: it must be a feasible selection worth what was reported.
fn check(problem: &Problem, outcome: &Outcome, scale: f64) -> Result<(), String> {
    if !outcome.keep.contains(&true) {
        return Err("its answer keeps no leaf".to_owned());
    }
    let value = problem.evaluate(&outcome.keep);
    if problem.budget.is_some_and(|budget| value.tokens > budget) {
        return Err(format!("its answer holds {} tokens", value.tokens));
    }
    let worth = value.objective / scale;
    if worth < outcome.objective - TOLERANCE {
        let reported = outcome.objective;
        return Err(format!("its answer is worth {worth}, not {reported} as it reported"));
    }
    Ok(())
}
