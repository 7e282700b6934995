//! The model on `HiGHS`: C++, behind the cargo feature `highs`.

use std::time::Duration;

use ::highs::{HighsModelStatus, HighsSolutionStatus};
use good_lp::{IntoAffineExpression, SolverModel};

use super::model::Model;
use super::{Backend, Outcome, PRUNED};
use crate::prune::problem::Problem;

pub(in crate::prune) const BACKEND: Backend = Backend { name: "highs", run };

/// Runs without the first selection: `HiGHS` 1.16 takes one to be feasible after presolve, even where
/// presolve has fixed a kept leaf at 0 because another one dominates it, and then reports that
/// selection as a proven optimum, worth more than it is.
fn run(
    model: Model,
    _: &Problem,
    _: &[bool],
    time_limit: Option<Duration>,
) -> Result<Option<Outcome>, String> {
    let constant = model.objective.constant();
    let candidates = model.candidate.len();
    let mut highs = model.variables.maximise(model.objective).using(good_lp::highs);
    for constraint in model.constraints {
        highs.add_constraint(constraint);
    }
    // From here on without `good_lp`, which does not pass on the bound.
    let mut highs = highs.try_into_inner().map_err(|error| error.to_string())?;
    let refused = |option: &str| format!("it refused the option {option}");
    for (option, value) in [
        ("mip_rel_gap", 0.0),
        ("mip_abs_gap", 0.0),
        ("mip_feasibility_tolerance", PRUNED),
        // Presolve drops what differs by less than this one.
        ("dual_feasibility_tolerance", PRUNED),
    ] {
        highs.try_set_option(option, value).map_err(|_| refused(option))?;
    }
    highs.try_set_option("threads", 1).map_err(|_| refused("threads"))?;
    // With coefficients near the tolerance it has proven a selection that is far from the best.
    highs.try_set_option("presolve", "off").map_err(|_| refused("presolve"))?;
    highs.try_set_option("parallel", "off").map_err(|_| refused("parallel"))?;
    if let Some(limit) = time_limit {
        let option = "time_limit";
        highs.try_set_option(option, limit.as_secs_f64()).map_err(|_| refused(option))?;
    }
    let solved = highs.try_solve().map_err(|status| format!("it stopped with {status:?}"))?;

    let optimal = match solved.status() {
        HighsModelStatus::Optimal => true,
        HighsModelStatus::ReachedTimeLimit => false,
        status => return Err(format!("it ended with {status:?}")),
    };
    if solved.primal_solution_status() != HighsSolutionStatus::Feasible {
        return if optimal { Err("it has no answer".to_owned()) } else { Ok(None) };
    }
    let bound = solved.double_info_value(c"mip_dual_bound").unwrap_or(f64::INFINITY);
    // `good_lp` makes columns in the order in which the variables were added: candidates first.
    let columns = solved.get_solution();
    let keep = columns.columns().iter().take(candidates).map(|&x| x > 0.5).collect();
    Ok(Some(Outcome {
        keep,
        objective: solved.objective_value() + constant,
        bound: bound + constant,
        optimal,
        // `HiGHS` counts them in 64 bits, which its Rust interface cannot read.
        branch_nodes: 0,
    }))
}
