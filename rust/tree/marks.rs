//! Which nodes a walk up from some leaves has seen.

use super::Tree;
use crate::error::Error;

/// Keeps the scratch space of walks over a tree, so that repeated walks do not allocate.
///
/// It belongs to no tree: any call may follow any other.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// One bit for each node: whether the last walk saw it.
    pub(super) seen: Vec<u64>,
    /// The nodes that the last walk saw, each once, in the order met.
    pub(super) nodes: Vec<u32>,
    /// New id of each node of the last part; stale at the others. `[m]`
    pub(super) place: Vec<u32>,
    /// The leaf at each node of the last part, `u32::MAX` where there is none. `[p]`
    pub(super) leaf_at: Vec<u32>,
}

impl Marks {
    /// Walks up from each leaf to the first node seen before; `nodes` are the distinct ones met.
    ///
    /// Costs time linear in the distinct nodes touched by this walk and the one before, plus the
    /// leaves.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node.
    pub(super) fn walk(&mut self, tree: &Tree, leaves: &[i64]) -> Result<(), Error> {
        // Whole words: whatever else was marked in them is cleared too.
        for node in self.nodes.drain(..) {
            self.seen[node as usize / 64] = 0;
        }
        if self.seen.len() * 64 < tree.len() {
            self.seen.resize(tree.len().div_ceil(64), 0);
        }
        for (index, &leaf) in leaves.iter().enumerate() {
            let mut node = tree.leaf(index, leaf)?.0;
            loop {
                let (word, bit) = (&mut self.seen[node as usize / 64], 1 << (node % 64));
                if *word & bit != 0 {
                    break;
                }
                *word |= bit;
                self.nodes.push(node);
                if node == 0 {
                    break;
                }
                node = tree.parents[node as usize];
            }
        }
        Ok(())
    }
}
