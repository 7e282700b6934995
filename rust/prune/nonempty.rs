//! The best selection that holds a candidate, for when keeping nothing would be better.

use std::collections::BinaryHeap;

use super::budget::Task;
use super::exact::{Answer, TOLERANCE};
use super::forest::Forest;

/// Scratch memory, reused from call to call.
#[derive(Debug, Default)]
pub(super) struct Nonempty {
    part: Forest,
    place: Vec<u32>,
    part_keep: Vec<bool>,
    /// Bound on what a node, kept, is worth with a candidate at or below it, `[p]`.
    bound: Vec<f64>,
    /// What its children add to that, and the largest of their bounds, `[p]`.
    added: Vec<f64>,
    largest: Vec<f64>,
    /// How many children each node has, and the first of them, `[p]`.
    children: Vec<(u32, u32)>,
    heap: BinaryHeap<Open>,
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
    /// nodes in order of their bound and asks, for each, for the best selection at and below it.
    /// Its clusters must not be carried above it, which holds: a node above that carries one is a
    /// candidate, and ends the search. `best_of` solves one such part, and says whether time is up.
    pub fn solve(
        &mut self,
        forest: &Forest,
        candidate: &[bool],
        task: Task,
        mut best_of: impl FnMut(&Forest, Task, &mut Vec<bool>) -> (Answer, bool),
        keep: &mut Vec<bool>,
    ) -> Answer {
        self.bound_all(forest, candidate, task.gain);
        self.heap.clear();
        self.heap.push(Open { bound: self.bound[0], node: 0, above: 0.0, held: 0 });
        let mut hurry = false;
        let (mut best, mut bound) = (None, f64::NEG_INFINITY);
        while let Some(open) = self.heap.pop() {
            let floor = best.unwrap_or(f64::NEG_INFINITY);
            // Without time, any candidate will do: the first one that comes up.
            if open.bound <= floor + TOLERANCE || (best.is_some() && hurry) {
                bound = open.bound.max(bound);
                break;
            }
            let top = open.node;
            self.part.load_below(forest, top, &mut self.place);
            let part = Task { budget: task.budget - open.held, ..task };
            let (found, expired) = best_of(&self.part, part, &mut self.part_keep);
            hurry |= expired;
            let kept =
                |v: usize| self.place[v] != u32::MAX && self.part_keep[self.place[v] as usize];
            if let Some(worth) =
                found.worth.filter(|_| (0..forest.len()).any(|v| candidate[v] && kept(v)))
            {
                bound = bound.max(open.above + found.bound);
                if open.above + worth > floor {
                    best = Some(open.above + worth);
                    keep.clear();
                    keep.extend((0..forest.len()).map(kept));
                    let mut up = top as usize;
                    while up != 0 {
                        up = forest.parent[up] as usize;
                        keep[up] = true;
                    }
                }
                continue;
            }
            if found.worth.is_none_or(|worth| found.bound > worth + TOLERANCE) {
                // Out of time: that keeping nothing is best here is not proven.
                bound = bound.max(open.above + found.bound);
            }
            let above = open.above + forest.value[top as usize];
            let tokens = |v: u32| forest.tokens.get(v as usize).copied().unwrap_or(0);
            let held = open.held + tokens(top);
            for mut v in top + 1..forest.len() as u32 {
                if forest.parent[v as usize] != top {
                    continue;
                }
                let (mut above, mut held) = (above, held);
                let bound = (above + self.bound[v as usize]).min(open.bound);
                // Where there is one way on, it is taken at once.
                while let Some(only) = self.only_child(v, candidate) {
                    above += forest.value[v as usize];
                    held += tokens(v);
                    v = only;
                }
                // A node that does not fit has nothing below it that does.
                if held + tokens(v) <= task.budget {
                    self.heap.push(Open { bound, node: v, above, held });
                }
            }
        }
        Answer { worth: best, bound: bound.max(best.unwrap_or(f64::NEG_INFINITY)) }
    }

    /// Returns a node's child where it has one only and holds no candidate itself.
    fn only_child(&self, v: u32, candidate: &[bool]) -> Option<u32> {
        let (count, child) = self.children[v as usize];
        (count == 1 && !candidate[v as usize]).then_some(child)
    }

    /// Bounds each node's worth with a candidate at or below it, every gain counted.
    fn bound_all(&mut self, forest: &Forest, candidate: &[bool], gain: f64) {
        let r = forest.len();
        self.bound.clone_from(&forest.value);
        forest.owner.iter().for_each(|&v| self.bound[v as usize] += gain);
        self.added.clear();
        self.added.resize(r, 0.0);
        self.largest.clear();
        self.largest.resize(r, f64::NEG_INFINITY);
        self.children.clear();
        self.children.resize(r, (0, 0));
        for v in (0..r).rev() {
            let below =
                if candidate[v] || self.added[v] > 0.0 { self.added[v] } else { self.largest[v] };
            self.bound[v] += below;
            if v > 0 {
                let above = forest.parent[v] as usize;
                self.children[above] = (self.children[above].0 + 1, v as u32);
                self.added[above] += self.bound[v].max(0.0);
                self.largest[above] = self.largest[above].max(self.bound[v]);
            }
        }
    }
}
