//! The search tree as an arena, with KV accounting.

use crate::error::{Error, check_scalar};

/// Names a node of a [`Tree`]; ids count up from 0, the root, in order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Holds the nodes of one search as parallel arrays.
///
/// Node 0 is the root and holds the prompt's tokens. A node's parent always has a smaller id, so
/// the arrays read front to back are a topological order.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Parent of each node, `[m]`; the root's entry is 0 and is never followed.
    parents: Vec<u32>,
    /// Tokens that each node itself holds in the KV cache, `[m]`.
    tokens: Vec<u32>,
    /// Steps from the root, `[m]`; 0 for the root.
    depths: Vec<u32>,
}

/// Remembers which nodes a walk has seen, so that repeated walks neither allocate nor clear.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// The walk that last touched each node, `[m]`.
    seen_in: Vec<u32>,
    /// The current walk; 0 is "never".
    walk: u32,
}

impl Marks {
    /// Starts a walk over at most `nodes` nodes; none counts as seen.
    pub(crate) fn start(&mut self, nodes: usize) {
        if self.seen_in.len() < nodes {
            self.seen_in.resize(nodes, 0);
        }
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            // After 2^32 walks old marks would look fresh.
            self.seen_in.fill(0);
            self.walk = 1;
        }
    }

    /// Marks a node; true the first time in this walk.
    pub(crate) fn first_visit(&mut self, node: u32) -> bool {
        let slot = &mut self.seen_in[node as usize];
        let first = *slot != self.walk;
        *slot = self.walk;
        first
    }
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
        let id =
            u32::try_from(self.len()).ok().filter(|&id| id < u32::MAX).ok_or(Error::Scalar {
                argument: "the number of nodes",
                value: i64::from(u32::MAX).into(),
                expected: "below 2**32 - 1 before a node is added",
            })?;
        self.parents.push(parent.0);
        self.tokens.push(tokens);
        self.depths.push(self.depths[parent.0 as usize] + 1);
        Ok(NodeId(id))
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

    /// Sums the tokens on the distinct nodes of the leaves' root paths.
    ///
    /// Shared prefixes count once; the root, and so the prompt, always counts once there is a leaf.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node.
    pub fn kv_tokens(&self, leaves: &[i64]) -> Result<u64, Error> {
        self.kv_tokens_with(&mut Marks::default(), leaves)
    }

    /// Does what [`Tree::kv_tokens`] does, with marks kept from call to call.
    ///
    /// Costs time linear in the distinct nodes touched, plus the leaves.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node.
    pub fn kv_tokens_with(&self, marks: &mut Marks, leaves: &[i64]) -> Result<u64, Error> {
        marks.start(self.len());
        // At most 2^32 nodes of at most 2^32 tokens: the sum fits.
        let mut total = 0;
        for (index, &leaf) in leaves.iter().enumerate() {
            let mut next = Some(self.leaf(index, leaf)?);
            while let Some(node) = next.filter(|node| marks.first_visit(node.0)) {
                total += u64::from(self.tokens[node.0 as usize]);
                next = self.parent(node);
            }
        }
        Ok(total)
    }

    /// Cuts out the part of the tree on paths to the leaves, for leaf selection.
    ///
    /// Nodes keep their order, so parents stay before children.
    ///
    /// # Errors
    ///
    /// A leaf that is not a node, or twice the same leaf.
    pub fn part_above(&self, marks: &mut Marks, leaves: &[i64]) -> Result<Part, Error> {
        marks.start(self.len());
        let mut nodes = Vec::new();
        for (index, &leaf) in leaves.iter().enumerate() {
            let mut next = Some(self.leaf(index, leaf)?);
            while let Some(node) = next.filter(|node| marks.first_visit(node.0)) {
                nodes.push(node.0);
                next = self.parent(node);
            }
        }
        nodes.sort_unstable();
        // Every parent and leaf is among `nodes`, so the search always finds it.
        let place = |node: u32| nodes.binary_search(&node).map_or(-1, |place| place as i64);
        let parents = nodes
            .iter()
            .map(|&node| self.parent(NodeId(node)).map_or(-1, |parent| place(parent.0)))
            .collect();
        let tokens = nodes.iter().map(|&node| i64::from(self.tokens[node as usize])).collect();
        // Repeats are refused here, where the caller's ids are still known.
        let mut first_at = vec![None; nodes.len()];
        let mut places = Vec::with_capacity(leaves.len());
        for (index, &value) in leaves.iter().enumerate() {
            let at = place(value as u32);
            if let Some(first) = first_at[at as usize].replace(index) {
                return Err(Error::Duplicate { argument: "leaves", index, first, value });
            }
            places.push(at);
        }
        Ok(Part { parents, tokens, leaves: places })
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

/// Holds the part of a tree on paths to some leaves, renumbered from 0 in the same order.
#[derive(Debug, Clone)]
pub struct Part {
    /// Parent of each node, `[p]`; -1 for the root.
    pub parents: Vec<i64>,
    /// Tokens of each node, `[p]`.
    pub tokens: Vec<i64>,
    /// New id of each leaf, in the order the leaves were given.
    pub leaves: Vec<i64>,
}

fn to_tokens(argument: &'static str, tokens: i64) -> Result<u32, Error> {
    let fits = u32::try_from(tokens);
    check_scalar(argument, tokens, "between 0 and 2**32 - 1", fits.is_ok())?;
    Ok(fits.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn random_tree() -> impl Strategy<Value = (Tree, Vec<i64>)> {
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
        fn kv_tokens_is_the_sum_over_the_union_of_paths((tree, leaves) in random_tree()) {
            let union: HashSet<NodeId> =
                leaves.iter().flat_map(|&leaf| tree.path(leaf).unwrap()).collect();
            let naive: u64 =
                union.iter().map(|node| u64::from(tree.tokens()[node.0 as usize])).sum();
            let mut marks = Marks::default();
            for _ in 0..2 {
                prop_assert_eq!(tree.kv_tokens_with(&mut marks, &leaves).unwrap(), naive);
            }
            let mut distinct = leaves.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(
                tree.part_above(&mut marks, &leaves).is_err(),
                distinct.len() < leaves.len()
            );
            let part = tree.part_above(&mut marks, &distinct).unwrap();
            prop_assert_eq!(part.tokens.iter().sum::<i64>() as u64, naive);
            prop_assert_eq!(part.parents.len(), union.len());
            for (&parent, at) in part.parents.iter().zip(0..) {
                prop_assert!(parent < at && (parent >= 0) == (at > 0));
            }
        }
    }

    #[test]
    fn marks_survive_the_wrap_of_their_counter() {
        let mut tree = Tree::new(5).unwrap();
        tree.add(0, 7).unwrap();
        let mut marks = Marks::default();
        tree.kv_tokens_with(&mut marks, &[1]).unwrap();
        marks.walk = u32::MAX;
        assert_eq!(tree.kv_tokens_with(&mut marks, &[1]).unwrap(), 12);
        assert_eq!(tree.kv_tokens_with(&mut marks, &[0, 1, 1]).unwrap(), 12);
    }

    #[test]
    fn ids_and_tokens_are_checked() {
        let mut tree = Tree::new(3).unwrap();
        assert!(Tree::new(-1).is_err());
        assert!(Tree::new(1 << 32).is_err());
        assert!(tree.add(1, 0).is_err());
        assert!(tree.add(-1, 0).is_err());
        assert!(tree.add(0, -1).is_err());
        let message = tree.kv_tokens(&[0, i64::MAX]).unwrap_err().to_string();
        assert_eq!(
            message,
            "leaves[1] is 9223372036854775807: it must be at least 0 and below 1 (the number of \
             nodes)"
        );
        assert!(!tree.is_empty());
    }
}
