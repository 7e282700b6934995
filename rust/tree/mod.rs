//! The search tree as an arena, with KV accounting.

mod contract;
mod held;
mod kv;
mod marks;
mod part;

pub use held::Held;
pub use marks::Marks;
pub use part::Part;

use crate::error::{Error, check_length, check_scalar};

/// Most nodes that a tree may hold: ids and counts of nodes both fit a `u32`.
const MAX_NODES: usize = u32::MAX as usize;

/// Names a node of a [`Tree`]; ids count up from 0, the root, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The root of every tree.
    pub const ROOT: Self = Self(0);

    /// Returns the id as an index of arrays with an entry for each node.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Holds the nodes of one search as parallel arrays.
///
/// Node 0 is the root and holds the prompt's tokens. A node's parent always has a smaller id, so
/// the arrays read front to back are a topological order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Parent of each node, `[m]`; the root is its own.
    parents: Vec<NodeId>,
    /// Tokens that each node itself holds in the KV cache, `[m]`.
    tokens: Vec<u32>,
    /// Steps from the root, `[m]`; 0 for the root. In a contracted tree those of the whole one.
    depths: Vec<u32>,
}

impl Tree {
    /// Makes a tree that holds only the root with the prompt's tokens.
    #[must_use]
    pub fn new(prompt_tokens: u32) -> Self {
        Self { parents: vec![NodeId::ROOT], tokens: vec![prompt_tokens], depths: vec![0] }
    }

    /// Adds a node below `parent` and returns its id.
    ///
    /// # Errors
    ///
    /// `parent` not a node, or the tree full at `2**32 - 1` nodes.
    pub fn add(&mut self, parent: NodeId, tokens: u32) -> Result<NodeId, Error> {
        self.check_node("parent", parent)?;
        self.check_room(1)?;
        let id = NodeId(self.len() as u32);
        self.parents.push(parent);
        self.tokens.push(tokens);
        self.depths.push(self.depths[parent.index()] + 1);
        Ok(id)
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
    /// `parents` and `tokens` of different lengths, a parent that is not a node by then, or no room
    /// below `2**32 - 1` nodes.
    pub fn extend(&mut self, parents: &[NodeId], tokens: &[u32]) -> Result<Vec<NodeId>, Error> {
        check_length("tokens", tokens.len(), parents.len(), "parents")?;
        self.check_room(parents.len())?;
        let first = self.len();
        for (index, &parent) in parents.iter().enumerate() {
            if parent.index() >= first + index {
                return Err(Error::OutOfRange {
                    argument: "parents",
                    index,
                    value: parent.0.into(),
                    below: first + index,
                    what: "the number of nodes by then",
                });
            }
        }
        self.parents.extend_from_slice(parents);
        self.tokens.extend_from_slice(tokens);
        for &parent in parents {
            self.depths.push(self.depths[parent.index()] + 1);
        }
        Ok((first as u32..self.len() as u32).map(NodeId).collect())
    }

    /// Refuses to grow by more nodes than there are ids left.
    fn check_room(&self, more: usize) -> Result<(), Error> {
        check_scalar(
            "the number of nodes",
            self.len().saturating_add(more),
            "at most 2**32 - 1, with those to be added",
            more <= MAX_NODES - self.len(),
        )
    }

    /// Refuses an id that is not a node.
    fn check_node(&self, argument: &'static str, node: NodeId) -> Result<(), Error> {
        check_scalar(argument, node.0, "the id of a node of this tree", self.contains(node))
    }

    /// Says whether an id names a node of this tree.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        node.index() < self.len()
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
    /// If `node` is not a node of this tree; what [`Tree::add`] and [`Tree::extend`] return are.
    #[must_use]
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node != NodeId::ROOT).then(|| self.parents[node.index()])
    }

    /// Returns the parent of each node, `[m]`; the root is its own.
    #[must_use]
    pub fn parents(&self) -> &[NodeId] {
        &self.parents
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
    pub fn path(&self, node: NodeId) -> Result<Vec<NodeId>, Error> {
        self.check_node("node", node)?;
        let mut path: Vec<NodeId> =
            std::iter::successors(Some(node), |&node| self.parent(node)).collect();
        path.reverse();
        Ok(path)
    }

    /// Refuses one of some leaves that is not a node.
    fn check_leaf(&self, index: usize, leaf: NodeId) -> Result<(), Error> {
        if self.contains(leaf) {
            return Ok(());
        }
        Err(Error::OutOfRange {
            argument: "leaves",
            index,
            value: leaf.0.into(),
            below: self.len(),
            what: "the number of nodes",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A tree of up to 60 nodes below the root, and nodes of it, repeats and all.
    pub(super) fn tree_and_nodes() -> impl Strategy<Value = (Tree, Vec<NodeId>)> {
        (proptest::collection::vec((0.0..1.0, 0_u32..50), 0..60), 0_u32..1000).prop_flat_map(
            |(steps, prompt)| {
                let mut tree = Tree::new(prompt);
                for (at, tokens) in steps {
                    let parent = (at * tree.len() as f64) as u32;
                    tree.add(NodeId(parent), tokens).unwrap();
                }
                let nodes = (0..tree.len() as u32).prop_map(NodeId);
                (Just(tree), proptest::collection::vec(nodes, 0..20))
            },
        )
    }

    proptest! {
        #[test]
        fn extend_is_add_after_add((tree, _) in tree_and_nodes(), cut in 0.0..1.0) {
            let Tree { parents, tokens, .. } = &tree;
            let mut grown = Tree::new(tokens[0]);
            let cut = 1 + (cut * (tree.len() - 1) as f64) as usize;
            for stretch in [1..cut, cut..tree.len()] {
                let ids = grown.extend(&parents[stretch.clone()], &tokens[stretch.clone()]);
                let ids = ids.unwrap();
                prop_assert!(ids.iter().map(|id| id.index()).eq(stretch));
            }
            prop_assert_eq!(&grown.parents, &tree.parents);
            prop_assert_eq!(&grown.tokens, &tree.tokens);
            prop_assert_eq!(&grown.depths, &tree.depths);
        }
    }

    #[test]
    fn ids_are_checked() {
        let mut tree = Tree::new(3);
        let message = tree.add(NodeId(1), 0).unwrap_err().to_string();
        assert_eq!(message, "parent is 1: it must be the id of a node of this tree");
        assert!(tree.path(NodeId(1)).is_err());
        assert!(!tree.is_empty() && tree.parent(NodeId::ROOT).is_none());
    }

    #[test]
    fn a_refused_extension_changes_nothing() {
        let ids = |ids: &[u32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let mut tree = Tree::new(3);
        let mut refused = |parents: &[u32], tokens: &[u32]| {
            let parents = &ids(parents);
            let message = tree.extend(parents, tokens).unwrap_err().to_string();
            assert_eq!(tree.len(), 1);
            message
        };
        assert_eq!(
            refused(&[0, 1, 3], &[1, 1, 1]),
            "parents[2] is 3: it must be at least 0 and below 3 (the number of nodes by then)"
        );
        assert_eq!(refused(&[0], &[]), "tokens has length 0: it must have length 1, like parents");
        refused(&[u32::MAX], &[1]);
        assert_eq!(tree.extend(&[], &[]).unwrap(), []);
        assert_eq!(tree.extend(&ids(&[0, 1, 2]), &[1, 2, 3]).unwrap(), ids(&[1, 2, 3]));
        assert_eq!(tree.depths(), [0, 1, 2, 3]);
    }
}
