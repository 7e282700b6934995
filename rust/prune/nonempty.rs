//! The best selection that holds a candidate, for when keeping nothing would be better.

use std::collections::BinaryHeap;

use super::answer::{Answer, TOLERANCE};
use super::budget::{Budgeted, Task};
use super::exact::Exact;
use super::forest::Forest;
use super::groups::Groups;
use super::none::NONE;
use super::preorder::Preorder;
use super::subtree::Subtree;

/// Scratch memory, reused from call to call.
#[derive(Debug, Default)]
pub(super) struct Nonempty {
    preorder: Preorder,
    children: Groups,
    part: Subtree,
    part_keep: Vec<bool>,
    /// Bound on what a node, kept, is worth with a candidate at or below it, `[p]`.
    bound: Vec<f64>,
    /// What its children add to that, and the largest of their bounds, `[p]`.
    added: Vec<f64>,
    largest: Vec<f64>,
    heap: BinaryHeap<Open>,
    /// The best selection found: its nodes at and below the one that was opened.
    best: Vec<u32>,
}

/// A node below which the best selection with a candidate may lie.
#[derive(Debug, PartialEq)]
struct Open {
    /// No selection below is worth more, path to the node included.
    bound: f64,
    node: u32,
    /// Worth of the path above the node, and its tokens.
    above: f64,
    held: u64,
}

impl Eq for Open {}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Open {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bound.total_cmp(&other.bound).then(other.node.cmp(&self.node))
    }
}

impl Nonempty {
    /// Finds the best selection of a forest that keeps a node for which `candidate` is true.
    ///
    /// The worth of a union is at most the sum of the worths, so where keeping nothing below a node
    /// is best, the best choice with a candidate lies below one of its children. The search opens
    /// nodes in order of their bound and solves, for each, the part at and below it, which costs no
    /// more than that part. Its clusters must not be carried above it, which holds: a node above
    /// that carries one is a candidate, and ends the search. Out of time, the answer is the best
    /// found by then, or the first that is found in about two passes over the forest, or none.
    pub fn solve(
        &mut self,
        forest: &Forest,
        candidate: &[bool],
        task: Task,
        exact: &mut Exact,
        budgeted: &mut Budgeted,
        keep: &mut Vec<bool>,
    ) -> Answer {
        self.begin(forest, candidate);
        exact.clock.after(forest.len() + forest.owner.len());
        self.heap.push(Open { bound: self.bound[0], node: 0, above: 0.0, held: 0 });
        let (mut best, mut best_top, mut bound, mut late) = (None, 0, f64::NEG_INFINITY, 0);
        while let Some(open) = self.heap.pop() {
            let floor = best.unwrap_or(f64::NEG_INFINITY);
            let hurry = exact.clock.expired() && (best.is_some() || late > 2 * forest.len());
            if open.bound <= floor + TOLERANCE || hurry {
                bound = open.bound.max(bound);
                break;
            }
            let top = open.node as usize;
            // Where nothing below can pay, it is known that the node alone is best.
            if candidate[top] || self.largest[top] >= -TOLERANCE {
                self.part.load(forest, open.node, &self.preorder);
                let part = &self.part.forest;
                late += if exact.clock.expired() { part.len() } else { 0 };
                exact.clock.after(part.len() + part.owner.len());
                let found = if part.budgeted() {
                    let inner = Task { budget: task.budget - open.held, ..task };
                    budgeted.solve(exact, part, &[], inner, &mut self.part_keep)
                } else {
                    exact.solve(part, &mut self.part_keep)
                };
                let kept =
                    || self.part.nodes.iter().zip(&self.part_keep).filter(|(_, kept)| **kept);
                let worth = found.worth.filter(|_| kept().any(|(&v, _)| candidate[v as usize]));
                if let Some(worth) = worth {
                    bound = bound.max(open.above + found.bound);
                    if open.above + worth > floor {
                        best = Some(open.above + worth);
                        best_top = top;
                        self.best.clear();
                        self.best.extend(kept().map(|(&v, _)| v));
                    }
                    continue;
                }
                if found.worth.is_none_or(|worth| found.bound > worth + TOLERANCE) {
                    // Out of time: that keeping nothing is best here is not proven.
                    bound = bound.max(open.above + found.bound);
                }
            }
            let steps = self.open(forest, candidate, task.budget, &open);
            late += if exact.clock.after(steps) { steps } else { 0 };
        }
        if best.is_some() {
            keep.clear();
            keep.resize(forest.len(), false);
            self.best.iter().for_each(|&v| keep[v as usize] = true);
            while best_top != 0 {
                best_top = forest.parent[best_top] as usize;
                keep[best_top] = true;
            }
        }
        Answer { worth: best, bound: bound.max(best.unwrap_or(f64::NEG_INFINITY)) }
    }

    /// Lists what is below a node in the heap; returns how many nodes were looked at.
    fn open(&mut self, forest: &Forest, candidate: &[bool], budget: u64, open: &Open) -> usize {
        let tokens = |v: u32| forest.tokens.get(v as usize).copied().unwrap_or(0);
        let worth_above = open.above + forest.value[open.node as usize];
        let held_above = open.held + tokens(open.node);
        let mut steps = 0;
        for &child in self.children.of(open.node as usize) {
            let (mut v, mut above, mut held) = (child, worth_above, held_above);
            let bound = (above + self.bound[v as usize]).min(open.bound);
            // Where there is one way on, it is taken at once.
            while let (&[only], false) = (self.children.of(v as usize), candidate[v as usize]) {
                above += forest.value[v as usize];
                held += tokens(v);
                v = only;
                steps += 1;
            }
            // A node that does not fit has nothing below it that does.
            if held + tokens(v) <= budget {
                self.heap.push(Open { bound, node: v, above, held });
            }
            steps += 1;
        }
        steps
    }

    /// Lists the nodes, and bounds each one's worth with a candidate at or below it, every gain
    /// counted.
    fn begin(&mut self, forest: &Forest, candidate: &[bool]) {
        let r = forest.len();
        self.heap.clear();
        self.preorder.list(&forest.parent);
        self.children.list(r, r, |v| if v == 0 { NONE } else { forest.parent[v] });
        self.part.begin(forest);
        self.bound.clone_from(&forest.value);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            self.bound[v as usize] += forest.gains.next(k, 0);
        }
        self.added.clear();
        self.added.resize(r, 0.0);
        self.largest.clear();
        self.largest.resize(r, f64::NEG_INFINITY);
        for v in (0..r).rev() {
            let below =
                if candidate[v] || self.added[v] > 0.0 { self.added[v] } else { self.largest[v] };
            self.bound[v] += below;
            if v > 0 {
                let above = forest.parent[v] as usize;
                self.added[above] += self.bound[v].max(0.0);
                self.largest[above] = self.largest[above].max(self.bound[v]);
            }
        }
    }
}
