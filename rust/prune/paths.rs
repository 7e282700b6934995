//! The nodes on paths to candidates, found in the caller's tree.

use super::problem::NONE;
use crate::error::{Error, check_scalar};

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
        leaves: &[i64],
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
            let Some(kind) = usize::try_from(value).ok().and_then(|v| self.kind.get_mut(v)) else {
                let what = "the number of nodes";
                return Err(Error::OutOfRange { argument, index, value, below: m, what });
            };
            if *kind == CANDIDATE {
                let first = self.candidate[value as usize] as usize;
                return Err(Error::Duplicate { argument, index, first, value });
            }
            *kind = CANDIDATE;
            self.candidate[value as usize] = index as u32;
            checked.push(value as u32);
        }
        Ok(())
    }

    /// Marks the nodes on paths to candidates and copies their parents.
    ///
    /// Each parent is checked again as it is read: the caller's array may be shared.
    pub fn walk(&mut self, parents: &[i64], leaves: &[u32]) -> Result<(), Error> {
        if parents.len() <= MOST_BESIDE * leaves.len() {
            return self.sweep(parents);
        }
        for &leaf in leaves {
            let mut v = leaf as usize;
            while v != 0 {
                let parent = parents[v];
                if !(0..v as i64).contains(&parent) {
                    return Err(wrong_parent(v, parent));
                }
                self.parent[v] = parent as u32;
                v = parent as usize;
                if self.kind[v] != OFF {
                    // Walked already, or a candidate, whose walk is its own.
                    break;
                }
                self.kind[v] = ON;
                self.count += 1;
            }
        }
        Ok(())
    }

    /// Does so for all nodes, children first: no branch depends on where paths meet.
    fn sweep(&mut self, parents: &[i64]) -> Result<(), Error> {
        let mut on_paths = 1;
        for (v, &parent) in parents.iter().enumerate().skip(1).rev() {
            if !(0..v as i64).contains(&parent) {
                return Err(wrong_parent(v, parent));
            }
            let on = u8::from(self.kind[v] != OFF);
            self.kind[parent as usize] |= on;
            self.parent[v] = parent as u32;
            on_paths += usize::from(on);
        }
        self.count = on_paths;
        Ok(())
    }

    /// Numbers the nodes on paths from 0, in order, and copies their parents.
    pub fn number(&mut self, parent: &mut Vec<u32>) {
        let m = self.kind.len();
        if self.count == m {
            // What a tree hands over is cut down to this already.
            self.nodes.clear();
            self.nodes.extend(0..m as u32);
            self.local.clone_from(&self.nodes);
            parent.clear();
            parent.extend_from_slice(&self.parent[..m]);
            parent[0] = NONE;
            return;
        }
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

pub(super) fn check_parents(parents: &[i64]) -> Result<(), Error> {
    let argument = "parents";
    let Some(&root) = parents.first() else { return Err(Error::Empty { argument }) };
    let count = i64::try_from(parents.len()).unwrap_or(i64::MAX);
    check_scalar("the number of nodes", count, "below 2**32 - 1", count < i64::from(NONE))?;
    if root != -1 {
        let expected = "-1, for node 0 is the root";
        return Err(Error::Entry { argument, index: 0, value: root.into(), expected });
    }
    // Negative where a parent is, or is not below its child; all are looked at, right or wrong:
    // that is the loop that the compiler vectorises.
    let sign = |parent: i64, index: i64| parent | (index - 1).wrapping_sub(parent);
    let all = parents.iter().zip(0..).skip(1);
    if all.clone().fold(0, |any, (&parent, index)| any | sign(parent, index)) < 0 {
        let wrong = all.enumerate().find(|&(_, (&parent, index))| sign(parent, index) < 0);
        let index = wrong.map_or(0, |(at, _)| at + 1);
        return Err(wrong_parent(index, parents[index]));
    }
    Ok(())
}

fn wrong_parent(index: usize, parent: i64) -> Error {
    let expected =
        "the id of an earlier node (parents come before children; only node 0 is a root)";
    Error::Entry { argument: "parents", index, value: parent.into(), expected }
}
