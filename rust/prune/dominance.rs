//! Nodes that another one makes needless.

use super::forest::{Forest, OUT};
use super::groups::Groups;
use super::preorder::Preorder;
use super::presolve::Tally;
use super::reduction::Fix;

/// Finds dominated nodes; owns the scratch memory.
#[derive(Debug, Default)]
pub(super) struct Dominance {
    /// What was found, `[r]`.
    pub fix: Vec<Fix>,
    preorder: Preorder,
    /// Entries of the forest by cluster.
    carriers: Groups,
    /// Clusters that each node carries, `[r]`.
    covers: Vec<u32>,
    /// The best carrier of the current cluster hung at each node, `[r]`.
    best_at: Vec<u32>,
    /// The cluster that last marked each node as a carrier, `[r]`.
    carries: Vec<u32>,
    /// Entries that an ancestor makes idle, `[e]`.
    idle: Vec<bool>,
    /// The current cluster's carriers, each with its entry, and the nodes that they hang at.
    visits: Vec<Visit>,
    /// Those among them on the path to the one in work, from the top.
    path: Vec<Above>,
}

/// A node that matters to a cluster, in preorder; a carrier comes before itself as a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    at: u32,
    /// `OUT` for a node that carriers hang at.
    entry: u32,
}

/// What the nodes down to one on the path mean for those below it.
#[derive(Debug, Clone, Copy)]
struct Above {
    /// The number behind the last node below it.
    end: u32,
    /// Whether one of them carries the cluster.
    covered: bool,
    /// The best carrier that hangs at one of them, below the last that carries the cluster.
    best: u32,
}

impl Dominance {
    /// Fixes the nodes that another one dominates, and removes what an ancestor already covers.
    ///
    /// A leaf that costs something and carries one cluster loses to any other carrier of it that
    /// is worth no less and hangs at an ancestor of its parent, or at its parent: where the leaf
    /// is kept, that one can be kept in its place, and where both are, the leaf only costs. True
    /// where a node was fixed; `fix` then says which. Costs O(r + e log e), however deep the forest.
    pub fn find(&mut self, forest: &mut Forest, tally: &mut Tally) -> bool {
        self.begin(forest);
        let (mut any_fixed, mut any_idle) = (false, false);
        for k in 0..forest.clusters {
            self.list(forest, k);
            let leaf = |v: u32, covers: &[u32], preorder: &Preorder| {
                covers[v as usize] == 1 && preorder.end(v) == preorder.at[v as usize] + 1
            };
            for visit in 0..self.visits.len() {
                let Visit { at, entry } = self.visits[visit];
                let v = self.preorder.node[at as usize];
                while self.path.last().is_some_and(|above| above.end <= at) {
                    self.path.pop();
                }
                let above = self.path.last().copied();
                let Above { covered, best, .. } =
                    above.unwrap_or(Above { end: 0, covered: false, best: OUT });
                let end = self.preorder.end(v);
                if entry == OUT {
                    // One that carries the cluster itself is on the path already.
                    if self.carries[v as usize] != k as u32 {
                        let best = better(forest, best, self.best_at[v as usize]);
                        self.path.push(Above { end, covered, best });
                    }
                    continue;
                }
                let is_leaf = leaf(v, &self.covers, &self.preorder);
                if is_leaf && best != OUT && better(forest, best, v) == best && best != v {
                    self.fix[v as usize] = Fix::Out;
                    tally.dominated += 1;
                    any_fixed = true;
                } else if covered {
                    self.idle[entry as usize] = true;
                    any_idle = true;
                }
                self.path.push(Above { end, covered: true, best: OUT });
            }
            for &e in self.carriers.of(k) {
                self.best_at[forest.parent[forest.owner[e as usize] as usize] as usize] = OUT;
            }
        }
        if any_idle {
            let mut keep = self.idle.iter().map(|idle| !idle);
            forest.owner.retain(|_| keep.next().unwrap_or(true));
            let mut keep = self.idle.iter().map(|idle| !idle);
            forest.cover.retain(|_| keep.next().unwrap_or(true));
        }
        any_fixed
    }

    fn begin(&mut self, forest: &Forest) {
        let r = forest.len();
        self.preorder.list(&forest.parent);
        self.carriers.list(forest.clusters, forest.owner.len(), |e| forest.cover[e]);
        self.covers.clear();
        self.covers.resize(r, 0);
        forest.owner.iter().for_each(|&v| self.covers[v as usize] += 1);
        for list in [&mut self.best_at, &mut self.carries] {
            list.clear();
            list.resize(r, OUT);
        }
        self.idle.clear();
        self.idle.resize(forest.owner.len(), false);
        self.fix.clear();
        self.fix.resize(r, Fix::Free);
    }

    /// Lists a cluster's carriers and the nodes that they hang at, with the best one at each.
    fn list(&mut self, forest: &Forest, k: usize) {
        self.visits.clear();
        self.path.clear();
        for &entry in self.carriers.of(k) {
            let v = forest.owner[entry as usize];
            let above = forest.parent[v as usize] as usize;
            self.carries[v as usize] = k as u32;
            self.visits.push(Visit { at: self.preorder.at[v as usize], entry });
            let best = &mut self.best_at[above];
            if *best == OUT {
                self.visits.push(Visit { at: self.preorder.at[above], entry: OUT });
            }
            *best = better(forest, *best, v);
        }
        self.visits.sort_unstable();
    }
}

/// The one worth more of two nodes, either of which may be `OUT`; of equal ones the first.
fn better(forest: &Forest, a: u32, b: u32) -> u32 {
    if a == OUT || b == OUT {
        return a.min(b);
    }
    let value = |v: u32| forest.value[v as usize];
    // Values are finite.
    if value(b).total_cmp(&value(a)).then(a.cmp(&b)).is_lt() { a } else { b }
}
