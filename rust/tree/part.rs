//! The part of a tree above some leaves, cut out for leaf selection.

use super::contract::LONGEST_RUN;
use super::{Marks, NodeId, Tree};
use crate::error::Error;

/// Holds the part of a tree on paths to some leaves, renumbered from 0 in the same order.
///
/// Only a tree makes one, so that leaf selection need not check it again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub(crate) parents: Vec<NodeId>,
    pub(crate) tokens: Vec<u64>,
    pub(crate) leaves: Vec<NodeId>,
    pub(crate) counts: Vec<u64>,
}

impl Part {
    /// Parent of each node, `[p]`; the root is its own.
    #[must_use]
    pub fn parents(&self) -> &[NodeId] {
        &self.parents
    }

    /// Tokens of each node, `[p]`.
    #[must_use]
    pub fn tokens(&self) -> &[u64] {
        &self.tokens
    }

    /// New id of each leaf, in the order the leaves were given.
    #[must_use]
    pub fn leaves(&self) -> &[NodeId] {
        &self.leaves
    }

    /// How many nodes of the tree that was grown each one stands for, `[p]`; empty where each
    /// stands for itself alone.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

impl Tree {
    /// Cuts out the part of the tree on paths to the leaves, for leaf selection.
    ///
    /// Nodes keep their order, so parents stay before children.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node, or twice the same leaf.
    pub fn part_above(&self, leaves: &[NodeId]) -> Result<Part, Error> {
        let mut part = Part::default();
        self.part_above_with(&mut Marks::default(), &mut part, leaves)?;
        Ok(part)
    }

    /// Does what [`Tree::part_above`] does, with marks and a part kept from call to call.
    ///
    /// Costs time linear in the distinct nodes touched, plus the leaves; where the leaves are less
    /// than a thousandth of the nodes up to the last of them, also the sorting of the touched.
    /// After an error the part is of no use.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node, or twice the same leaf.
    pub fn part_above_with(
        &self,
        marks: &mut Marks,
        part: &mut Part,
        leaves: &[NodeId],
    ) -> Result<(), Error> {
        marks.walk(self, leaves)?;
        marks.sort();
        let Marks { nodes, place, leaf_at, .. } = marks;
        if place.len() < self.len() {
            place.resize(self.len(), 0);
        }
        part.parents.clear();
        part.tokens.clear();
        part.leaves.clear();
        part.counts.clear();
        part.tokens.extend(nodes.iter().map(|&node| u64::from(self.tokens[node.index()])));
        part.parents.extend(nodes.iter().zip(0..).map(|(&node, at)| {
            place[node.index()] = at;
            // The parent has a smaller id, so its place is known by now.
            NodeId(place[self.parents[node.index()].index()])
        }));
        // Repeats are refused here, where the caller's ids are still known.
        leaf_at.clear();
        leaf_at.resize(nodes.len(), u32::MAX);
        for (&value, index) in leaves.iter().zip(0..) {
            let at = place[value.index()];
            let first = std::mem::replace(&mut leaf_at[at as usize], index);
            if first != u32::MAX {
                let (index, first) = (index as usize, first as usize);
                let value = value.0.into();
                part.leaves.clear();
                return Err(Error::Duplicate { argument: "leaves", index, first, value });
            }
            part.leaves.push(NodeId(at));
        }
        // Where a node stands for more than one, a leaf at or below it is that deep.
        if leaves.iter().any(|&leaf| self.depths[leaf.index()] >= LONGEST_RUN) {
            part.counts.extend(nodes.iter().map(|&node| u64::from(self.count(node))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::tree_and_nodes;
    use super::*;

    /// The part by sets and searches.
    fn part_naive(tree: &Tree, leaves: &[NodeId]) -> Part {
        let mut nodes: Vec<NodeId> =
            leaves.iter().flat_map(|&leaf| tree.path(leaf).unwrap()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let place = |node: NodeId| NodeId(nodes.binary_search(&node).unwrap() as u32);
        Part {
            parents: nodes.iter().map(|&node| place(tree.parents[node.index()])).collect(),
            tokens: nodes.iter().map(|&node| u64::from(tree.tokens[node.index()])).collect(),
            leaves: leaves.iter().map(|&leaf| place(leaf)).collect(),
            counts: match leaves.iter().map(|&leaf| tree.path(leaf).unwrap().len()).max() {
                Some(longest) if longest > LONGEST_RUN as usize => vec![1; nodes.len()],
                _ => vec![],
            },
        }
    }

    proptest! {
        #[test]
        fn part_is_its_definition(cases in proptest::collection::vec(tree_and_nodes(), 1..4)) {
            // One set of marks and one part for trees of different sizes.
            let (mut marks, mut part) = (Marks::default(), Part::default());
            for (tree, leaves) in cases {
                let mut distinct: Vec<NodeId> = Vec::new();
                for &leaf in &leaves {
                    if !distinct.contains(&leaf) {
                        distinct.push(leaf);
                    }
                }
                let repeated = tree.part_above_with(&mut marks, &mut part, &leaves).is_err();
                prop_assert_eq!(repeated, distinct.len() < leaves.len());
                tree.part_above_with(&mut marks, &mut part, &distinct).unwrap();
                prop_assert_eq!(&part, &part_naive(&tree, &distinct));
                prop_assert_eq!(&part, &tree.part_above(&distinct).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn part_is_its_definition_in_trees_of_many_words(
            bushy in 1_usize..400,
            draws in proptest::collection::vec(0.0..1.0, 1..3000),
            leaves in proptest::collection::vec(0.0..1.0, 1..40),
        ) {
            // Parents among the last `bushy` nodes: from a chain to a bush, within a word or not.
            let mut tree = Tree::new(9);
            for draw in draws {
                let back = 1 + (draw * bushy.min(tree.len()) as f64) as u32;
                tree.add(NodeId(tree.len() as u32 - back), back).unwrap();
            }
            let mut leaves: Vec<NodeId> =
                leaves.into_iter().map(|at| NodeId((at * tree.len() as f64) as u32)).collect();
            leaves.sort_unstable();
            leaves.dedup();
            leaves.reverse();
            let part = part_naive(&tree, &leaves);
            prop_assert_eq!(&tree.part_above(&leaves).unwrap(), &part);
            prop_assert_eq!(
                tree.kv_tokens(&leaves).unwrap(),
                part.tokens.iter().sum::<u64>()
            );
        }
    }

    #[test]
    fn few_nodes_of_a_large_tree_are_sorted() {
        let mut tree = Tree::new(1);
        tree.extend(&vec![NodeId::ROOT; 100_000], &vec![2; 100_000]).unwrap();
        tree.extend(&[70_000, 500, 100_001].map(NodeId), &[3, 4, 5]).unwrap();
        let (mut marks, mut part) = (Marks::default(), Part::default());
        for leaves in [&[100_003, 9, 100_002][..], &[8, 7], &[0], &[]] {
            let leaves: Vec<NodeId> = leaves.iter().copied().map(NodeId).collect();
            tree.part_above_with(&mut marks, &mut part, &leaves).unwrap();
            assert_eq!(part, part_naive(&tree, &leaves));
        }
    }

    #[test]
    fn a_repeated_leaf_is_named() {
        let mut tree = Tree::new(1);
        tree.extend(&[NodeId::ROOT; 2], &[1, 1]).unwrap();
        let message = tree.part_above(&[2, 0, 2].map(NodeId)).unwrap_err().to_string();
        assert_eq!(message, "leaves[2] is 2, as leaves[0] already is: entries must be distinct");
        assert!(tree.part_above(&[NodeId(3)]).is_err());
    }
}
