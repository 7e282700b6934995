//! A fair selection and a valid bound without a solver, for when time runs out.

use super::onepass::best_subset;
use super::problem::{NONE, Problem};

/// Returns a selection that fits the budget: the best of a few simple ones.
pub(super) fn simple_selection(problem: &Problem) -> Vec<bool> {
    let options = [
        best_subset(problem, &problem.profit),
        best_subset(problem, &with_every_gain(problem)),
        vec![true; problem.leaf.len()],
        filled_up(problem),
    ];
    options
        .into_iter()
        .map(|keep| (problem.evaluate(&keep), keep))
        .filter(|(value, _)| problem.budget.is_none_or(|budget| value.tokens <= budget))
        .reduce(|best, next| if next.0.objective > best.0.objective { next } else { best })
        // `filled_up` fits any budget that `Problem::new` lets through.
        .map_or_else(Vec::new, |(_, keep)| keep)
}

/// Returns a number that no selection's objective exceeds.
///
/// Two relaxations, each solved by one pass, both without the budget: every cluster counted as
/// covered, or a cluster's gain counted for each of its leaves.
pub(super) fn simple_bound(problem: &Problem) -> f64 {
    let best = |profit: &[f64]| {
        let keep = best_subset(problem, profit);
        let kept = profit.iter().zip(&keep).filter(|(_, kept)| **kept);
        kept.map(|(o, _)| o).sum::<f64>() - problem.evaluate(&keep).cost
    };
    let all_covered = best(&problem.profit) + problem.gain * problem.cluster_count as f64;
    all_covered.min(best(&with_every_gain(problem)))
}

/// Returns each leaf's profit with its cluster's gain added.
fn with_every_gain(problem: &Problem) -> Vec<f64> {
    problem.profit.iter().map(|o| o + problem.gain).collect()
}

/// Starts from the leaf that needs the fewest tokens and adds what pays and fits, best profit first.
///
/// Costs O(n log n + m): every node is added once, and a leaf that does not fit walks up only to
/// the kept part.
fn filled_up(problem: &Problem) -> Vec<bool> {
    let tokens = problem.path_sums();
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by(|&a, &b| problem.profit[b].total_cmp(&problem.profit[a]));
    let cheapest = (0..tokens.len()).min_by_key(|&i| tokens[i]).into_iter();
    let mut keep = vec![false; tokens.len()];
    let mut on_path = vec![false; problem.parent.len()];
    let mut covered = vec![false; problem.cluster_count];
    let mut held = 0;
    for i in cheapest.chain(order) {
        let above = |v: &u32| Some(problem.parent[*v as usize]).filter(|&parent| parent != NONE);
        let new: Vec<usize> = std::iter::successors(Some(problem.leaf[i]), above)
            .take_while(|&v| !on_path[v as usize])
            .map(|v| v as usize)
            .collect();
        let more: u64 = new.iter().map(|&v| problem.tokens[v]).sum();
        let cost: f64 = new.iter().map(|&v| problem.cost[v]).sum();
        let cluster = problem.cluster.get(i).map(|&k| k as usize);
        let gain = if cluster.is_some_and(|k| !covered[k]) { problem.gain } else { 0.0 };
        let fits = problem.budget.is_none_or(|budget| held + more <= budget);
        let is_first = !on_path[0];
        if keep[i] || !fits || !(is_first || problem.profit[i] + gain > cost) {
            continue;
        }
        keep[i] = true;
        held += more;
        new.into_iter().for_each(|v| on_path[v] = true);
        cluster.into_iter().for_each(|k| covered[k] = true);
    }
    keep
}
