//! One round of lossless reductions of a forest.

use super::dominance::Dominance;
use super::forest::{Forest, Hint, OUT};
use super::groups::Groups;
use super::reduction::Fix;

/// Counts what the reductions did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Nodes joined to their parent: kept exactly where that is.
    pub joined: u64,
    /// Nodes dropped because they pay in no selection.
    pub dropped: u64,
    /// Nodes dropped because another covers the same for no more.
    pub dominated: u64,
    /// Clusters that one node alone carried, folded into its value.
    pub folded: u64,
}

/// A node on the way up: its own numbers and those of the nodes joined to it.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    /// Worth without gains.
    value: f64,
    /// Most that the live nodes hung below can add, every gain counted.
    hope: f64,
    /// Clusters carried that others carry too.
    open: u32,
    /// Live nodes hung below, and the xor of their numbers: where there is one, that one.
    kids: u32,
    kid: u32,
}

/// How a node leaves a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Live,
    Joined,
    Out,
}

/// Scratch memory of the reductions.
#[derive(Debug, Default)]
pub(super) struct Presolve {
    work: Vec<Work>,
    pub(super) sums: Vec<(f64, f64)>,
    pub(super) state: Vec<State>,
    /// Tokens of each node and what was joined to it, `[r]`; empty without a budget.
    tokens: Vec<u64>,
    /// Nodes that carry each cluster, `[K]`.
    pub(super) carriers: Vec<u32>,
    /// New number of each cluster, `[K]`; `OUT` until it has one.
    number: Vec<u32>,
    /// Whether the root carries each cluster, `[K]`.
    settled: Vec<bool>,
    /// Entries by new node.
    entries: Groups,
    /// The node that last carried each new cluster, `[K]`.
    stamp: Vec<u32>,
    pub dominance: Dominance,
}

impl Presolve {
    /// Decides, from the leaves up, what joins its parent and what drops out.
    pub fn rise(&mut self, forest: &Forest, fix: &[Fix], gain: f64, tally: &mut Tally) {
        self.carriers.clear();
        self.carriers.resize(forest.clusters, 0);
        forest.cover.iter().for_each(|&k| self.carriers[k as usize] += 1);
        self.work.clear();
        self.work.extend(forest.value.iter().map(|&value| Work { value, ..Work::default() }));
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            let work = &mut self.work[v as usize];
            if self.carriers[k as usize] == 1 {
                // Nobody else covers it: its gain is the node's own.
                work.value += gain;
                tally.folded += 1;
            } else {
                work.open += 1;
            }
        }
        self.state.clear();
        self.state.resize(forest.len(), State::Live);
        self.tokens.clone_from(&forest.tokens);
        for v in (1..forest.len()).rev() {
            let mut work = self.work[v];
            let fixed = fix.get(v).copied().unwrap_or_default();
            // Most that the subtree can be worth, every gain in it counted.
            let hope = work.value + gain * f64::from(work.open) + work.hope;
            if fixed == Fix::Out || (fixed == Fix::Free && hope <= 0.0) {
                self.state[v] = State::Out;
                tally.dropped += 1;
                continue;
            }
            if work.kids == 1 && work.open == 0 && work.value <= 0.0 {
                // A loss by itself, and one way on: the two are kept together or not at all.
                let kid = self.work[work.kid as usize];
                self.state[work.kid as usize] = State::Joined;
                if forest.budgeted() {
                    self.tokens[v] += self.tokens[work.kid as usize];
                }
                work = Work { value: work.value + kid.value, ..kid };
                tally.joined += 1;
            }
            let above = &mut self.work[forest.parent[v] as usize];
            if fixed == Fix::In || (work.value >= 0.0 && !forest.budgeted()) {
                // Pays without any gain: kept wherever its parent is.
                if forest.budgeted() {
                    self.tokens[forest.parent[v] as usize] += self.tokens[v];
                }
                above.value += work.value;
                above.hope += work.hope;
                above.open += work.open;
                above.kids += work.kids;
                above.kid ^= work.kid;
                self.state[v] = State::Joined;
                tally.joined += 1;
            } else {
                above.hope += hope;
                above.kids += 1;
                above.kid ^= v as u32;
                self.work[v] = work;
            }
        }
    }

    /// Builds what is left, from the root down.
    pub fn descend(&mut self, forest: &Forest, gain: f64, place: &mut Vec<u32>, left: &mut Forest) {
        left.clear();
        left.parent.push(0);
        left.value.push(self.work[0].value);
        left.tokens.extend(self.tokens.first());
        place.clear();
        place.push(0);
        for v in 1..forest.len() {
            let above = place[forest.parent[v] as usize];
            let at = match self.state[v] {
                _ if above == OUT => OUT,
                State::Out => OUT,
                State::Joined => above,
                State::Live => {
                    left.parent.push(above);
                    left.value.push(self.work[v].value);
                    left.tokens.extend(self.tokens.get(v));
                    left.len() as u32 - 1
                }
            };
            place.push(at);
        }
        let entry = |e: usize| (place[forest.owner[e] as usize], forest.cover[e]);
        self.settle(forest.owner.len(), entry, gain, left);
        if left.len() > 1 {
            self.carry_over(forest.owner.len(), entry, left);
            let moved = forest.hints.iter().map(|hint| Hint {
                node: place[hint.node as usize],
                cluster: self.number[hint.cluster as usize],
                ..*hint
            });
            let stays = |hint: &Hint| hint.node != OUT && hint.node != 0 && hint.cluster != OUT;
            left.hints.extend(moved.filter(stays));
        }
    }

    /// Counts the gain of the clusters that the root now carries.
    ///
    /// An entry is a node of `left`, or [`OUT`], and a cluster that it carries.
    pub(super) fn settle(
        &mut self,
        entries: usize,
        entry: impl Fn(usize) -> (u32, u32),
        gain: f64,
        left: &mut Forest,
    ) {
        self.settled.clear();
        self.settled.resize(self.carriers.len(), false);
        for (at, k) in (0..entries).map(entry) {
            self.settled[k as usize] |= at == 0;
        }
        // The gain of a cluster that one node carried is in that node's value.
        let counted = self.settled.iter().zip(&self.carriers).filter(|&(&is, &of)| is && of > 1);
        left.value[0] += gain * counted.count() as f64;
    }

    /// Hands each live node the open clusters of all that was joined to it, once each.
    pub(super) fn carry_over(
        &mut self,
        entries: usize,
        entry: impl Fn(usize) -> (u32, u32),
        left: &mut Forest,
    ) {
        self.entries.list(left.len(), entries, |e| {
            let (at, k) = entry(e);
            let open = self.carriers[k as usize] > 1 && !self.settled[k as usize];
            if open { at } else { OUT }
        });
        self.number.clear();
        self.number.resize(self.carriers.len(), OUT);
        self.stamp.clear();
        for at in 0..left.len() {
            for &e in self.entries.of(at) {
                let (at, k) = entry(e as usize);
                let number = &mut self.number[k as usize];
                if *number == OUT {
                    *number = left.clusters as u32;
                    left.clusters += 1;
                    self.stamp.push(0);
                }
                let stamp = &mut self.stamp[*number as usize];
                if *stamp != at {
                    *stamp = at;
                    left.owner.push(at);
                    left.cover.push(*number);
                }
            }
        }
    }
}
