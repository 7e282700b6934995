//! The nodes on paths to candidates, found in the caller's tree.

use super::none::NONE;
use crate::error::{Error, Number, check_scalar};
use crate::tree::NodeId;

/// The caller's tree while it is read, `[m]`; only the entries of nodes on paths mean anything.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// What each node is: `OFF` every path, `ON` one, or a `CANDIDATE`.
    kind: Vec<u8>,
    /// Parent of each node; 0 for the root.
    parent: Vec<u32>,
    /// The candidate at each `CANDIDATE`.
    candidate: Vec<u32>,
    /// Local number of each node.
    pub local: Vec<u32>,
    /// The nodes on paths, ascending, `[p]`.
    nodes: Vec<u32>,
    /// How many they are.
    count: usize,
}

const OFF: u8 = 0;
/// Also beside `CANDIDATE`, for one above another.
const ON: u8 = 1;
const CANDIDATE: u8 = 2;
/// Nodes for each candidate up to which all are looked at rather than the paths walked.
const MOST_BESIDE: usize = 8;

impl Paths {
    /// Copies and marks the candidates while checking that they are distinct nodes.
    pub fn read_leaves(
        &mut self,
        leaves: &[NodeId],
        m: usize,
        checked: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let argument = "leaves";
        self.kind.clear();
        self.kind.resize(m, OFF);
        for list in [&mut self.parent, &mut self.candidate, &mut self.local] {
            // What is left of an earlier tree is never read.
            list.resize(m.max(list.len()), 0);
        }
        checked.clear();
        self.count = leaves.len();
        for (index, &value) in leaves.iter().enumerate() {
            let Some(kind) = self.kind.get_mut(value.index()) else {
                let (value, what) = (value.0.into(), "the number of nodes");
                return Err(Error::OutOfRange { argument, index, value, below: m, what });
            };
            if *kind == CANDIDATE {
                let first = self.candidate[value.index()] as usize;
                return Err(Error::Duplicate { argument, index, first, value: value.0.into() });
            }
            *kind = CANDIDATE;
            self.candidate[value.index()] = index as u32;
            checked.push(value.0);
        }
        Ok(())
    }

    /// Marks the nodes on paths to candidates and copies their parents.
    pub fn walk(&mut self, parents: &[NodeId], leaves: &[u32]) {
        if parents.len() <= MOST_BESIDE * leaves.len() {
            self.sweep(parents);
            return;
        }
        for &leaf in leaves {
            let mut v = leaf as usize;
            while v != 0 {
                let parent = parents[v];
                self.parent[v] = parent.0;
                v = parent.index();
                if self.kind[v] != OFF {
                    // Walked already, or a candidate, whose walk is its own.
                    break;
                }
                self.kind[v] = ON;
                self.count += 1;
            }
        }
    }

    /// Does so for all nodes, children first: no branch depends on where paths meet.
    fn sweep(&mut self, parents: &[NodeId]) {
        let mut on_paths = 1;
        for (v, &parent) in parents.iter().enumerate().skip(1).rev() {
            let parent = parent.index();
            let on = u8::from(self.kind[v] != OFF);
            self.kind[parent] |= on;
            self.parent[v] = parent as u32;
            on_paths += usize::from(on);
        }
        self.count = on_paths;
    }

    /// Takes a tree of which all nodes are on paths, as a tree hands over, and copies their parents.
    pub fn take_all(&mut self, parents: &[NodeId], parent: &mut Vec<u32>) {
        self.nodes.clear();
        self.nodes.extend(0..parents.len() as u32);
        parent.clear();
        parent.extend(parents.iter().map(|above| above.0));
        parent[0] = NONE;
    }

    /// Numbers the nodes on paths from 0, in order, and copies their parents.
    pub fn number(&mut self, parent: &mut Vec<u32>) {
        // Each node is written where the next one on a path goes, so one slot more than there are.
        self.nodes.clear();
        self.nodes.resize(self.count + 1, 0);
        let mut next = 0;
        let mut write = |v: usize, kind: u8| {
            self.nodes[next] = v as u32;
            next += usize::from(kind != OFF);
        };
        // Most nodes of a grown tree are on no path: eight at a time are passed over.
        for (chunk, first) in self.kind.chunks(8).zip((0..).step_by(8)) {
            if !chunk.try_into().is_ok_and(|eight| u64::from_ne_bytes(eight) == 0) {
                chunk.iter().zip(first..).for_each(|(&kind, v)| write(v, kind));
            }
        }
        self.nodes.truncate(self.count);
        for (&v, number) in self.nodes.iter().zip(0..) {
            self.local[v as usize] = number;
        }
        let Self { parent: above, local, nodes, .. } = &*self;
        parent.clear();
        parent.extend(nodes.iter().map(|&v| local[above[v as usize] as usize]));
        parent[0] = NONE;
    }

    /// Yields the entries of the nodes on paths.
    pub fn kept<'a, T: Copy>(&'a self, entries: &'a [T]) -> impl Iterator<Item = T> + 'a {
        self.nodes.iter().map(|&v| entries[v as usize])
    }
}

/// Checks that each node but the root, its own parent, hangs below an earlier one.
pub(super) fn check_parents(parents: &[NodeId]) -> Result<(), Error> {
    let argument = "parents";
    let (count, Some(&root)) = (parents.len(), parents.first()) else {
        return Err(Error::Empty { argument });
    };
    check_scalar("the number of nodes", count, "below 2**32 - 1", count < NONE as usize)?;
    if root != NodeId::ROOT {
        let expected = "0, for node 0 is the root, its own parent";
        return Err(Error::Entry { argument, index: 0, value: root.0.into(), expected });
    }
    let all = || parents.iter().zip(0_u32..).skip(1);
    // All are looked at, right or wrong: that is the loop that the compiler vectorises.
    if all().fold(0, |any, (parent, index)| any | u32::from(parent.0 >= index)) > 0 {
        let wrong = all().find(|&(parent, index)| parent.0 >= index);
        if let Some((parent, index)) = wrong {
            return Err(wrong_parent(index as usize, parent.0));
        }
    }
    Ok(())
}

/// Says that a node's parent is none.
pub(crate) fn wrong_parent(index: usize, parent: impl Into<Number>) -> Error {
    let expected =
        "the id of an earlier node (parents come before children; only node 0 is a root)";
    Error::Entry { argument: "parents", index, value: parent.into(), expected }
}
