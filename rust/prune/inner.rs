//! A forest as its inner nodes and the leaves of its clusters.

use std::ops::Range;

use super::forest::Forest;
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
    /// The clusters of which members are carried at or hang at each, as stretches of `touched`.
    touches: Vec<(u32, u32)>,
    pub touched: Vec<u32>,
    /// Runs and members that are read to see what each one adds.
    pub reads: Vec<u32>,
    /// Leaves' entries by cluster, the best first, `[K + 1]` and those; and as runs of equal ones at one
    /// node, `[K + 1]` and those.
    order_start: Vec<u32>,
    order: Vec<u32>,
    run_start: Vec<u32>,
    runs: Vec<Run>,
    /// Members that inner nodes carry themselves, `[K + 1]` and those.
    own_start: Vec<u32>,
    own: Vec<u128>,
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
        // By node.
        self.touches.clear();
        self.touches.resize(q, (0, 0));
        self.pairs.iter().for_each(|&(_, i)| self.touches[i as usize].1 += 1);
        let mut sum = 0;
        for span in &mut self.touches {
            (span.0, sum) = (sum, sum + span.1);
            span.1 = span.0;
        }
        self.touched.clear();
        self.touched.resize(sum as usize, 0);
        for &(k, i) in &self.pairs {
            let span = &mut self.touches[i as usize];
            self.touched[span.1 as usize] = k;
            span.1 += 1;
        }
        self.reads.clear();
        for &(first, end) in &self.touches {
            let of = self.touched[first as usize..end as usize].iter();
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
        let clusters = forest.clusters();
        let is_leaf = |e: u32| self.bit[forest.owner[e as usize] as usize] == NONE;
        self.order_start.clear();
        self.order_start.resize(clusters + 1, 0);
        self.own_start.clear();
        self.own_start.resize(clusters + 1, 0);
        for (e, &k) in (0..).zip(&forest.cover) {
            let start = if is_leaf(e) { &mut self.order_start } else { &mut self.own_start };
            start[k as usize] += 1;
        }
        for start in [&mut self.order_start, &mut self.own_start] {
            let mut sum = 0;
            start.iter_mut().for_each(|at| {
                sum += *at;
                *at = sum;
            });
        }
        self.order.clear();
        self.order.resize(self.order_start[clusters] as usize, 0);
        self.own.clear();
        self.own.resize(self.own_start[clusters] as usize, 0);
        for e in (0..forest.cover.len() as u32).rev() {
            let k = forest.cover[e as usize];
            let v = forest.owner[e as usize] as usize;
            if self.bit[v] == NONE {
                let at = &mut self.order_start[k as usize];
                *at -= 1;
                self.order[*at as usize] = e;
            } else {
                let at = &mut self.own_start[k as usize];
                *at -= 1;
                self.own[*at as usize] = 1 << self.bit[v];
            }
        }
        let units = &self.units;
        self.run_start.clear();
        self.runs.clear();
        for k in 0..clusters {
            self.run_start.push(self.runs.len() as u32);
            let span = self.order_start[k] as usize..self.order_start[k + 1] as usize;
            let place = |e: u32| {
                let unit = &units[forest.owner[e as usize] as usize];
                (unit.value, unit.above)
            };
            self.order[span.clone()].sort_by(|&a, &b| {
                let ((value_a, above_a), (value_b, above_b)) = (place(a), place(b));
                value_b.total_cmp(&value_a).then(above_a.cmp(&above_b))
            });
            let first = self.runs.len();
            for &e in &self.order[span] {
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
        let start = |k: u32| self.own_start[k as usize] as usize;
        &self.own[start(k)..start(k + 1)]
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
        self.touches[i].0 as usize..self.touches[i].1 as usize
    }

    /// Turns kept inner nodes into a selection, with the leaves that each cluster takes.
    pub fn expand(&self, forest: &Forest, kept: u128, keep: &mut Vec<bool>) {
        keep.clear();
        keep.resize(forest.len(), false);
        keep[0] = true;
        bits(kept & !ROOT).for_each(|i| keep[self.node[i] as usize] = true);
        for k in 0..forest.clusters() as u32 {
            let held = self.own(k).iter().filter(|&&at| at & kept != 0).count() as u32;
            let span = self.order_start[k as usize]..self.order_start[k as usize + 1];
            let leaves = self.order[span.start as usize..span.end as usize]
                .iter()
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
