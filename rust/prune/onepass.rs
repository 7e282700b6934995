//! The exact one-pass rule for problems whose subtrees do not compete.

use super::problem::{NONE, Problem};

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
