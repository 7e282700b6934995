//! The parts of a forest that share neither a node below the root nor a cluster.

use super::forest::{Forest, Hint};
use super::groups::Groups;
use super::none::NONE;
use crate::disjoint_sets::DisjointSets;

/// The parts, each as the list of its nodes; the buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Components {
    /// Nodes that are in one part, so far; items `[r]`.
    sets: DisjointSets,
    /// Part of each node, `[r]`; the forest's root has none.
    part: Vec<u32>,
    /// Nodes, entries and hints by part.
    nodes: Groups,
    entries: Groups,
    hints: Groups,
    /// Number of each node within its part, from 1; `[r]`.
    place: Vec<u32>,
    /// Number of each cluster within its part, `[K]`.
    cluster: Vec<u32>,
    /// The first node that carries each cluster, `[K]`.
    carrier: Vec<u32>,
}

impl Components {
    /// Splits a forest and returns the number of parts.
    pub fn split(&mut self, forest: &Forest) -> usize {
        let r = forest.len();
        self.sets.reset(r);
        for v in 1..r {
            let above = forest.parent[v];
            if above != 0 {
                self.sets.join(above as usize, v);
            }
        }
        self.carrier.clear();
        self.carrier.resize(forest.clusters(), NONE);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            match self.carrier[k as usize] {
                NONE => self.carrier[k as usize] = v,
                first => self.sets.join(first as usize, v as usize),
            }
        }
        self.part.clear();
        self.part.resize(r, NONE);
        let mut parts = 0;
        for v in 1..r {
            let root = self.sets.root(v);
            // Roots are the smallest of their part, so they come first.
            if root == v {
                self.part[v] = parts;
                parts += 1;
            } else {
                self.part[v] = self.part[root];
            }
        }
        let (part, carrier) = (&self.part, &self.carrier);
        let count = parts as usize;
        self.nodes.list(count, r, |v| part[v]);
        self.entries.list(count, forest.owner.len(), |e| part[forest.owner[e] as usize]);
        // A cluster that a node no longer leads to may be in another part.
        self.hints.list(count, forest.hints.len(), |at| {
            let Hint { node, cluster, .. } = forest.hints[at];
            let (own, of_cluster) = (part[node as usize], part[carrier[cluster as usize] as usize]);
            if own == of_cluster { own } else { NONE }
        });
        self.place.clear();
        self.place.resize(r, 0);
        self.cluster.clear();
        self.cluster.resize(forest.clusters(), NONE);
        parts as usize
    }

    /// Lists the nodes of a part, ascending.
    pub fn members(&self, part: usize) -> &[u32] {
        self.nodes.of(part)
    }

    /// Copies one part, under a root worth nothing; node `i + 1` there is member `i`.
    pub fn load(&mut self, part: usize, forest: &Forest, out: &mut Forest) {
        out.clear(forest.gains.same());
        out.parent.push(0);
        out.value.push(0.0);
        for (&v, number) in self.nodes.of(part).iter().zip(1..) {
            self.place[v as usize] = number;
            // The root's place stays 0.
            out.parent.push(self.place[forest.parent[v as usize] as usize]);
            out.value.push(forest.value[v as usize]);
        }
        for &e in self.entries.of(part) {
            let number = &mut self.cluster[forest.cover[e as usize] as usize];
            if *number == NONE {
                *number = out.clusters() as u32;
                out.gains.push_of(&forest.gains, forest.cover[e as usize]);
            }
            out.owner.push(self.place[forest.owner[e as usize] as usize]);
            out.cover.push(*number);
            out.rank.extend(forest.rank.get(e as usize));
        }
        out.hints.extend(self.hints.of(part).iter().map(|&at| {
            let hint = forest.hints[at as usize];
            Hint {
                node: self.place[hint.node as usize],
                cluster: self.cluster[hint.cluster as usize],
                ..hint
            }
        }));
    }
}
