//! The parts of a forest that share neither a node below the root nor a cluster.

use super::forest::{Forest, Hint};

/// The parts, each as the list of its nodes; the buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Components {
    /// Union-find over nodes, `[r]`.
    root: Vec<u32>,
    /// Part of each node, `[r]`; the forest's root has none.
    part: Vec<u32>,
    /// Where the nodes of each part start in `nodes`, `[parts + 1]`.
    start: Vec<u32>,
    /// Nodes by part, each part in ascending order.
    nodes: Vec<u32>,
    /// Where the entries of each part start in `entries`, `[parts + 1]`.
    entry_start: Vec<u32>,
    /// Entries by part, each part in ascending order.
    entries: Vec<u32>,
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
        let (r, none) = (forest.len(), u32::MAX);
        self.root.clear();
        self.root.extend(0..r as u32);
        for v in 1..r as u32 {
            let above = forest.parent[v as usize];
            if above != 0 {
                self.join(above, v);
            }
        }
        self.carrier.clear();
        self.carrier.resize(forest.clusters, none);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            match self.carrier[k as usize] {
                first if first == none => self.carrier[k as usize] = v,
                first => self.join(first, v),
            }
        }
        self.part.clear();
        self.part.resize(r, none);
        let mut parts = 0;
        for v in 1..r {
            let root = self.find(v as u32) as usize;
            // Roots are the smallest of their part, so they come first.
            if root == v {
                self.part[v] = parts;
                parts += 1;
            } else {
                self.part[v] = self.part[root];
            }
        }
        let part = &self.part;
        by_part(parts as usize, r, |v| part[v], &mut self.start, &mut self.nodes);
        let owner = &forest.owner;
        let of_entry = |e: usize| part[owner[e] as usize];
        by_part(parts as usize, owner.len(), of_entry, &mut self.entry_start, &mut self.entries);
        self.place.clear();
        self.place.resize(r, 0);
        self.cluster.clear();
        self.cluster.resize(forest.clusters, none);
        parts as usize
    }

    /// Lists the nodes of a part, ascending.
    pub fn members(&self, part: usize) -> &[u32] {
        &self.nodes[self.start[part] as usize..self.start[part + 1] as usize]
    }

    /// Copies one part, under a root worth nothing; node `i + 1` there is member `i`.
    pub fn load(&mut self, part: usize, forest: &Forest, out: &mut Forest) {
        out.clear();
        out.parent.push(0);
        out.value.push(0.0);
        let members = self.start[part] as usize..self.start[part + 1] as usize;
        for (&v, number) in self.nodes[members].iter().zip(1..) {
            self.place[v as usize] = number;
            // The root's place stays 0.
            out.parent.push(self.place[forest.parent[v as usize] as usize]);
            out.value.push(forest.value[v as usize]);
        }
        let entries = self.entry_start[part] as usize..self.entry_start[part + 1] as usize;
        for &e in &self.entries[entries] {
            let number = &mut self.cluster[forest.cover[e as usize] as usize];
            if *number == u32::MAX {
                *number = out.clusters as u32;
                out.clusters += 1;
            }
            out.owner.push(self.place[forest.owner[e as usize] as usize]);
            out.cover.push(*number);
        }
        // A cluster that a node no longer leads to may be in another part.
        let mine = |hint: &&Hint| {
            let node = hint.node as usize;
            self.part[node] == part as u32
                && self.part[self.carrier[hint.cluster as usize] as usize] == part as u32
        };
        out.hints.extend(forest.hints.iter().filter(mine).map(|hint| Hint {
            node: self.place[hint.node as usize],
            cluster: self.cluster[hint.cluster as usize],
            ..*hint
        }));
    }

    fn find(&mut self, mut v: u32) -> u32 {
        while self.root[v as usize] != v {
            self.root[v as usize] = self.root[self.root[v as usize] as usize];
            v = self.root[v as usize];
        }
        v
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.find(a), self.find(b));
        self.root[a.max(b) as usize] = a.min(b);
    }
}

/// Lists items by part, in order; items of no part (`u32::MAX`) are left out.
fn by_part(
    parts: usize,
    items: usize,
    part: impl Fn(usize) -> u32,
    start: &mut Vec<u32>,
    list: &mut Vec<u32>,
) {
    let held = || (0..items).filter(|&i| part(i) != u32::MAX);
    start.clear();
    start.resize(parts + 1, 0);
    held().for_each(|i| start[part(i) as usize + 1] += 1);
    (0..parts).for_each(|at| start[at + 1] += start[at]);
    list.clear();
    list.resize(start[parts] as usize, 0);
    for i in held() {
        let slot = &mut start[part(i) as usize];
        list[*slot as usize] = i as u32;
        *slot += 1;
    }
    // Filling moved each start to its end.
    start.rotate_right(1);
    start[0] = 0;
}
