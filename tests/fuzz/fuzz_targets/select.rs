//! Leaf selection by the default method against the MILP: the same optimum, or the same refusal.
#![no_main]

mod instance;

use std::time::Duration;

use ets_core::{Error, Selection, Solver, select_leaves};
use instance::Instance;
use libfuzzer_sys::fuzz_target;

#[cfg(not(feature = "highs"))]
const MILP: Solver = Solver::Milp;
#[cfg(feature = "highs")]
const MILP: Solver = Solver::Highs;

fuzz_target!(|instance: Instance| {
    let request = instance.request();
    let milp = match select_leaves(&request.solver(MILP)) {
        // The one documented case without an answer to compare with: a third-party solver failed,
        // or its answer did not hold up when recomputed.
        Err(Error::Solver { .. }) => None,
        other => Some(other),
    };
    let found = match (select_leaves(&request), milp) {
        (Ok(found), None) => found,
        (Ok(found), Some(Ok(milp))) => {
            let (a, b, tolerance) = (found.objective, milp.objective, instance.tolerance());
            assert!((a - b).abs() <= tolerance, "{a}, but {b} by the MILP (+- {tolerance})");
            instance.check(&milp);
            found
        }
        // The default method is still the MILP wherever subtrees compete.
        // As text: the values inside may be NaN.
        (Err(error), Some(Err(milp))) => return assert_eq!(error.to_string(), milp.to_string()),
        (found, milp) => panic!("{found:?}, but {milp:?} by the MILP"),
    };
    assert!(found.optimal && found.bound.to_bits() == found.objective.to_bits(), "{found:?}");
    instance.check(&found);
    let again = select_leaves(&request).expect("answered before");
    assert_eq!(again.keep, found.keep);
    let hasty = select_leaves(&request.time_limit(Duration::ZERO));
    let hasty = hasty.expect("a time limit is no reason to refuse");
    instance.check(&hasty);
    assert_bounded(&hasty, &found, instance.tolerance());
});

/// Asserts that an answer cut short is no better than the best, and that its bound is no lower.
fn assert_bounded(hasty: &Selection, best: &Selection, tolerance: f64) {
    assert!(hasty.objective <= best.objective + tolerance, "{hasty:?} beats {best:?}");
    assert!(hasty.bound >= best.objective - tolerance, "{hasty:?} bounds {best:?}");
    assert!(!hasty.optimal || hasty.bound.to_bits() == hasty.objective.to_bits(), "{hasty:?}");
}
