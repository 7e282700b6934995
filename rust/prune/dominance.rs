//! Nodes that another one makes needless.

use super::forest::{Forest, OUT};
use super::groups::Groups;
use super::presolve::Tally;
use super::reduction::Fix;

/// Ancestors looked at for each carrier: deeper trees than these are not worth the time.
const MOST_ANCESTORS: usize = 64;

/// Finds dominated nodes; owns the scratch memory.
#[derive(Debug, Default)]
pub(super) struct Dominance {
    /// What was found, `[r]`.
    pub fix: Vec<Fix>,
    /// Entries of the forest by cluster.
    carriers: Groups,
    /// Clusters that each node carries, `[r]`.
    covers: Vec<u32>,
    /// Whether a node hangs below each node, `[r]`.
    inner: Vec<bool>,
    /// The best carrier of the current cluster hung at each node, `[r]`.
    best_at: Vec<u32>,
    /// The cluster that last marked each node as a carrier, `[r]`.
    carries: Vec<u32>,
    /// Entries that an ancestor makes idle, `[e]`.
    idle: Vec<bool>,
}

impl Dominance {
    /// Fixes the nodes that another one dominates, and removes what an ancestor already covers.
    ///
    /// A leaf that costs something and carries one cluster loses to any other carrier of it that
    /// is worth no less and hangs at an ancestor of its parent, or at its parent: where the leaf
    /// is kept, that one can be kept in its place, and where both are, the leaf only costs. True
    /// where a node was fixed; `fix` then says which.
    pub fn find(&mut self, forest: &mut Forest, tally: &mut Tally) -> bool {
        let Self { fix, carriers, covers, inner, best_at, carries, idle } = self;
        let (r, clusters) = (forest.len(), forest.clusters);
        carriers.list(clusters, forest.owner.len(), |e| forest.cover[e]);
        covers.clear();
        covers.resize(r, 0);
        forest.owner.iter().for_each(|&v| covers[v as usize] += 1);
        inner.clear();
        inner.resize(r, false);
        (1..r).for_each(|v| inner[forest.parent[v] as usize] = true);
        for list in [&mut *best_at, &mut *carries] {
            list.clear();
            list.resize(r, OUT);
        }
        idle.clear();
        idle.resize(forest.owner.len(), false);
        fix.clear();
        fix.resize(r, Fix::Free);
        let (mut any_fixed, mut any_idle) = (false, false);
        let value = |v: u32| forest.value[v as usize];
        // Values are finite; of equal ones the first wins.
        let beats = |a: u32, b: u32| value(b).total_cmp(&value(a)).then(a.cmp(&b)).is_lt();
        for k in 0..clusters {
            let entries = || carriers.of(k).iter().map(|&e| (forest.owner[e as usize], e));
            for (v, _) in entries() {
                carries[v as usize] = k as u32;
                let best = &mut best_at[forest.parent[v as usize] as usize];
                if *best == OUT || beats(v, *best) {
                    *best = v;
                }
            }
            for (v, e) in entries() {
                let leaf = !inner[v as usize] && covers[v as usize] == 1;
                let mut at = v;
                for _ in 0..MOST_ANCESTORS {
                    if at == 0 {
                        break;
                    }
                    at = forest.parent[at as usize];
                    if at != 0 && carries[at as usize] == k as u32 {
                        idle[e as usize] = true;
                        any_idle = true;
                        break;
                    }
                    let best = best_at[at as usize];
                    if leaf && best != OUT && best != v && beats(best, v) {
                        fix[v as usize] = Fix::Out;
                        tally.dominated += 1;
                        any_fixed = true;
                        break;
                    }
                }
            }
            for (v, _) in entries() {
                best_at[forest.parent[v as usize] as usize] = OUT;
            }
        }
        if any_idle {
            let mut keep = idle.iter().map(|idle| !idle);
            forest.owner.retain(|_| keep.next().unwrap_or(true));
            let mut keep = idle.iter().map(|idle| !idle);
            forest.cover.retain(|_| keep.next().unwrap_or(true));
        }
        any_fixed
    }
}
