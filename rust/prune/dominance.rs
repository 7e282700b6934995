//! Nodes that another one makes needless.

use super::counts::Tally;
use super::fix::Fix;
use super::forest::Forest;
use super::groups::Groups;
use super::none::NONE;
use super::preorder::Preorder;

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
    /// Entries that ancestors make idle, `[e]`.
    idle: Vec<bool>,
    /// Of each of the current cluster's entries, how many members better carriers at the same parent
    /// have, and once it was visited its rank in the forest, `[e]`; and those entries by parent, the
    /// best first. Only where a second member counts.
    rank: Vec<u32>,
    order: Vec<u32>,
    /// The current cluster's carriers, each with its entry, and the nodes that they hang at.
    visits: Vec<Visit>,
    /// Those among them on the path to the one in work, from the top.
    path: Vec<Above>,
}

/// A node that matters to a cluster, in preorder; a carrier comes before itself as a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    at: u32,
    /// `NONE` for a node that carriers hang at.
    entry: u32,
}

/// What the nodes down to one on the path mean for those below it.
#[derive(Debug, Clone, Copy)]
struct Above {
    /// The number behind the last node below it.
    end: u32,
    /// Members of the cluster that they carry.
    held: u32,
    /// The best carrier that hangs at one of them, below the last that carries the cluster, and the
    /// best that hangs at another one than this.
    best: u32,
    up: u32,
}

impl Dominance {
    /// Fixes the nodes that others dominate, and removes members that can add nothing, in a forest as a
    /// round leaves it: its root carries none, and without a budget no leaf has a value above 0.
    ///
    /// A leaf that carries one member yields to any other carrier of that cluster that is worth no
    /// less and hangs at an ancestor of its parent, or at its parent: where the leaf is kept and that
    /// one is not, it can be kept in the leaf's place. So some best selection keeps a leaf only with
    /// all carriers to which it yields (a swap moves on in a fixed order, so that swaps come to an
    /// end). The leaf is then a further member after those, and after those on the path to it, and
    /// not worth keeping where it costs as much as such a one adds: of the best selections in which
    /// every leaf keeps to this, the smallest has no such leaf. A member behind so many on the path
    /// to it that a cluster has no further gain adds nothing.
    ///
    /// Under a budget the other carrier must hold no more tokens, so that the swap fits. A leaf may then be
    /// worth something by itself and be kept beside that one: it stays, but its member adds nothing, for
    /// whenever it is kept the other one is.
    ///
    /// True where a node was fixed; `fix` then says which. Costs O(r + e log e), however deep the
    /// forest.
    pub fn find(&mut self, forest: &mut Forest, tally: &mut Tally) -> bool {
        self.begin(forest);
        let (mut any_fixed, mut any_idle) = (false, false);
        for k in 0..forest.clusters() {
            self.list(forest, k);
            let gains = &forest.gains;
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
                let Above { held, best, up, .. } =
                    above.unwrap_or(Above { end: 0, held: 0, best: NONE, up: NONE });
                let end = self.preorder.end(v);
                if entry == NONE {
                    // One that carries the cluster itself is on the path already.
                    if self.carries[v as usize] != k as u32 {
                        let here = forest.better(best, self.best_at[v as usize]);
                        self.path.push(Above { end, held, best: here, up: best });
                    }
                    continue;
                }
                let is_leaf = leaf(v, &self.covers, &self.preorder);
                let tokens = |v: u32| forest.tokens.get(v as usize).copied().unwrap_or(0);
                let yields = |to: u32| {
                    to != NONE && to != v && forest.better(to, v) == to && tokens(to) <= tokens(v)
                };
                let loses = if gains.same().is_some() {
                    yields(best)
                } else {
                    let rank = &mut self.rank[entry as usize];
                    let beside = if is_leaf { *rank + u32::from(yields(up)) } else { 0 };
                    *rank = held + beside;
                    forest.value[v as usize] + gains.next(k as u32, *rank) <= 0.0
                };
                let pays = forest.budgeted() && forest.value[v as usize] > 0.0;
                if is_leaf && loses && !pays {
                    self.fix[v as usize] = Fix::Out;
                    tally.dominated += 1;
                    any_fixed = true;
                } else if is_leaf && loses || held as usize >= gains.of(k as u32).len() {
                    self.idle[entry as usize] = true;
                    any_idle = true;
                }
                self.path.push(Above { end, held: held + 1, best: NONE, up: NONE });
            }
            for &e in self.carriers.of(k) {
                self.best_at[forest.parent[forest.owner[e as usize] as usize] as usize] = NONE;
            }
        }
        if forest.gains.same().is_none() {
            forest.rank.clone_from(&self.rank);
        }
        if any_idle {
            for list in [&mut forest.owner, &mut forest.cover, &mut forest.rank] {
                let mut keep = self.idle.iter().map(|idle| !idle);
                list.retain(|_| keep.next().unwrap_or(true));
            }
        }
        any_fixed
    }

    fn begin(&mut self, forest: &Forest) {
        let r = forest.len();
        self.preorder.list(&forest.parent);
        self.carriers.list(forest.clusters(), forest.owner.len(), |e| forest.cover[e]);
        self.covers.clear();
        self.covers.resize(r, 0);
        forest.owner.iter().for_each(|&v| self.covers[v as usize] += 1);
        for list in [&mut self.best_at, &mut self.carries] {
            list.clear();
            list.resize(r, NONE);
        }
        self.idle.clear();
        self.idle.resize(forest.owner.len(), false);
        if forest.gains.same().is_none() {
            self.rank.clear();
            self.rank.resize(forest.owner.len(), 0);
        }
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
            if *best == NONE {
                self.visits.push(Visit { at: self.preorder.at[above], entry: NONE });
            }
            *best = forest.better(*best, v);
        }
        self.visits.sort_unstable();
        if forest.gains.same().is_none() {
            self.rank_siblings(forest, k);
        }
    }

    fn rank_siblings(&mut self, forest: &Forest, k: usize) {
        let place = |entry: u32| {
            let v = forest.owner[entry as usize] as usize;
            (forest.parent[v], forest.value[v])
        };
        self.order.clear();
        self.order.extend(self.carriers.of(k));
        self.order.sort_unstable_by(|&a, &b| {
            let ((above_a, value_a), (above_b, value_b)) = (place(a), place(b));
            above_a.cmp(&above_b).then(value_b.total_cmp(&value_a)).then(a.cmp(&b))
        });
        let (mut parent, mut rank) = (NONE, 0);
        for &entry in &self.order {
            let above = place(entry).0;
            rank = if above == parent { rank + 1 } else { 0 };
            parent = above;
            self.rank[entry as usize] = rank;
        }
    }
}
