//! What is already decided about nodes, and what follows from it.

use super::forest::Forest;

/// What is already decided about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Fix {
    /// Nothing.
    #[default]
    Free,
    /// It is kept; so are its ancestors, which are fixed too.
    In,
    /// It is not kept, and so nothing below it.
    Out,
}

/// Fixes one node on top of what is fixed: out, or in with all above it.
pub(super) fn decide(fix: &mut [Fix], parent: &[u32], node: usize, kept: bool) {
    let mut at = node;
    while kept && at != 0 {
        fix[at] = Fix::In;
        at = parent[at] as usize;
    }
    if !kept {
        fix[node] = Fix::Out;
    }
}

/// Fixes what follows from a node that is kept, or not, for a best selection in which every leaf
/// that yields to a carrier is only kept with it: here for the leaves and carriers at the node's
/// parent.
pub(super) fn follow(forest: &Forest, fix: &mut [Fix], node: usize, kept: bool) {
    let mut inner = vec![false; forest.len()];
    forest.parent[1..].iter().for_each(|&above| inner[above as usize] = true);
    let single = |v: usize| !inner[v] && forest.entries_of(v).len() == 1;
    let own = forest.members_of(node);
    if kept && !single(node) {
        return;
    }
    for (&v, k) in forest.owner.iter().zip(&forest.cover) {
        let other = v as usize;
        let beside = forest.parent[other] == forest.parent[node] && other != node;
        if !beside || fix[other] != Fix::Free || !own.contains(k) {
            continue;
        }
        let first = forest.better(v, node as u32) == v;
        if kept && first {
            fix[other] = Fix::In;
        } else if !kept && !first && single(other) {
            fix[other] = Fix::Out;
        }
    }
}

/// Fixes the nodes whose other choice lowers a bound by `spare` or more; returns how many.
///
/// `sum` is the worth of each subtree at the bound's multipliers given that its top is kept, `keep`
/// the selection that attains the bound, and `loss` scratch.
pub(super) fn fix_by_cost(
    forest: &Forest,
    sum: &[f64],
    keep: &[bool],
    spare: f64,
    loss: &mut Vec<f64>,
    fix: &mut Vec<Fix>,
) -> usize {
    fix.clear();
    fix.resize(forest.len(), Fix::Free);
    // What the bound loses by forcing a node in (not kept) or out (kept), `[r]`.
    loss.clear();
    loss.push(f64::INFINITY);
    let mut fixed = 0;
    for v in 1..forest.len() {
        let above = forest.parent[v] as usize;
        let here = if keep[v] {
            loss[above].min(sum[v])
        } else {
            let before = if keep[above] { 0.0 } else { loss[above] };
            before + (-sum[v]).max(0.0)
        };
        loss.push(here);
        if here >= spare {
            fix[v] = if keep[v] { Fix::In } else { Fix::Out };
            fixed += 1;
        }
    }
    fixed
}
