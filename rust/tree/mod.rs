//! The search tree as an arena, with KV accounting.

mod contract;
mod held;
mod kv;
mod marks;
mod part;

use std::ops::Range;

pub use held::Held;
pub use marks::Marks;
pub use part::Part;

use crate::error::{Error, check_length, check_scalar};

/// Most nodes that a tree may hold: ids and counts of nodes both fit a `u32`.
const MAX_NODES: usize = u32::MAX as usize;

/// Names a node of a [`Tree`]; ids count up from 0, the root, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Holds the nodes of one search as parallel arrays.
///
/// Node 0 is the root and holds the prompt's tokens. A node's parent always has a smaller id, so
/// the arrays read front to back are a topological order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Parent of each node, `[m]`; the root's entry is 0 and is never followed.
    parents: Vec<u32>,
    /// Tokens that each node itself holds in the KV cache, `[m]`.
    tokens: Vec<u32>,
    /// Steps from the root, `[m]`; 0 for the root. In a contracted tree those of the whole one.
    depths: Vec<u32>,
}

impl Tree {
    /// Makes a tree that holds only the root with the prompt's tokens.
    ///
    /// # Errors
    ///
    /// `prompt_tokens` outside `0..2**32`.
    pub fn new(prompt_tokens: i64) -> Result<Self, Error> {
        let tokens = to_tokens("prompt_tokens", prompt_tokens)?;
        Ok(Self { parents: vec![0], tokens: vec![tokens], depths: vec![0] })
    }

    /// Adds a node below `parent` and returns its id.
    ///
    /// # Errors
    ///
    /// `parent` not a node, `tokens` outside `0..2**32`, or the tree full at `2**32 - 1` nodes.
    pub fn add(&mut self, parent: i64, tokens: i64) -> Result<NodeId, Error> {
        let parent = self.node("parent", parent)?;
        let tokens = to_tokens("tokens", tokens)?;
        self.check_room(1)?;
        let id = self.len() as u32;
        self.parents.push(parent.0);
        self.tokens.push(tokens);
        self.depths.push(self.depths[parent.0 as usize] + 1);
        Ok(NodeId(id))
    }

    /// Adds nodes and returns their ids, which follow each other.
    ///
    /// `parents[i]` is a node of the tree or one added before node `i` by the same call; `tokens[i]`
    /// is what node `i` holds. After an error the tree is as it was.
    ///
    /// Costs O(n).
    ///
    /// # Errors
    ///
    /// `parents` and `tokens` of different lengths, an entry that is not a node by then, tokens
    /// outside `0..2**32`, or no room below `2**32 - 1` nodes.
    pub fn extend(&mut self, parents: &[i64], tokens: &[i64]) -> Result<Range<u32>, Error> {
        check_length("tokens", tokens.len(), parents.len(), "parents")?;
        self.check_room(parents.len())?;
        let first = self.len();
        for (index, (&parent, &held)) in parents.iter().zip(tokens).enumerate() {
            if !usize::try_from(parent).is_ok_and(|parent| parent < first + index) {
                return Err(Error::OutOfRange {
                    argument: "parents",
                    index,
                    value: parent,
                    below: first + index,
                    what: "the number of nodes by then",
                });
            }
            if u32::try_from(held).is_err() {
                let value = held.into();
                let expected = "between 0 and 2**32 - 1";
                return Err(Error::Entry { argument: "tokens", index, value, expected });
            }
        }
        self.parents.extend(parents.iter().map(|&parent| parent as u32));
        self.tokens.extend(tokens.iter().map(|&held| held as u32));
        for &parent in parents {
            self.depths.push(self.depths[parent as usize] + 1);
        }
        Ok(first as u32..self.len() as u32)
    }

    /// Refuses to grow by more nodes than there are ids left.
    fn check_room(&self, more: usize) -> Result<(), Error> {
        check_scalar(
            "the number of nodes",
            self.len().saturating_add(more) as i64,
            "at most 2**32 - 1, with those to be added",
            more <= MAX_NODES - self.len(),
        )
    }

