//! Branch and bound over inner nodes, for clusters of which further members add something.

use super::answer::TOLERANCE;
use super::forest::Forest;
use super::inner::Inner;
use super::nodes::NodeSet;
use crate::clock::Clock;

/// Runs and members read before the rest is left to the Lagrangian bound, for each node and entry: less
/// than that bound mostly takes, and several times what trees of clusters by state need.
const WORK: usize = 60;

/// Solves forests in which few nodes are more than the carrier of one member.
///
/// A node without children that carries one member is a leaf here, every other one inner. Once it is
/// known which inner nodes are kept, clusters no longer compete: each takes the leaves that hang at
/// them best value first, as long as value and next gain are above 0 together, for its gains fall. Let
/// `W_k(S)` be what a cluster then is worth with its leaves' values, given the inner nodes `S`, and
///
/// ```text
/// F(S) = sum of the values of S + sum_k W_k(S)
/// ```
///
/// `F` is submodular: what a node adds to `S` never grows with `S`. For `W_k(S)` is the smallest, over
/// prices `u >= 0`, of `sum_j max(0, gain_j - u)` and `max(0, value + u)` of each leaf at `S` (the dual of
/// an assignment; a member that an inner node carries is a leaf of so large a value that it is always
/// taken, less that value). What a leaf adds there rises with `u`, so the sum is submodular in `-u` and
/// `S` together, and the smallest over one argument of such a function is submodular in the other.
///
/// So with `S` kept and `U` undecided,
///
/// - what the nodes of `U` add to `S` one by one, each with the positive sums of its children, bounds
///   what they add together, and a node whose sum is not above 0 is in no better selection;
/// - a node whose parent is kept, and that adds something even to `S` and all of `U`, is in every best
///   one;
/// - parts of `U` that share neither a cluster nor a node are solved by themselves.
#[derive(Debug, Default)]
pub(super) struct Submodular<S> {
    inner: Inner<S>,
    /// `W_k` of the nodes kept, `[K]`, and what it was before the last of them.
    worth: Vec<f64>,
    undo: Vec<(u32, f64)>,
    /// What each undecided node adds to those kept, `[q]`, and in each cluster that it touches; and what
    /// it added there before the last of them.
    own: Vec<f64>,
    own_in: Vec<f64>,
    undo_own: Vec<(u32, u32, f64)>,
    /// What it adds with the best of what is below it, `[q]`.
    adds: Vec<f64>,
    /// `W_k` of all nodes kept or open, and which those were, `[K]`.
    last: Vec<(S, f64)>,
    parts: Vec<(S, f64)>,
    work: usize,
    /// Branches of the last search.
    pub branches: u64,
}

/// What a search found: how much more than what is kept, and which nodes that keeps.
#[derive(Debug, Clone, Copy)]
struct Best<S> {
    more: f64,
    kept: S,
}

/// Why a search ended without an answer: it is too long, or out of time.
struct GivenUp;

/// How a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Found,
    /// More inner nodes than a set holds.
    TooWide,
    GivenUp,
}

impl<S: NodeSet> Submodular<S> {
    /// Finds the best selection.
    pub fn run(&mut self, forest: &Forest, keep: &mut Vec<bool>, clock: &mut Clock) -> Outcome {
        self.branches = 0;
        clock.after(forest.len() + forest.owner.len());
        if !self.inner.read(forest) {
            return Outcome::TooWide;
        }
        let q = self.inner.node.len();
        self.adds.clear();
        self.adds.resize(q, 0.0);
        self.parts.clear();
        self.undo.clear();
        self.worth.clear();
        let clusters = 0..forest.clusters() as u32;
        self.worth.extend(clusters.map(|k| self.inner.cluster(forest, k, S::ROOT)));
        self.undo_own.clear();
        self.last.clear();
        self.last.resize(forest.clusters(), (S::EMPTY, 0.0));
        self.own.clear();
        self.own_in.clear();
        for i in 0..q {
            for &k in &self.inner.touched[self.inner.clusters_of(i)] {
                let with = self.inner.cluster(forest, k, S::ROOT | S::of(i));
                self.own_in.push(with - self.worth[k as usize]);
            }
            self.own.push(self.own(i));
        }
        self.work = WORK * (forest.len() + forest.owner.len());
        let all = (0..q).fold(S::EMPTY, |all, i| all | S::of(i));
        let Ok(Some(best)) = self.search(forest, S::ROOT, all, f64::NEG_INFINITY, clock) else {
            return Outcome::GivenUp;
        };
        self.inner.expand(forest, S::ROOT | best.kept, keep);
        Outcome::Found
    }

