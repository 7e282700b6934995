//! A set of nodes as the bits of an integer.

use std::fmt::Debug;
use std::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Not};

/// A set of the nodes `0..=MOST`, the last of which is the root.
///
/// Most forests have few enough nodes for 64 bits, on which most operations cost half.
pub(super) trait NodeSet:
    Copy
    + Debug
    + Default
    + PartialEq
    + BitAnd<Output = Self>
    + BitAndAssign
    + BitOr<Output = Self>
    + BitOrAssign
    + Not<Output = Self>
{
    /// How many nodes there may be beside the root.
    const MOST: usize;
    /// No node.
    const EMPTY: Self;
    /// The root alone.
    const ROOT: Self;

    /// One node alone.
    fn of(node: usize) -> Self;

    /// How many nodes there are.
    fn len(self) -> usize;

    /// The first node; of an empty set a number above [`Self::MOST`].
    fn first(self) -> usize;

    /// The set without its first node.
    fn without_first(self) -> Self;

    /// The last node of a set that is not empty.
    fn last(self) -> usize;

    /// Says whether the sets share a node.
    fn meets(self, other: Self) -> bool {
        self & other != Self::EMPTY
    }

    /// Says whether a node is in the set.
    fn has(self, node: usize) -> bool {
        self.meets(Self::of(node))
    }

    /// The nodes, ascending.
    fn nodes(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            (self != Self::EMPTY).then(|| {
                let at = self.first();
                self = self.without_first();
                at
            })
        })
    }

    /// The nodes, descending.
    fn nodes_down(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            (self != Self::EMPTY).then(|| {
                let at = self.last();
                self &= !Self::of(at);
                at
            })
        })
    }
}

macro_rules! node_set {
    ($integer:ty) => {
        impl NodeSet for $integer {
            const MOST: usize = <$integer>::BITS as usize - 1;
            const EMPTY: Self = 0;
            const ROOT: Self = 1 << Self::MOST;

            fn of(node: usize) -> Self {
                1 << node
            }

            fn len(self) -> usize {
                self.count_ones() as usize
            }

            fn first(self) -> usize {
                self.trailing_zeros() as usize
            }

            fn without_first(self) -> Self {
                self & (self - 1)
            }

            fn last(self) -> usize {
                Self::MOST - self.leading_zeros() as usize
            }
        }
    };
}

node_set!(u64);
node_set!(u128);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn follows_a_tree_set<S: NodeSet>(nodes: &[usize]) -> Result<(), TestCaseError> {
        let nodes: BTreeSet<usize> = nodes.iter().map(|node| node % (S::MOST + 1)).collect();
        let set = nodes.iter().fold(S::EMPTY, |set, &node| set | S::of(node));
        prop_assert_eq!(set.len(), nodes.len());
        prop_assert!(set.nodes().eq(nodes.iter().copied()));
        prop_assert!(set.nodes_down().eq(nodes.iter().rev().copied()));
        prop_assert!((0..=S::MOST).all(|node| set.has(node) == nodes.contains(&node)));
        prop_assert_eq!(set.meets(S::ROOT), nodes.contains(&S::MOST));
        Ok(())
    }

    proptest! {
        #[test]
        fn bits_are_a_set(nodes in proptest::collection::vec(0_usize..128, 0..60)) {
            follows_a_tree_set::<u64>(&nodes)?;
            follows_a_tree_set::<u128>(&nodes)?;
        }
    }
}
