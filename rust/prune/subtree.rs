//! The part of a forest at and below one of its nodes.

use super::forest::Forest;
use super::none::NONE;
use super::preorder::Preorder;

/// One such part after the other; the buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Subtree {
    /// The part, its top as the root.
    pub forest: Forest,
    /// The node of the whole that each node of the part is, ascending.
    pub nodes: Vec<u32>,
    /// Number of each node and cluster of the whole within the part, where it has one: `[r]`, `[K]`.
    place: Vec<u32>,
    cluster: Vec<u32>,
    /// Where the entries of each node of the whole start, `[r + 1]`.
    entries: Vec<u32>,
}

impl Subtree {
    /// Prepares for the parts of a forest. O(r + e + K).
    pub fn begin(&mut self, whole: &Forest) {
        self.place.clear();
        self.place.resize(whole.len(), NONE);
        self.cluster.clear();
        self.cluster.resize(whole.clusters(), NONE);
        self.entries.clear();
        self.entries.resize(whole.len() + 1, 0);
        whole.owner.iter().for_each(|&v| self.entries[v as usize + 1] += 1);
        for v in 0..whole.len() {
            self.entries[v + 1] += self.entries[v];
        }
    }

    /// Takes over what lies at and below a node; costs no more than that, but for a sort.
    pub fn load(&mut self, whole: &Forest, top: u32, preorder: &Preorder) {
        let Self { forest, nodes, place, cluster, entries } = self;
        preorder.below(top, nodes);
        forest.clear(whole.gains.same());
        for (&v, number) in nodes.iter().zip(0..) {
            place[v as usize] = number;
            let above = if v == top { 0 } else { place[whole.parent[v as usize] as usize] };
            forest.parent.push(above);
            forest.value.push(whole.value[v as usize]);
            forest.tokens.extend(whole.tokens.get(v as usize));
            let own = entries[v as usize] as usize..entries[v as usize + 1] as usize;
            for &k in &whole.cover[own] {
                let number_of_k = &mut cluster[k as usize];
                if *number_of_k == NONE {
                    *number_of_k = forest.clusters() as u32;
                    forest.gains.push_of(&whole.gains, k);
                }
                forest.owner.push(number);
                forest.cover.push(*number_of_k);
            }
        }
        for &v in &*nodes {
            let own = entries[v as usize] as usize..entries[v as usize + 1] as usize;
            whole.cover[own].iter().for_each(|&k| cluster[k as usize] = NONE);
        }
    }
}
