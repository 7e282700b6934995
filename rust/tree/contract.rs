//! The tree above some leaves with its chains cut short, for sums of many steps in a deep tree.

use super::{Marks, Part, Tree};
use crate::error::Error;

impl Tree {
    /// Makes the smallest tree in which any of the leaves hold the same tokens as in this one.
    ///
    /// Of the nodes above the leaves it has the leaves and those where paths part; what a chain
    /// between them holds is added to the node below it. Returned with the new id of each leaf, in
    /// the order the leaves were given. Leaves grown below those ids hold as much there as here.
    ///
    /// Costs time linear in the distinct nodes touched, plus the leaves, as
    /// [`Tree::part_above_with`]. The new tree has at most two nodes a leaf, but for chains that
    /// hold `2**32` tokens or more, which take a node for each such stretch.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node, or twice the same leaf.
    pub fn contracted_with(
        &self,
        marks: &mut Marks,
        leaves: &[i64],
    ) -> Result<(Self, Vec<i64>), Error> {
        let mut part = Part::default();
        self.part_above_with(marks, &mut part, leaves)?;
        // A node stays where it is a leaf, or where not exactly one node below it is on a path.
        let mut below = vec![0_u32; part.parents.len()];
        for &parent in part.parents.iter().skip(1) {
            below[parent as usize] += 1;
        }
        for &leaf in &part.leaves {
            below[leaf as usize] = u32::MAX;
        }
        let mut tree = Self { parents: vec![], tokens: vec![], depths: vec![] };
        // For each node of the part: the new node that it became or hangs below, and what the chain
        // from there to it holds.
        let mut places: Vec<(u32, u32)> = Vec::with_capacity(part.parents.len());
        for (node, &held) in part.tokens.iter().enumerate() {
            let (mut above, carried) = match node {
                0 => (0, 0),
                _ => places[part.parents[node] as usize],
            };
            // The tokens of a node fit a u32.
            let sum = carried.checked_add(held as u32).unwrap_or_else(|| {
                above = tree.push(above, carried);
                held as u32
            });
            places.push(if below[node] == 1 { (above, sum) } else { (tree.push(above, sum), 0) });
        }
        if tree.parents.is_empty() {
            tree.push(0, 0);
        }
        let leaves = part.leaves.iter().map(|&leaf| i64::from(places[leaf as usize].0)).collect();
        Ok((tree, leaves))
    }

    /// Appends a node without checks; the first is the root.
    fn push(&mut self, parent: u32, tokens: u32) -> u32 {
        let id = self.parents.len() as u32;
        self.depths.push(self.depths.get(parent as usize).map_or(0, |depth| depth + 1));
        self.parents.push(parent);
        self.tokens.push(tokens);
        id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::tree_and_nodes;
    use super::*;

    fn chosen(leaves: &[i64], bits: u32) -> Vec<i64> {
        (0..).zip(leaves).filter(|(at, _)| bits >> at & 1 == 1).map(|(_, &leaf)| leaf).collect()
    }

    proptest! {
        #[test]
        fn any_leaves_hold_the_same_in_a_tree_that_was_cut_short(
            (whole, mut leaves) in tree_and_nodes(), bits: u32,
        ) {
            leaves.sort_unstable();
            leaves.dedup();
            let mut marks = Marks::default();
            let (mut small, places) = whole.contracted_with(&mut marks, &leaves).unwrap();
            prop_assert!(small.len() <= (2 * leaves.len()).max(1));
            prop_assert_eq!(
                small.kv_tokens(&chosen(&places, bits)).unwrap(),
                whole.kv_tokens(&chosen(&leaves, bits)).unwrap()
            );
            // And what grows below them, cut short once more.
            let mut whole = whole;
            let tokens: Vec<i64> = (1..).take(leaves.len()).collect();
            let grown: Vec<i64> = whole.extend(&leaves, &tokens).unwrap().map(i64::from).collect();
            let there: Vec<i64> = small.extend(&places, &tokens).unwrap().map(i64::from).collect();
            let (small, places) =
                small.contracted_with(&mut marks, &chosen(&there, !bits)).unwrap();
            prop_assert_eq!(
                small.kv_tokens(&places).unwrap(),
                whole.kv_tokens(&chosen(&grown, !bits)).unwrap()
            );
        }
    }

    #[test]
    fn a_chain_of_more_tokens_than_a_node_holds_stays_in_stretches() {
        let most = i64::from(u32::MAX);
        let mut tree = Tree::new(most).unwrap();
        tree.extend(&[0, 1, 2, 3], &[0, most, 1, most]).unwrap();
        let (small, places) = tree.contracted_with(&mut Marks::default(), &[4]).unwrap();
        assert_eq!((small.len(), places), (4, vec![3]));
        assert_eq!(small.kv_tokens(&[3]).unwrap(), tree.kv_tokens(&[4]).unwrap());
        assert_eq!(small.depths(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_chain_is_one_node_and_no_leaf_needs_but_a_root() {
        let mut tree = Tree::new(3).unwrap();
        tree.extend(&[0, 1, 2], &[4, 5, 6]).unwrap();
        let mut marks = Marks::default();
        let (small, places) = tree.contracted_with(&mut marks, &[3]).unwrap();
        assert_eq!((small.tokens(), places), (&[18][..], vec![0]));
        let (small, places) = tree.contracted_with(&mut marks, &[]).unwrap();
        assert_eq!((small.tokens(), places), (&[0][..], vec![]));
        assert!(tree.contracted_with(&mut marks, &[1, 1]).is_err());
    }
}
