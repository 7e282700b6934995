//! How many tokens a set of leaves holds in the KV cache.

use super::{Marks, NodeId, Tree};
use crate::error::Error;

impl Tree {
    /// Sums the tokens on the distinct nodes of the leaves' root paths.
    ///
    /// Shared prefixes count once; the root, and so the prompt, always counts once there is a leaf.
    /// [`Held`](crate::Held) keeps such a sum while leaves are added.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node.
    pub fn kv_tokens(&self, leaves: &[NodeId]) -> Result<u64, Error> {
        self.kv_tokens_with(&mut Marks::default(), leaves)
    }

    /// Does what [`Tree::kv_tokens`] does, with marks kept from call to call.
    ///
    /// Costs time linear in the distinct nodes touched, plus the leaves.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node.
    pub fn kv_tokens_with(&self, marks: &mut Marks, leaves: &[NodeId]) -> Result<u64, Error> {
        marks.walk(self, leaves)?;
        // At most 2^32 nodes of at most 2^32 tokens: the sum fits.
        Ok(marks.nodes.iter().map(|&node| u64::from(self.tokens[node.index()])).sum())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::tests::tree_and_nodes;
    use super::*;

    proptest! {
        #[test]
        fn kv_tokens_is_the_sum_over_the_union_of_paths(
            cases in proptest::collection::vec(tree_and_nodes(), 1..4),
        ) {
            // One set of marks for trees of different sizes, and for the same call again.
            let mut marks = Marks::default();
            for (tree, leaves) in cases {
                let union: HashSet<NodeId> =
                    leaves.iter().flat_map(|&leaf| tree.path(leaf).unwrap()).collect();
                let naive: u64 =
                    union.iter().map(|node| u64::from(tree.tokens()[node.index()])).sum();
                for _ in 0..2 {
                    prop_assert_eq!(tree.kv_tokens_with(&mut marks, &leaves).unwrap(), naive);
                }
                let wrong = [NodeId::ROOT, NodeId(tree.len() as u32)];
                prop_assert!(tree.kv_tokens_with(&mut marks, &wrong).is_err());
                prop_assert_eq!(tree.kv_tokens_with(&mut marks, &leaves).unwrap(), naive);
            }
        }
    }

    #[test]
    fn a_leaf_that_is_no_node_is_named() {
        let leaves = [NodeId::ROOT, NodeId(7)];
        let message = Tree::new(3).kv_tokens(&leaves).unwrap_err().to_string();
        assert_eq!(
            message,
            "leaves[1] is 7: it must be at least 0 and below 1 (the number of nodes)"
        );
    }
}
