//! The model on `microlp`: pure Rust, in every build.

use std::time::Duration;

use good_lp::solvers::{SolutionStatus, WithInitialSolution, WithTimeLimit};
use good_lp::{ResolutionError, Solution, SolverModel, microlp};

use super::model::Model;
use super::{Backend, Outcome};
use crate::prune::problem::Problem;

pub(in crate::prune) const BACKEND: Backend = Backend { name: "microlp", run };

fn run(
    model: Model,
    problem: &Problem,
    first: &[bool],
    time_limit: Option<Duration>,
) -> Result<Option<Outcome>, String> {
    let start = model.complete(problem, first);
    let mut solver = model.variables.maximise(model.objective.clone()).using(microlp);
    for constraint in model.constraints {
        solver.add_constraint(constraint);
    }
    let mut solver = solver.with_initial_solution(start);
    if let Some(limit) = time_limit {
        solver = solver.with_time_limit(limit.as_secs_f64());
    }
    let solution = match solver.solve() {
        Ok(solution) => solution,
        Err(ResolutionError::Other(_)) if time_limit.is_some() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let keep = model.candidate.iter().map(|&x| solution.value(x) > 0.5).collect();
    let objective = solution.eval(&model.objective);
    let optimal = matches!(solution.status(), SolutionStatus::Optimal);
    let stats = solution.into_inner().stats();
    Ok(Some(Outcome {
        keep,
        objective,
        bound: stats.best_bound.unwrap_or(f64::INFINITY),
        optimal,
        branch_nodes: stats.nodes_solved,
    }))
}
