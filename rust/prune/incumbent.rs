//! A fair selection and a valid bound without a solver, for when time runs out.

use super::none::NONE;
use super::problem::Problem;

/// Passes over the tree that leaves may cost in `filled_up` which are not kept in the end.
const MOST_PASSES: usize = 16;

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
/// Two relaxations, each solved by one pass, both without the budget: every gain counted whatever is
/// kept, or a cluster's first gain for each of its leaves.
#[cfg(any(feature = "milp", feature = "highs"))]
pub(super) fn simple_bound(problem: &Problem) -> f64 {
    let best = |profit: &[f64]| {
        let keep = best_subset(problem, profit);
        let kept = profit.iter().zip(&keep).filter(|(_, kept)| **kept);
        kept.map(|(o, _)| o).sum::<f64>() - problem.evaluate(&keep).cost
    };
    let all_covered = best(&problem.profit) + problem.gains.total();
    all_covered.min(best(&with_every_gain(problem)))
}

/// Returns each leaf's profit with its cluster's first gain added.
fn with_every_gain(problem: &Problem) -> Vec<f64> {
    (0..problem.profit.len()).map(|i| problem.profit[i] + problem.next_gain(i, 0)).collect()
}

/// Starts from the leaf that needs the fewest tokens and adds what pays and fits, best profit first.
///
/// Costs O(n log n + m): every node is added once, a leaf walks up only to the kept part, and where
/// walks in vain have come to a few passes over the tree, the rest is left out.
fn filled_up(problem: &Problem) -> Vec<bool> {
    let tokens = problem.path_sums();
    let mut order: Vec<usize> = (0..tokens.len()).collect();
    order.sort_by(|&a, &b| problem.profit[b].total_cmp(&problem.profit[a]));
    let cheapest = (0..tokens.len()).min_by_key(|&i| tokens[i]).into_iter();
    let mut keep = vec![false; tokens.len()];
    let mut on_path = vec![false; problem.parent.len()];
    let mut members = vec![0_u32; problem.cluster_count];
    let (mut held, mut in_vain) = (0, 0);
    for i in cheapest.chain(order) {
        if in_vain > MOST_PASSES * (problem.parent.len() + keep.len()) {
            break;
        }
        let above = |v: &u32| Some(problem.parent[*v as usize]).filter(|&parent| parent != NONE);
        let new: Vec<usize> = std::iter::successors(Some(problem.leaf[i]), above)
            .take_while(|&v| !on_path[v as usize])
            .map(|v| v as usize)
            .collect();
        let more: u64 = new.iter().map(|&v| problem.tokens[v]).sum();
        let cost: f64 = new.iter().map(|&v| problem.cost[v]).sum();
        let cluster = problem.cluster.get(i).map(|&k| k as usize);
        let gain = cluster.map_or(0.0, |k| problem.next_gain(i, members[k]));
        let fits = problem.budget.is_none_or(|budget| held + more <= budget);
        let is_first = !on_path[0];
        if keep[i] || !fits || !(is_first || problem.profit[i] + gain > cost) {
            in_vain += new.len();
            continue;
        }
        keep[i] = true;
        held += more;
        new.into_iter().for_each(|v| on_path[v] = true);
        cluster.into_iter().for_each(|k| members[k] += 1);
    }
    keep
}

/// Finds the non-empty set of leaves with the largest profit minus cost, ignoring clusters and
/// budget.
///
/// A subtree is kept where its value is above 0; where that leaves nothing, the best single path
/// is. Ties keep less, then the first child.
pub(super) fn best_subset(problem: &Problem, profit: &[f64]) -> Vec<bool> {
    let p = problem.parent.len();
    // Value of a subtree given that its top node is kept, `[p]`; filled from the children up.
    let mut value = vec![0.0; p];
    // What the kept children add, `[p]`, and the best child where none adds anything.
    let mut added = vec![0.0; p];
    let mut best_child = vec![NONE; p];
    for v in (0..p).rev() {
        let own = own_profit(problem, profit, v);
        value[v] = match own {
            // A candidate can stand alone, so it needs no child.
            Some(own) => own + added[v],
            None if added[v] > 0.0 => added[v],
            None => value[best_child[v] as usize],
        } - problem.cost[v];
        let parent = problem.parent[v];
        if parent != NONE {
            let parent = parent as usize;
            added[parent] += value[v].max(0.0);
            // `>=`, walking backwards: the first of equal children wins.
            if best_child[parent] == NONE || value[v] >= value[best_child[parent] as usize] {
                best_child[parent] = v as u32;
            }
        }
    }
    let mut kept = vec![false; p];
    kept[0] = true;
    let mut keep = vec![false; problem.leaf.len()];
    // A node is kept with its parent, if it is worth it or is all that its parent has.
    for v in 0..p {
        if v > 0 {
            let parent = problem.parent[v] as usize;
            let only = own_profit(problem, profit, parent).is_none()
                && added[parent] <= 0.0
                && best_child[parent] as usize == v;
            kept[v] = kept[parent] && (value[v] > 0.0 || only);
        }
        if kept[v] && own_profit(problem, profit, v).is_some_and(|own| own > 0.0 || added[v] <= 0.0)
        {
            keep[problem.candidate_at[v] as usize] = true;
        }
    }
    keep
}

/// Returns the profit of the candidate at a node, if there is one.
fn own_profit(problem: &Problem, profit: &[f64], v: usize) -> Option<f64> {
    profit.get(problem.candidate_at[v] as usize).copied()
}
