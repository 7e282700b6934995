//! A forest as its inner nodes and the leaves of its clusters.

use std::ops::Range;

use super::forest::Forest;
use super::groups::Groups;
use super::none::NONE;

/// Most nodes that may be undecided: one bit each, and one for the root.
pub(super) const MOST: usize = 127;
pub(super) const ROOT: u128 = 1 << MOST;

/// Lists the nodes of a forest that do more than carry one member, and the leaves of each cluster.
///
/// A node without children that carries one member is a leaf here, every other one inner; a chain of
/// single children is one node. The buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// The nodes, chains joined, `[r]`.
    units: Vec<Unit>,
    /// Bit of each node, `[r]`; `NONE` for leaves, `MOST` for the root.
    bit: Vec<u32>,
    /// The inner nodes but the root, ascending, `[q]`; all that follows is by these.
    pub node: Vec<u32>,
    pub parent: Vec<u128>,
    pub value: Vec<f64>,
    /// Inner nodes at and below each one, and those that share a cluster with it or are its parent or
    /// child.
    pub below: Vec<u128>,
    pub beside: Vec<u128>,
    /// The clusters of which members are carried at or hang at each.
    touches: Groups,
    pub touched: Vec<u32>,
    /// Runs and members that are read to see what each one adds.
    pub reads: Vec<u32>,
    /// Leaves' entries by cluster, the best first; and as runs of equal ones at one node, `[K + 1]` and
    /// those.
    order: Groups,
    run_start: Vec<u32>,
    runs: Vec<Run>,
    /// Members by cluster that inner nodes carry themselves, and those nodes.
    own: Groups,
    own_at: Vec<u128>,
    /// A cluster and a node that it touches, while they are listed.
    pairs: Vec<(u32, u32)>,
}

/// A node, and those of a chain of single children above it.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// The lowest node of the chain; the rest is only right there.
    bottom: u32,
    /// Parent of the chain's top.
    above: u32,
    value: f64,
    /// Members carried, children, and the last of these.
    entries: u32,
    kids: u32,
    kid: u32,
}

/// Leaves of one cluster and one value at one node.
#[derive(Debug, Clone, Copy)]
struct Run {
    value: f64,
    at: u128,
    count: u32,
}

impl Inner {
    /// Lists inner nodes, and the leaves of each cluster; false where they are too many.
    pub fn read(&mut self, forest: &Forest) -> bool {
        let r = forest.len();
        self.join_chains(forest);
        self.node.clear();
        self.parent.clear();
        self.value.clear();
        self.bit.clear();
        self.bit.resize(r, NONE);
        self.bit[0] = MOST as u32;
        let inner = |unit: &Unit| unit.entries != 1 || unit.kids > 0;
        for (v, unit) in (0..).zip(&self.units).skip(1).filter(|(v, unit)| unit.bottom == *v) {
            if inner(unit) {
                if self.node.len() == MOST {
                    return false;
                }
                self.bit[v as usize] = self.node.len() as u32;
                self.node.push(v);
                self.parent.push(1 << self.bit[unit.above as usize]);
                self.value.push(unit.value);
            }
        }
        let q = self.node.len();
        let mask = |bit: u32| 1_u128 << bit;
        self.below.clear();
        self.below.extend((0..q as u32).map(mask));
        for i in (0..q).rev() {
            let above = self.parent[i];
            if above != ROOT {
                self.below[above.trailing_zeros() as usize] |= self.below[i];
            }
        }
        self.list(forest);
        self.beside.clear();
        self.beside.resize(q, 0);
        self.pairs.clear();
        for k in 0..forest.clusters() as u32 {
            let at = self.runs(k).iter().map(|run| run.at).chain(self.own(k).iter().copied());
            let all = at.fold(0, |all, at| all | at) & !ROOT;
            bits(all).for_each(|i| {
                self.beside[i] |= all;
                self.pairs.push((k, i as u32));
            });
        }
        self.touches.list(q, self.pairs.len(), |pair| self.pairs[pair].1);
        self.touched.clear();
        self.touched.extend(self.touches.items().iter().map(|&pair| self.pairs[pair as usize].0));
        self.reads.clear();
        for i in 0..q {
            let of = self.touched[self.touches.places(i)].iter();
            let reads = |&k: &u32| (self.runs(k).len() + self.own(k).len()) as u32;
            self.reads.push(1 + of.map(reads).sum::<u32>());
        }
        for i in 0..q {
            let above = self.parent[i];
            if above != ROOT {
                self.beside[i] |= above;
                self.beside[above.trailing_zeros() as usize] |= 1 << i;
            }
        }
        true
    }

