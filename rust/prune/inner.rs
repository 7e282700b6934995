//! A forest as its inner nodes and the leaves of its clusters.

use std::ops::Range;

use super::forest::Forest;
use super::groups::Groups;
use super::nodes::NodeSet;
use super::none::NONE;

/// Lists the nodes of a forest that do more than carry one member, and the leaves of each cluster.
///
/// A node without children that carries one member is a leaf here, every other one inner; a chain of
/// single children is one node. The buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Inner<S> {
    /// The nodes, chains joined, `[r]`.
    units: Vec<Unit>,
    /// Bit of each node, `[r]`; `NONE` for leaves, `MOST` for the root.
    bit: Vec<u32>,
    /// The inner nodes but the root, ascending, `[q]`; all that follows is by these.
    pub node: Vec<u32>,
    pub parent: Vec<S>,
    pub value: Vec<f64>,
    /// Inner nodes at and below each one, and those that share a cluster with it or are its parent or
    /// child.
    pub below: Vec<S>,
    pub beside: Vec<S>,
    /// The clusters of which members are carried at or hang at each: pairs by node, and their clusters.
    touches: Groups,
    pub touched: Vec<u32>,
    /// The same pairs by cluster, `[K + 1]`: their nodes, and where they stand by node.
    touch_start: Vec<u32>,
    pub touching: Vec<(u32, u32)>,
    /// Runs and members that are read to see what each one adds.
    pub reads: Vec<u32>,
    /// Leaves' entries by cluster, and behind all of these the entries of inner nodes by cluster.
    order: Groups,
    /// The leaves by cluster, the best first.
    leaves: Vec<Leaf>,
    /// The same as runs of equal ones at one node, `[K + 1]` and those.
    run_start: Vec<u32>,
    runs: Vec<Run<S>>,
    /// The inner nodes that carry members of each cluster themselves, `[K + 1]` and those.
    own_start: Vec<u32>,
    own_at: Vec<S>,
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

/// A leaf, and where it hangs.
#[derive(Debug, Clone, Copy)]
struct Leaf {
    value: f64,
    node: u32,
    above: u32,
}

/// Leaves of one cluster and one value at one node.
#[derive(Debug, Clone, Copy)]
struct Run<S> {
    value: f64,
    at: S,
    count: u32,
}

impl<S: NodeSet> Inner<S> {
    /// Lists inner nodes, and the leaves of each cluster; false where they are too many.
    pub fn read(&mut self, forest: &Forest) -> bool {
        let r = forest.len();
        self.join_chains(forest);
        self.node.clear();
        self.parent.clear();
        self.value.clear();
        self.bit.clear();
        self.bit.resize(r, NONE);
        self.bit[0] = S::MOST as u32;
        let inner = |unit: &Unit| unit.entries != 1 || unit.kids > 0;
        for (v, unit) in (0..).zip(&self.units).skip(1).filter(|(v, unit)| unit.bottom == *v) {
            if inner(unit) {
                if self.node.len() == S::MOST {
                    return false;
                }
                self.bit[v as usize] = self.node.len() as u32;
                self.node.push(v);
                self.parent.push(S::of(self.bit[unit.above as usize] as usize));
                self.value.push(unit.value);
            }
        }
        let q = self.node.len();
        self.below.clear();
        self.below.extend((0..q).map(S::of));
        for i in (0..q).rev() {
            let above = self.parent[i];
            if above != S::ROOT {
                let below = self.below[i];
                self.below[above.first()] |= below;
            }
        }
        self.list(forest);
        self.find_neighbours(forest.clusters() as u32);
        true
    }

