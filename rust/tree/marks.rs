//! The nodes on paths to some leaves.

use super::{NodeId, Tree};
use crate::error::Error;

/// Keeps the scratch space of walks over a tree, so that repeated walks do not allocate.
///
/// It belongs to no tree: any call may follow any other.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// One bit for each node, whether it is on a path; all clear between walks.
    seen: Vec<u64>,
    /// The nodes on paths to the leaves of the last walk, each once.
    pub(super) nodes: Vec<NodeId>,
    /// Whether `nodes` is in ascending order.
    ascending: bool,
    /// New id of each node of the last part; stale at the others. `[m]`
    pub(super) place: Vec<u32>,
    /// The leaf at each node of the last part, `u32::MAX` where there is none. `[p]`
    pub(super) leaf_at: Vec<u32>,
}

impl Marks {
    /// Collects the distinct nodes on paths to the leaves.
    ///
    /// Costs time linear in these nodes and the leaves.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node.
    pub(super) fn walk(&mut self, tree: &Tree, leaves: &[NodeId]) -> Result<(), Error> {
        // All checks come first: no bit is left behind by a refusal.
        let mut last = NodeId::ROOT;
        for (index, &leaf) in leaves.iter().enumerate() {
            tree.check_leaf(index, leaf)?;
            last = last.max(leaf);
        }
        if self.seen.len() * 64 < tree.len() {
            self.seen.resize(tree.len().div_ceil(64), 0);
        }
        self.nodes.clear();
        // All bits up to the last leaf are looked at, unless that is much more work than the leaves.
        let words = last.index() / 64 + 1;
        self.ascending = words <= 16 * leaves.len();
        if self.ascending {
            self.sweep(tree, leaves, words);
        } else {
            self.climb(tree, leaves);
        }
        Ok(())
    }

    /// Brings the nodes of the last walk into ascending order.
    pub(super) fn sort(&mut self) {
        if !self.ascending {
            self.nodes.sort_unstable();
            self.ascending = true;
        }
    }

    /// Marks the parents of marked nodes, last word of bits first, then lists what is marked.
    ///
    /// No branch depends on where paths meet, so the processor guesses few wrong.
    fn sweep(&mut self, tree: &Tree, leaves: &[NodeId], words: usize) {
        for &leaf in leaves {
            self.seen[leaf.index() / 64] |= 1 << (leaf.0 % 64);
        }
        // A parent has a smaller id: its bit is in this word or in one still to come.
        for at in (0..words).rev() {
            let mut all = self.seen[at];
            let mut left = all;
            while left != 0 {
                let node = 64 * at + left.trailing_zeros() as usize;
                left &= left - 1;
                // The root is its own parent; by then its bit is set.
                let parent = tree.parents[node];
                let (word, bit) = (parent.index() / 64, 1 << (parent.0 % 64));
                if word == at {
                    left |= bit & !all;
                    all |= bit;
                } else {
                    self.seen[word] |= bit;
                }
            }
            self.seen[at] = all;
        }
        for (word, at) in self.seen[..words].iter_mut().zip(0..) {
            let mut left = std::mem::take(word);
            while left != 0 {
                self.nodes.push(NodeId(64 * at + left.trailing_zeros()));
                left &= left - 1;
            }
        }
    }

    /// Goes up from each leaf to the first node seen before.
    fn climb(&mut self, tree: &Tree, leaves: &[NodeId]) {
        for &leaf in leaves {
            let mut node = leaf;
            loop {
                let (word, bit) = (&mut self.seen[node.index() / 64], 1 << (node.0 % 64));
                if *word & bit != 0 {
                    break;
                }
                *word |= bit;
                self.nodes.push(node);
                // The root is its own parent, and by then it is seen.
                node = tree.parents[node.index()];
            }
        }
        for &node in &self.nodes {
            self.seen[node.index() / 64] = 0;
        }
    }
}
