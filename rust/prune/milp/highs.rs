//! The model on `HiGHS`: C++, behind the cargo feature `highs`.

use std::time::Duration;

use ::highs::{HighsModelStatus, HighsSolutionStatus};
use good_lp::{IntoAffineExpression, SolverModel};

use super::model::Model;
use super::{Backend, Outcome, PRUNED};
use crate::prune::problem::Problem;

pub(super) const BACKEND: Backend = Backend { name: "highs", run };

fn run(
    model: Model,
    problem: &Problem,
    first: &[bool],
    time_limit: Option<Duration>,
) -> Result<Option<Outcome>, String> {
    // `good_lp` makes columns in the order in which the variables were added, as `complete` does.
    let start: Vec<f64> =
        model.complete(problem, first).into_iter().map(|(_, value)| value).collect();
    let constant = model.objective.constant();
    let candidates = model.candidate.len();
    let mut solver = model.variables.maximise(model.objective).using(good_lp::highs);
    for constraint in model.constraints {
        solver.add_constraint(constraint);
    }
    // From here on without `good_lp`: it tells neither the bound nor the branch-and-bound nodes, and
    // its warm start panics on failure.
    let mut solver = solver.try_into_inner().map_err(|error| error.to_string())?;
    for (option, value) in
        [("mip_rel_gap", 0.0), ("mip_abs_gap", 0.0), ("mip_feasibility_tolerance", PRUNED)]
    {
        solver.try_set_option(option, value).map_err(|_| refused(option))?;
    }
    solver.try_set_option("threads", 1).map_err(|_| refused("threads"))?;
    solver.try_set_option("parallel", "off").map_err(|_| refused("parallel"))?;
    if let Some(limit) = time_limit {
        let option = "time_limit";
        solver.try_set_option(option, limit.as_secs_f64()).map_err(|_| refused(option))?;
    }
    solver
        .try_set_solution(Some(&start), None, None, None)
        .map_err(|status| format!("it refused its first selection: {status:?}"))?;
    let solved = solver.try_solve().map_err(|status| format!("it stopped with {status:?}"))?;

    let optimal = match solved.status() {
        HighsModelStatus::Optimal => true,
        HighsModelStatus::ReachedTimeLimit => false,
        status => return Err(format!("it ended with {status:?}")),
    };
    if solved.primal_solution_status() != HighsSolutionStatus::Feasible {
        return if optimal { Err("it has no answer".to_owned()) } else { Ok(None) };
    }
    let bound = solved.double_info_value(c"mip_dual_bound").unwrap_or(f64::INFINITY);
    let branch_nodes = solved.int_info_value(c"mip_node_count").unwrap_or(0);
    let columns = solved.get_solution();
    Ok(Some(Outcome {
        keep: columns.columns()[..candidates].iter().map(|&x| x > 0.5).collect(),
        objective: solved.objective_value() + constant,
        bound: bound + constant,
        optimal,
        branch_nodes: u64::try_from(branch_nodes).unwrap_or(0),
    }))
}

fn refused(option: &str) -> String {
    format!("it refused the option {option}")
}