    /// Finds which clusters each node touches, and what is beside it.
    fn find_neighbours(&mut self, clusters: u32) {
        let q = self.node.len();
        self.beside.clear();
        self.beside.resize(q, S::EMPTY);
        self.reads.clear();
        self.reads.resize(q, 1);
        self.touch_start.clear();
        self.touching.clear();
        for k in 0..clusters {
            self.touch_start.push(self.touching.len() as u32);
            let at = self.runs(k).iter().map(|run| run.at).chain(self.own(k).iter().copied());
            let all = at.fold(S::EMPTY, |all, at| all | at) & !S::ROOT;
            let reads = self.reads_of(k);
            all.nodes().for_each(|i| {
                self.beside[i] |= all;
                self.reads[i] += reads;
                self.touching.push((i as u32, 0));
            });
        }
        self.touch_start.push(self.touching.len() as u32);
        self.touches.list(q, self.touching.len(), |pair| self.touching[pair].0);
        self.touched.clear();
        self.touched.resize(self.touching.len(), 0);
        for (&pair, place) in self.touches.items().iter().zip(0..) {
            self.touching[pair as usize].1 = place;
        }
        for k in 0..clusters {
            for pair in self.nodes_of(k) {
                self.touched[self.touching[pair].1 as usize] = k;
            }
        }
        for i in 0..q {
            let above = self.parent[i];
            if above != S::ROOT {
                self.beside[i] |= above;
                self.beside[above.first()] |= S::of(i);
            }
        }
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
        self.order.list(2 * clusters, entries, |e| {
            forest.cover[e] + if bit_of(e) == NONE { 0 } else { clusters as u32 }
        });
        self.own_start.clear();
        self.own_at.clear();
        for k in clusters..2 * clusters {
            self.own_start.push(self.own_at.len() as u32);
            let of = self.order.of(k).iter();
            self.own_at.extend(of.map(|&e| S::of(bit_of(e as usize) as usize)));
        }
        self.own_start.push(self.own_at.len() as u32);
        self.leaves.clear();
        let of_leaves = 0..self.order.places(clusters).start;
        self.leaves.extend(self.order.items()[of_leaves].iter().map(|&e| {
            let node = forest.owner[e as usize];
            let unit = &self.units[node as usize];
            Leaf { value: unit.value, node, above: unit.above }
        }));
        self.run_start.clear();
        self.runs.clear();
        for k in 0..clusters {
            let first = self.runs.len();
            self.run_start.push(first as u32);
            let leaves = &mut self.leaves[self.order.places(k)];
            leaves.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.above.cmp(&b.above)));
            for leaf in leaves {
                let at = S::of(self.bit[leaf.above as usize] as usize);
                match self.runs[first..].last_mut() {
                    Some(run) if run.at == at && run.value.to_bits() == leaf.value.to_bits() => {
                        run.count += 1;
                    }
                    _ => self.runs.push(Run { value: leaf.value, at, count: 1 }),
                }
            }
        }
        self.run_start.push(self.runs.len() as u32);
    }

    fn runs(&self, k: u32) -> &[Run<S>] {
        let start = |k: u32| self.run_start[k as usize] as usize;
        &self.runs[start(k)..start(k + 1)]
    }

    fn own(&self, k: u32) -> &[S] {
        let start = |k: u32| self.own_start[k as usize] as usize;
        &self.own_at[start(k)..start(k + 1)]
    }

    /// What a cluster is worth with the leaves that it takes at kept nodes.
    pub fn cluster(&self, forest: &Forest, k: u32, kept: S) -> f64 {
        let gains = forest.gains.of(k);
        let held = self.own(k).iter().filter(|at| at.meets(kept)).count();
        let mut worth: f64 = gains.iter().take(held).sum();
        let mut next = held;
        for run in self.runs(k).iter().filter(|run| run.at.meets(kept)) {
            for _ in 0..run.count {
                // A leaf behind the last gain is worth its value.
                let adds = run.value + gains.get(next).copied().unwrap_or(0.0);
                if adds <= 0.0 {
                    return worth;
                }
                worth += adds;
                next += 1;
            }
        }
        worth
    }

    /// Runs and members that are read to see what a cluster is worth.
    pub fn reads_of(&self, k: u32) -> u32 {
        (self.runs(k).len() + self.own(k).len()) as u32
    }

    /// Where the clusters of a node stand in `touched`.
    pub fn clusters_of(&self, i: usize) -> Range<usize> {
        self.touches.places(i)
    }

    /// Where the nodes that a cluster touches stand in `touching`.
    pub fn nodes_of(&self, k: u32) -> Range<usize> {
        let start = |k: u32| self.touch_start[k as usize] as usize;
        start(k)..start(k + 1)
    }

    /// Turns kept inner nodes into a selection, with the leaves that each cluster takes.
    pub fn expand(&self, forest: &Forest, kept: S, keep: &mut Vec<bool>) {
        keep.clear();
        keep.resize(forest.len(), false);
        keep[0] = true;
        (kept & !S::ROOT).nodes().for_each(|i| keep[self.node[i] as usize] = true);
        for k in 0..forest.clusters() as u32 {
            let held = self.own(k).iter().filter(|at| at.meets(kept)).count() as u32;
            let of = self.leaves[self.order.places(k as usize)].iter();
            let hangs = |leaf: &&Leaf| kept.has(self.bit[leaf.above as usize] as usize);
            for (leaf, held) in of.filter(hangs).zip(held..) {
                if leaf.value + forest.gains.next(k, held) <= 0.0 {
                    break;
                }
                keep[leaf.node as usize] = true;
            }
        }
        (1..forest.len()).for_each(|v| keep[v] = keep[self.units[v].bottom as usize]);
    }
}