    /// Keeps a node whose parent is kept; returns what it adds.
    fn include(&mut self, forest: &Forest, i: usize, kept: S, open: S) -> f64 {
        let kept = kept | S::of(i);
        let mut changed = S::EMPTY;
        for at in self.inner.clusters_of(i) {
            let k = self.inner.touched[at];
            let worth = self.inner.cluster(forest, k, kept);
            self.undo.push((k, std::mem::replace(&mut self.worth[k as usize], worth)));
            for pair in self.inner.nodes_of(k) {
                let (j, place) = self.inner.touching[pair];
                let j = j as usize;
                if j != i && open.has(j) {
                    let with = self.inner.cluster(forest, k, kept | S::of(j));
                    let before = &mut self.own_in[place as usize];
                    self.undo_own.push((j as u32, place, std::mem::replace(before, with - worth)));
                    self.work = self.work.saturating_sub(self.inner.reads_of(k) as usize);
                    changed |= S::of(j);
                }
            }
        }
        changed.nodes().for_each(|j| self.own[j] = self.own(j));
        self.own[i]
    }

    /// Takes back what was kept since then, given by the lengths of what was noted.
    fn take_back(&mut self, undo: (usize, usize)) {
        for (k, before) in self.undo.drain(undo.0..).rev() {
            self.worth[k as usize] = before;
        }
        let mut changed = S::EMPTY;
        for (j, place, before) in self.undo_own.drain(undo.1..).rev() {
            self.own_in[place as usize] = before;
            changed |= S::of(j as usize);
        }
        changed.nodes().for_each(|j| self.own[j] = self.own(j));
    }

    /// What a node adds to those kept.
    fn own(&self, i: usize) -> f64 {
        self.inner.value[i] + self.own_in[self.inner.clusters_of(i)].iter().sum::<f64>()
    }

    /// What a node adds to all others.
    fn adds_last(&mut self, forest: &Forest, i: usize, all: S) -> f64 {
        let Self { inner, last, .. } = self;
        let more = inner.touched[inner.clusters_of(i)].iter().map(|&k| {
            let of_all = &mut last[k as usize];
            if of_all.0 != all {
                *of_all = (all, inner.cluster(forest, k, all));
            }
            of_all.1 - inner.cluster(forest, k, all & !S::of(i))
        });
        inner.value[i] + more.sum::<f64>()
    }

    /// Finds the best that `open` nodes add to those kept, if it is more than `floor`.
    fn search(
        &mut self,
        forest: &Forest,
        kept: S,
        open: S,
        floor: f64,
        clock: &mut Clock,
    ) -> Result<Option<Best<S>>, GivenUp> {
        let undo = (self.undo.len(), self.undo_own.len());
        let found = self.reduce(forest, kept, open, floor, clock);
        self.take_back(undo);
        found
    }