    /// Checks that an integer names a node.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn node(&self, argument: &'static str, id: i64) -> Result<NodeId, Error> {
        match u32::try_from(id) {
            Ok(node) if (node as usize) < self.len() => Ok(NodeId(node)),
            _ => Err(Error::Scalar {
                argument,
                value: id.into(),
                expected: "the id of a node of this tree",
            }),
        }
    }

    /// Counts the nodes, root included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Says false: a tree always has its root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns a node's parent, or `None` for the root.
    ///
    /// # Panics
    ///
    /// If `node` is not a node of this tree; ids from [`Tree::add`] and [`Tree::node`] are.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node.0 != 0).then(|| NodeId(self.parents[node.0 as usize]))
    }

    /// Returns the tokens that each node itself holds, `[m]`.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Returns the steps from the root to each node, `[m]`.
    #[must_use]
    pub fn depths(&self) -> &[u32] {
        &self.depths
    }

    /// Lists the nodes from the root to `node`, both included.
    ///
    /// # Errors
    ///
    /// `node` is not a node.
    pub fn path(&self, node: i64) -> Result<Vec<NodeId>, Error> {
        let node = self.node("node", node)?;
        let mut path: Vec<NodeId> =
            std::iter::successors(Some(node), |&node| self.parent(node)).collect();
        path.reverse();
        Ok(path)
    }

    fn leaf(&self, index: usize, leaf: i64) -> Result<NodeId, Error> {
        self.node("leaves", leaf).map_err(|_| Error::OutOfRange {
            argument: "leaves",
            index,
            value: leaf,
            below: self.len(),
            what: "the number of nodes",
        })
    }
}

fn to_tokens(argument: &'static str, tokens: i64) -> Result<u32, Error> {
    let fits = u32::try_from(tokens);
    check_scalar(argument, tokens, "between 0 and 2**32 - 1", fits.is_ok())?;
    Ok(fits.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree of up to 60 nodes below the root, and nodes of it, repeats and all.
    pub(super) fn tree_and_nodes() -> impl Strategy<Value = (Tree, Vec<i64>)> {
        (proptest::collection::vec((0.0..1.0, 0_i64..50), 0..60), 0_i64..1000).prop_flat_map(
            |(steps, prompt)| {
                let mut tree = Tree::new(prompt).unwrap();
                for (at, tokens) in steps {
                    let parent = (at * tree.len() as f64) as i64;
                    tree.add(parent, tokens).unwrap();
                }
                let size = tree.len() as i64;
                (Just(tree), proptest::collection::vec(0..size, 0..20))
            },
        )
    }

    proptest! {
        #[test]
        fn extend_is_add_after_add((tree, _) in tree_and_nodes(), cut in 0.0..1.0) {
            let parents: Vec<i64> = tree.parents.iter().map(|&parent| i64::from(parent)).collect();
            let tokens: Vec<i64> = tree.tokens.iter().map(|&tokens| i64::from(tokens)).collect();
            let mut grown = Tree::new(tokens[0]).unwrap();
            let cut = 1 + (cut * (tree.len() - 1) as f64) as usize;
            for stretch in [1..cut, cut..tree.len()] {
                let ids = grown.extend(&parents[stretch.clone()], &tokens[stretch.clone()]);
                prop_assert_eq!(ids.unwrap(), stretch.start as u32..stretch.end as u32);
            }
            prop_assert_eq!(&grown.parents, &tree.parents);
            prop_assert_eq!(&grown.tokens, &tree.tokens);
            prop_assert_eq!(&grown.depths, &tree.depths);
        }
    }

    #[test]
    fn ids_and_tokens_are_checked() {
        let mut tree = Tree::new(3).unwrap();
        assert!(Tree::new(-1).is_err());
        assert!(Tree::new(1 << 32).is_err());
        assert!(tree.add(1, 0).is_err());
        assert!(tree.add(-1, 0).is_err());
        assert!(tree.add(0, -1).is_err());
        assert!(!tree.is_empty());
    }

    #[test]
    fn a_refused_extension_changes_nothing() {
        let mut tree = Tree::new(3).unwrap();
        let mut refused = |parents: &[i64], tokens: &[i64]| {
            let message = tree.extend(parents, tokens).unwrap_err().to_string();
            assert_eq!(tree.len(), 1);
            message
        };
        assert_eq!(
            refused(&[0, 1, 3], &[1, 1, 1]),
            "parents[2] is 3: it must be at least 0 and below 3 (the number of nodes by then)"
        );
        assert_eq!(
            refused(&[0, 0], &[1, 1 << 32]),
            "tokens[1] is 4294967296: it must be between 0 and 2**32 - 1"
        );
        assert_eq!(refused(&[0], &[]), "tokens has length 0: it must have length 1, like parents");
        refused(&[-1], &[1]);
        assert_eq!(tree.extend(&[], &[]).unwrap(), 1..1);
        assert_eq!(tree.extend(&[0, 1, 2], &[1, 2, 3]).unwrap(), 1..4);
        assert_eq!(tree.depths(), [0, 1, 2, 3]);
    }
}
