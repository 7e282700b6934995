//! One round of lossless reductions of a forest.

use super::counts::Tally;
use super::dominance::Dominance;
use super::fix::Fix;
use super::fold::Fold;
use super::forest::{Forest, Hint};
use super::gains::Gains;
use super::groups::Groups;
use super::none::NONE;

/// A node on the way up: its own numbers and those of the nodes joined to it.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    /// Worth without open gains.
    value: f64,
    /// Most that the live nodes hung below can add, every gain counted.
    hope: f64,
    /// Open members carried, and the most that they can add.
    open: u32,
    gains: f64,
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
    pub(super) fold: Fold,
    /// The base and the first open gain of each cluster, `[K]`.
    pub(super) firsts: Vec<(f64, f64)>,
    /// New number of each cluster, `[K]`; `NONE` until it has one.
    number: Vec<u32>,
    /// Members of each cluster that the root carries, `[K]`.
    settled: Vec<u32>,
    /// Entries by new node.
    entries: Groups,
    /// The node that last carried each cluster, and how many of its members so far, `[K]`.
    stamp: Vec<(u32, u32)>,
    /// The gains of a whole problem, in the forests' unit.
    pub(super) scaled: Gains,
    pub dominance: Dominance,
}

impl Presolve {
    /// Decides, from the leaves up, what joins its parent and what drops out.
    pub fn bottom_up(&mut self, forest: &Forest, fix: &[Fix], tally: &mut Tally) {
        let gains = &forest.gains;
        let entry = |e: usize| (forest.owner[e], forest.cover[e]);
        self.fold.run(gains, forest.owner.len(), entry, tally);
        self.work.clear();
        self.work.extend(forest.value.iter().map(|&value| Work { value, ..Work::default() }));
        self.stamp.clear();
        self.stamp.resize(gains.clusters(), (NONE, 0));
        for (e, (&v, &k)) in forest.owner.iter().zip(&forest.cover).enumerate() {
            let work = &mut self.work[v as usize];
            work.value += self.fold.base(k);
            if self.fold.open(k) > 0 {
                let (last, members) = &mut self.stamp[k as usize];
                *members = if *last == v { *members + 1 } else { 0 };
                *last = v;
                work.open += 1;
                let rank = forest.rank.get(e).copied().unwrap_or(*members);
                work.gains += self.fold.gain(gains, k, rank);
            }
        }
        self.state.clear();
        self.state.resize(forest.len(), State::Live);
        self.tokens.clone_from(&forest.tokens);
        for v in (1..forest.len()).rev() {
            let mut work = self.work[v];
            let fixed = fix.get(v).copied().unwrap_or_default();
            // Most that the subtree can be worth, every gain in it counted.
            let gains = gains.same().map_or(work.gains, |gain| gain * f64::from(work.open));
            let hope = work.value + gains + work.hope;
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
                above.gains += work.gains;
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
    pub fn top_down(&mut self, forest: &Forest, place: &mut Vec<u32>, left: &mut Forest) {
        left.clear(forest.gains.same());
        left.parent.push(0);
        left.value.push(self.work[0].value);
        left.tokens.extend(self.tokens.first());
        place.clear();
        place.push(0);
        for v in 1..forest.len() {
            let above = place[forest.parent[v] as usize];
            let at = match self.state[v] {
                _ if above == NONE => NONE,
                State::Out => NONE,
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
        self.settle(forest.owner.len(), entry, &forest.gains, left);
        if left.len() > 1 {
            self.carry_over(forest.owner.len(), entry, &forest.gains, left);
            let moved = forest.hints.iter().map(|hint| Hint {
                node: place[hint.node as usize],
                cluster: self.number[hint.cluster as usize],
                ..*hint
            });
            let stays = |hint: &Hint| hint.node != NONE && hint.node != 0 && hint.cluster != NONE;
            left.hints.extend(moved.filter(stays));
        }
    }

    /// Counts the gains of the members that the root now carries.
    ///
    /// An entry is a node of `left`, or [`NONE`], and a cluster that it carries. The first gains are
    /// spent on those members whatever else is kept, and the next member adds what comes after.
    pub(super) fn settle(
        &mut self,
        entries: usize,
        entry: impl Fn(usize) -> (u32, u32),
        gains: &Gains,
        left: &mut Forest,
    ) {
        self.settled.clear();
        self.settled.resize(gains.clusters(), 0);
        for (at, k) in (0..entries).map(entry) {
            self.settled[k as usize] += u32::from(at == 0);
        }
        let settled = (0_u32..).zip(&self.settled).filter(|&(_, &members)| members > 0);
        // What was folded is in the nodes' values.
        left.value[0] += if let Some(gain) = gains.same() {
            gain * settled.filter(|&(k, _)| self.fold.open(k) > 0).count() as f64
        } else {
            let fold = &self.fold;
            let spent = |(k, &members)| fold.rest(gains, k, 0).take(members as usize);
            settled.flat_map(spent).sum::<f64>()
        };
    }

    /// Hands each live node the open members of all that was joined to it, no more of a cluster
    /// than can still add anything.
    pub(super) fn carry_over(
        &mut self,
        entries: usize,
        entry: impl Fn(usize) -> (u32, u32),
        gains: &Gains,
        left: &mut Forest,
    ) {
        let Self { fold, settled, .. } = self;
        let open = |k: u32| fold.open(k).saturating_sub(settled[k as usize]);
        self.entries.list(left.len(), entries, |e| {
            let (at, k) = entry(e);
            if open(k) > 0 && at != 0 { at } else { NONE }
        });
        self.number.clear();
        self.number.resize(gains.clusters(), NONE);
        self.stamp.clear();
        for at in 0..left.len() {
            for &e in self.entries.of(at) {
                let (at, k) = entry(e as usize);
                let number = &mut self.number[k as usize];
                if *number == NONE {
                    *number = left.clusters() as u32;
                    self.stamp.push((NONE, 0));
                    if gains.same().is_some() {
                        left.gains.push_same(1);
                    } else {
                        left.gains.push(fold.rest(gains, k, settled[k as usize]));
                    }
                }
                let (last, members) = &mut self.stamp[*number as usize];
                *members = if *last == at { *members + 1 } else { 1 };
                *last = at;
                if *members <= open(k) {
                    left.owner.push(at);
                    left.cover.push(*number);
                }
            }
        }
    }
}
