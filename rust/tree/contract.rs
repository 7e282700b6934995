//! The tree above some leaves with its long runs cut short, so that a step in a deep tree costs no
//! more than one in a shallow tree.

use super::{Marks, NodeId, Part, Tree};
use crate::error::{Error, check_length};

/// The longest run of nodes that stays as it is.
///
/// What a selection rounds depends on the nodes that it sums over. Up to here, and so at any depth
/// that is published, those are the nodes of the tree itself.
pub(super) const LONGEST_RUN: u32 = 64;

impl Part {
    /// Makes one node of each run of more than 64 nodes.
    ///
    /// A run is a leaf, or a node below which paths part, and all above it on which neither is the
    /// case. Its node stands where its last one stood and holds what all of it held. What is made
    /// of the part above some leaves depends only on the tree that was grown, not on what was cut
    /// short of it before. Costs O(p).
    pub fn shorten(&mut self) {
        if self.counts.is_empty() {
            return;
        }
        let p = self.parents.len();
        let parent = |v: usize| self.parents[v].index();
        // A run goes on below a node that is no leaf and has one node below it.
        let mut below = vec![0_u32; p];
        (1..p).for_each(|v| below[parent(v)] += 1);
        self.leaves.iter().for_each(|&leaf| below[leaf.index()] = u32::MAX);
        let goes_on = |v: usize| below[v] == 1;
        // The nodes of each run down to here, then, from its end up, of all of it.
        let mut run = self.counts.clone();
        for v in (1..p).filter(|&v| goes_on(parent(v))) {
            run[v] += run[parent(v)];
        }
        for v in (1..p).rev().filter(|&v| goes_on(parent(v))) {
            run[parent(v)] = run[v];
        }
        // For each node: the new node that it became or hangs below, and what hangs on to that.
        let mut places: Vec<(NodeId, u64, u64)> = Vec::with_capacity(p);
        let mut short = Self::default();
        for v in 0..p {
            let (above, held, count) =
                if v == 0 { (NodeId::ROOT, 0, 0) } else { places[parent(v)] };
            let (held, count) = (held + self.tokens[v], count + self.counts[v]);
            if goes_on(v) && run[v] > u64::from(LONGEST_RUN) {
                places.push((above, held, count));
                continue;
            }
            places.push((NodeId(short.parents.len() as u32), 0, 0));
            short.parents.push(above);
            short.tokens.push(held);
            short.counts.push(count);
        }
        short.leaves.extend(self.leaves.iter().map(|&leaf| places[leaf.index()].0));
        *self = short;
    }
}

impl Tree {
    /// Makes a small tree in which the leaves hold the same tokens, and are selected, as in this.
    ///
    /// It has the nodes on paths to the leaves, but one for each run of more than 64 nodes that has
    /// neither a leaf nor a parting of paths before its end; that one holds what the run held, and
    /// counts as so many nodes in leaf selection and in depths. Returned with the new id of each
    /// leaf, in the order the leaves were given. What grows below those ids holds as much there as
    /// here.
    ///
    /// Costs time linear in the distinct nodes touched, plus the leaves, as
    /// [`Tree::part_above_with`]. The new tree has at most 128 nodes a leaf, but for runs that hold
    /// `2**32` tokens or more, which take a node for each such stretch.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node, or twice the same leaf.
    pub fn contracted_with(
        &self,
        marks: &mut Marks,
        leaves: &[NodeId],
    ) -> Result<(Self, Vec<NodeId>), Error> {
        let mut part = Part::default();
        self.part_above_with(marks, &mut part, leaves)?;
        part.shorten();
        if part.parents.is_empty() {
            return Ok((Self::new(0), vec![]));
        }
        let mut tree = Self { parents: vec![], tokens: vec![], depths: vec![] };
        let mut places: Vec<NodeId> = Vec::with_capacity(part.parents.len());
        for (v, (&parent, &tokens)) in part.parents.iter().zip(&part.tokens).enumerate() {
            let count = part.counts.get(v).map_or(1, |&count| count as u32);
            let (mut above, mut depth) = (NodeId::ROOT, count - 1);
            if v > 0 {
                above = places[parent.index()];
                depth = tree.depths[above.index()] + count;
            }
            let mut left = tokens;
            loop {
                let held = u32::try_from(left).unwrap_or(u32::MAX);
                let id = NodeId(tree.parents.len() as u32);
                tree.parents.push(above);
                tree.tokens.push(held);
                tree.depths.push(depth);
                left -= u64::from(held);
                above = id;
                if left == 0 {
                    break;
                }
            }
            places.push(above);
        }
        let leaves = part.leaves.iter().map(|&leaf| places[leaf.index()]).collect();
        Ok((tree, leaves))
    }

    /// Says whether any node stands for more than itself.
    #[must_use]
    pub fn is_contracted(&self) -> bool {
        (0..self.parents.len() as u32).any(|node| self.count(NodeId(node)) != 1)
    }

    /// Sets the steps from the root of the tree that was contracted, for a copy of what came of it.
    ///
    /// # Errors
    ///
    /// Not one for each node, or one that is less than its parent's.
    pub fn set_depths(&mut self, depths: &[u32]) -> Result<(), Error> {
        check_length("depths", depths.len(), self.parents.len(), "the nodes")?;
        for (index, (&depth, &parent)) in depths.iter().zip(&self.parents).enumerate() {
            let least = if index == 0 { 0 } else { depths[parent.index()] };
            if depth < least {
                let expected = "below 2**32, and at least its parent's";
                let value = depth.into();
                return Err(Error::Entry { argument: "depths", index, value, expected });
            }
        }
        self.depths = depths.to_vec();
        Ok(())
    }

    /// Counts the nodes that a node stands for: itself, and in a contracted tree the run above it.
    pub(super) fn count(&self, node: NodeId) -> u32 {
        let depth = self.depths[node.index()];
        match node {
            NodeId::ROOT => depth + 1,
            _ => depth - self.depths[self.parents[node.index()].index()],
        }
    }
}

#[cfg(test)]
mod tests;