    /// Joins each node that carries nothing to the only child that it has.
    ///
    /// Such a node is worth nothing alone, so the two are kept together or not at all.
    fn join_chains(&mut self, forest: &Forest) {
        let units = &mut self.units;
        units.clear();
        units.extend((0..).zip(&forest.parent).zip(&forest.value).map(
            |((bottom, &above), &value)| Unit { bottom, above, value, entries: 0, kids: 0, kid: 0 },
        ));
        forest.owner.iter().for_each(|&v| units[v as usize].entries += 1);
        for v in (1..forest.len()).rev() {
            let Unit { entries, kids, kid, value, above, .. } = units[v];
            if entries == 0 && kids == 1 && value <= 0.0 {
                let bottom = units[kid as usize].bottom;
                units[v].bottom = bottom;
                units[bottom as usize].above = above;
                units[bottom as usize].value += value;
            }
            units[above as usize].kids += 1;
            units[above as usize].kid = v as u32;
        }
    }

    /// Lists the leaves of each cluster by value, and the members of inner nodes.
    fn list(&mut self, forest: &Forest) {
        let (clusters, entries) = (forest.clusters(), forest.cover.len());
        let bit_of = |e: usize| self.bit[forest.owner[e] as usize];
        let of_kind = |e: usize, leaf: bool| {
            if (bit_of(e) == NONE) == leaf { forest.cover[e] } else { NONE }
        };
        self.order.list(clusters, entries, |e| of_kind(e, true));
        self.own.list(clusters, entries, |e| of_kind(e, false));
        self.own_at.clear();
        self.own_at.extend(self.own.items().iter().map(|&e| 1_u128 << bit_of(e as usize)));
        let units = &self.units;
        self.run_start.clear();
        self.runs.clear();
        for k in 0..clusters {
            self.run_start.push(self.runs.len() as u32);
            let place = |e: u32| {
                let unit = &units[forest.owner[e as usize] as usize];
                (unit.value, unit.above)
            };
            self.order.of_mut(k).sort_by(|&a, &b| {
                let ((value_a, above_a), (value_b, above_b)) = (place(a), place(b));
                value_b.total_cmp(&value_a).then(above_a.cmp(&above_b))
            });
            let first = self.runs.len();
            for &e in self.order.of(k) {
                let (value, above) = place(e);
                let at = 1 << self.bit[above as usize];
                match self.runs[first..].last_mut() {
                    Some(run) if run.at == at && run.value.to_bits() == value.to_bits() => {
                        run.count += 1;
                    }
                    _ => self.runs.push(Run { value, at, count: 1 }),
                }
            }
        }
        self.run_start.push(self.runs.len() as u32);
    }

    fn runs(&self, k: u32) -> &[Run] {
        let start = |k: u32| self.run_start[k as usize] as usize;
        &self.runs[start(k)..start(k + 1)]
    }

    fn own(&self, k: u32) -> &[u128] {
        &self.own_at[self.own.places(k as usize)]
    }

    /// What a cluster is worth with the leaves that it takes at kept nodes.
    pub fn cluster(&self, forest: &Forest, k: u32, kept: u128) -> f64 {
        let gains = forest.gains.of(k);
        let held = self.own(k).iter().filter(|&&at| at & kept != 0).count();
        let mut worth: f64 = gains.iter().take(held).sum();
        // A leaf behind the last gain is worth its value.
        let mut rest = gains[held.min(gains.len())..].iter().chain(std::iter::repeat(&0.0));
        for run in self.runs(k).iter().filter(|run| run.at & kept != 0) {
            for gain in rest.by_ref().take(run.count as usize) {
                if run.value + gain <= 0.0 {
                    return worth;
                }
                worth += run.value + gain;
            }
        }
        worth
    }

    /// The clusters of a node.
    pub fn clusters_of(&self, i: usize) -> Range<usize> {
        self.touches.places(i)
    }

    /// Turns kept inner nodes into a selection, with the leaves that each cluster takes.
    pub fn expand(&self, forest: &Forest, kept: u128, keep: &mut Vec<bool>) {
        keep.clear();
        keep.resize(forest.len(), false);
        keep[0] = true;
        bits(kept & !ROOT).for_each(|i| keep[self.node[i] as usize] = true);
        for k in 0..forest.clusters() as u32 {
            let held = self.own(k).iter().filter(|&&at| at & kept != 0).count() as u32;
            let of = self.order.of(k as usize).iter();
            let leaves = of
                .map(|&e| forest.owner[e as usize] as usize)
                .filter(|&v| kept & 1 << self.bit[self.units[v].above as usize] != 0);
            for (v, held) in leaves.zip(held..) {
                let gain = forest.gains.next(k, held);
                if self.units[v].value + gain <= 0.0 {
                    break;
                }
                keep[v] = true;
            }
        }
        (1..forest.len()).for_each(|v| keep[v] = keep[self.units[v].bottom as usize]);
    }
}

/// The places of the bits of a set, ascending.
pub(super) fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let at = set.trailing_zeros() as usize;
            set &= set - 1;
            at
        })
    })
}

/// The same, descending.
pub(super) fn bits_down(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (set != 0).then(|| {
            let at = 127 - set.leading_zeros() as usize;
            set &= !(1 << at);
            at
        })
    })
}
