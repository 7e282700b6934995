//! A set of nodes in the KV cache that grows leaf by leaf.

use super::{NodeId, Tree};
use crate::error::Error;

/// Remembers the nodes on the root paths of some leaves, and sums their tokens as leaves are added.
///
/// It belongs to the tree that it is first used with; that tree may grow meanwhile. With another
/// tree its numbers mean nothing.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Whether each node is held; nodes past the end are not. `[<= m]`
    held: Vec<bool>,
    /// Tokens of the held nodes.
    tokens: u64,
}

impl Held {
    /// Makes one that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds a leaf and its ancestors; returns the tokens that were not held before.
    ///
    /// Costs time linear in the nodes that were not held before, plus one.
    ///
    /// # Errors
    ///
    /// `leaf` is not a node of the tree.
    pub fn hold(&mut self, tree: &Tree, leaf: NodeId) -> Result<u64, Error> {
        tree.check_node("leaf", leaf)?;
        Ok(self.hold_path(tree, leaf))
    }

    /// Holds leaves and their ancestors; returns the tokens that were not held before.
    ///
    /// Costs time linear in the nodes that were not held before, plus the leaves. After an error
    /// it holds what it held before.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node of the tree.
    pub fn hold_all(&mut self, tree: &Tree, leaves: &[NodeId]) -> Result<u64, Error> {
        for (index, &leaf) in leaves.iter().enumerate() {
            tree.check_leaf(index, leaf)?;
        }
        Ok(leaves.iter().map(|&leaf| self.hold_path(tree, leaf)).sum())
    }

    /// Returns the tokens of the distinct nodes held.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Lists the held nodes below which none is held: holding them holds the same. Ascending ids.
    ///
    /// Costs time linear in the nodes up to the last that is held.
    #[must_use]
    pub fn leaves(&self, tree: &Tree) -> Vec<NodeId> {
        let mut inner = vec![false; self.held.len()];
        let mut leaves = vec![];
        for (node, _) in self.held.iter().enumerate().rev().filter(|&(_, &held)| held) {
            if !inner[node] {
                leaves.push(NodeId(node as u32));
            }
            inner[tree.parents[node].index()] = true;
        }
        leaves.reverse();
        leaves
    }

    fn hold_path(&mut self, tree: &Tree, leaf: NodeId) -> u64 {
        if self.held.len() < tree.len() {
            self.held.resize(tree.len(), false);
        }
        let (mut node, mut new) = (leaf, 0);
        while !std::mem::replace(&mut self.held[node.index()], true) {
            new += u64::from(tree.tokens[node.index()]);
            // The root is its own parent, and by then it is held.
            node = tree.parents[node.index()];
        }
        self.tokens += new;
        new
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::tree_and_nodes;
    use super::*;

    proptest! {
        #[test]
        fn held_tokens_are_those_of_all_leaves_so_far(
            (whole, leaves) in tree_and_nodes(), one_by_one: bool,
        ) {
            // The tree grows just far enough for each leaf.
            let mut tree = Tree::new(whole.tokens[0]);
            let mut held = Held::new();
            let mut before = 0;
            for at in 0..leaves.len() {
                for node in tree.len()..=leaves[at].index() {
                    tree.add(whole.parents[node], whole.tokens[node]).unwrap();
                }
                let new = if one_by_one {
                    held.hold(&tree, leaves[at]).unwrap()
                } else {
                    held.hold_all(&tree, &leaves[at / 2..=at]).unwrap()
                };
                prop_assert_eq!(held.tokens(), tree.kv_tokens(&leaves[..=at]).unwrap());
                prop_assert_eq!(new, held.tokens() - before);
                before = held.tokens();
            }
            let mut again = Held::new();
            again.hold_all(&tree, &held.leaves(&tree)).unwrap();
            prop_assert_eq!(again.held, held.held);
        }
    }

    #[test]
    fn a_refused_leaf_leaves_it_as_it_was() {
        let mut tree = Tree::new(3);
        let leaf = tree.add(NodeId::ROOT, 4).unwrap();
        let mut held = Held::new();
        let message = held.hold_all(&tree, &[leaf, NodeId(2)]).unwrap_err().to_string();
        assert_eq!(
            message,
            "leaves[1] is 2: it must be at least 0 and below 2 (the number of nodes)"
        );
        assert_eq!(held.tokens(), 0);
        let message = held.hold(&tree, NodeId(2)).unwrap_err().to_string();
        assert_eq!(message, "leaf is 2: it must be the id of a node of this tree");
        assert_eq!(held.hold_all(&tree, &[]).unwrap(), 0);
        assert_eq!(held.hold(&tree, leaf).unwrap(), 7);
    }
}