    fn reduce(
        &mut self,
        forest: &Forest,
        mut kept: S,
        mut open: S,
        floor: f64,
        clock: &mut Clock,
    ) -> Result<Option<Best<S>>, GivenUp> {
        let (start, mut more) = (kept, 0.0);
        let bound = loop {
            let work = open.len();
            if self.work < work || clock.after(work) {
                return Err(GivenUp);
            }
            self.work -= work;
            let mut bound = 0.0;
            let mut certain = S::EMPTY;
            open.nodes().for_each(|i| self.adds[i] = 0.0);
            for i in open.nodes_down() {
                let own = self.own[i];
                let all = own + self.adds[i];
                self.adds[i] = all;
                if all <= 0.0 {
                    open &= !self.inner.below[i];
                } else if !self.inner.parent[i].meets(kept) {
                    self.adds[self.inner.parent[i].first()] += all;
                } else {
                    bound += all;
                    certain |= if own > 0.0 { S::of(i) } else { S::EMPTY };
                }
            }
            let mut changed = false;
            for i in certain.nodes() {
                self.work = self.work.saturating_sub(2 * self.inner.reads[i] as usize);
                if self.adds_last(forest, i, kept | open) > 0.0 {
                    more += self.include(forest, i, kept, open);
                    kept |= S::of(i);
                    open &= !S::of(i);
                    changed = true;
                }
            }
            if !changed {
                break bound;
            }
        };
        if more + bound <= floor + TOLERANCE {
            return Ok(None);
        }
        if open == S::EMPTY {
            return Ok(Some(Best { more, kept: kept & !start }));
        }
        let found = self.split(forest, kept, open, floor - more, bound, clock)?;
        Ok(found.map(|best| Best { more: more + best.more, kept: best.kept | kept & !start }))
    }

    /// Solves part after part of what is open.
    fn split(
        &mut self,
        forest: &Forest,
        kept: S,
        open: S,
        floor: f64,
        bound: f64,
        clock: &mut Clock,
    ) -> Result<Option<Best<S>>, GivenUp> {
        let first = self.parts.len();
        let mut rest = open;
        while rest != S::EMPTY {
            let (mut part, mut edge) = (S::EMPTY, S::of(rest.first()));
            while edge != S::EMPTY {
                part |= edge;
                let next = edge.nodes().fold(S::EMPTY, |next, i| next | self.inner.beside[i]);
                edge = next & rest & !part;
            }
            rest &= !part;
            let hope: f64 = part
                .nodes()
                .filter(|&i| self.inner.parent[i].meets(kept))
                .map(|i| self.adds[i])
                .sum();
            self.parts.push((part, hope));
        }
        if self.parts.len() == first + 1 {
            self.parts.pop();
            return self.branch(forest, kept, open, floor, clock);
        }
        let mut best = Best { more: 0.0, kept: S::EMPTY };
        let mut hope = bound;
        while self.parts.len() > first {
            let Some((part, of_it)) = self.parts.pop() else { break };
            hope -= of_it;
            let floor = floor - best.more - hope;
            let Some(found) = self.search(forest, kept, part, floor, clock)? else {
                self.parts.truncate(first);
                return Ok(None);
            };
            best.more += found.more;
            best.kept |= found.kept;
        }
        Ok(Some(best))
    }

    /// Keeps the node that may add most, and then does without it.
    fn branch(
        &mut self,
        forest: &Forest,
        kept: S,
        open: S,
        mut floor: f64,
        clock: &mut Clock,
    ) -> Result<Option<Best<S>>, GivenUp> {
        let candidates = open.nodes().filter(|&i| self.inner.parent[i].meets(kept));
        let better = |best: usize, i: usize| if self.adds[i] > self.adds[best] { i } else { best };
        let Some(i) = candidates.reduce(better) else { return Ok(None) };
        self.branches += 1;
        let undo = (self.undo.len(), self.undo_own.len());
        let adds = self.include(forest, i, kept, open);
        let with = self.search(forest, kept | S::of(i), open & !S::of(i), floor - adds, clock)?;
        self.take_back(undo);
        let with = with.map(|best| Best { more: best.more + adds, kept: best.kept | S::of(i) });
        if let Some(best) = with {
            floor = best.more;
        }
        let without = self.search(forest, kept, open & !self.inner.below[i], floor, clock)?;
        Ok(without.or(with))
    }
}
