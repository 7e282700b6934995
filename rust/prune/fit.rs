//! Fitting a selection to a budget, and filling up what the budget leaves.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::forest::Forest;
use crate::clock::Clock;

/// Fills up what a budget leaves; owns the scratch memory.
#[derive(Debug, Default)]
pub(super) struct Filler {
    members: Vec<u32>,
    /// Worth and tokens of what is not kept on the path down to each node, `[r]`.
    open: Vec<(f64, u64)>,
    /// What pays and fits: its worth and its node.
    offers: Vec<(f64, u32)>,
}

impl Filler {
    /// Adds what pays and fits a budget of tokens, what is worth most first; `without` comes only as
    /// part of a path, the root stands for none.
    ///
    /// Out of time, it does no more than a pass over the forest costs.
    pub fn fill(
        &mut self,
        forest: &Forest,
        budget: u64,
        without: usize,
        keep: &mut [bool],
        clock: &mut Clock,
    ) {
        let Self { members, open, offers } = self;
        forest.count_held(keep, members);
        let mut spare = budget.saturating_sub(forest.tokens_of(keep));
        open.clear();
        open.push((0.0, 0));
        offers.clear();
        let mut e = 0;
        for v in 1..forest.len() {
            let first = e;
            while e < forest.owner.len() && forest.owner[e] as usize == v {
                e += 1;
            }
            if keep[v] {
                open.push((0.0, 0));
                continue;
            }
            let above = open[forest.parent[v] as usize];
            let (worth, tokens) = (above.0 + forest.value[v], above.1 + forest.tokens[v]);
            open.push((worth, tokens));
            let worth = worth + forest.gains.added(&forest.cover[first..e], members);
            if worth > 0.0 && tokens <= spare && v != without {
                offers.push((worth, v as u32));
            }
        }
        offers.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut walked = 0;
        for &(_, v) in &*offers {
            let v = v as usize;
            if keep[v] {
                continue;
            }
            let own = forest.members_of(v);
            let (mut worth, mut tokens, mut up, mut steps) =
                (forest.gains.added(own, members), 0, v, 1);
            while !keep[up] {
                worth += forest.value[up];
                tokens += forest.tokens[up];
                up = forest.parent[up] as usize;
                steps += 1;
            }
            if worth > 0.0 && tokens <= spare {
                spare -= tokens;
                up = v;
                while !keep[up] {
                    keep[up] = true;
                    up = forest.parent[up] as usize;
                }
                own.iter().for_each(|&k| members[k as usize] += 1);
            }
            walked += steps;
            if clock.after(steps) && walked > forest.len() {
                break;
            }
        }
    }
}

/// Drops leaves of a selection that holds more tokens than the budget, the least worth at their price
/// first.
///
/// Costs O((r + e) log r): what a leaf alone covers, and so its loss, only grows as others drop.
pub(super) fn shed(forest: &Forest, budget: u64, price: f64, keep: &mut [bool]) {
    let mut members = Vec::new();
    forest.count_held(keep, &mut members);
    let mut below = vec![0_u32; forest.len()];
    for v in (1..forest.len()).filter(|&v| keep[v]) {
        below[forest.parent[v] as usize] += 1;
    }
    // What a leaf loses, less what its tokens cost at the price.
    let loss = |v: usize, members: &mut [u32]| {
        let lost = forest.gains.lost(forest.members_of(v), members);
        forest.value[v] + lost - price * forest.tokens[v] as f64
    };
    let mut held = forest.tokens_of(keep);
    let leaves = (1..forest.len()).filter(|&v| keep[v] && below[v] == 0);
    let mut heap: BinaryHeap<Leaf> =
        leaves.map(|node| Leaf { loss: loss(node, &mut members), node }).collect();
    while held > budget {
        let Some(Leaf { loss: listed, node }) = heap.pop() else { break };
        let now = loss(node, &mut members);
        if now > listed {
            heap.push(Leaf { loss: now, node });
            continue;
        }
        keep[node] = false;
        held -= forest.tokens[node];
        forest.members_of(node).iter().for_each(|&k| members[k as usize] -= 1);
        let above = forest.parent[node] as usize;
        below[above] -= 1;
        if above != 0 && below[above] == 0 {
            heap.push(Leaf { loss: loss(above, &mut members), node: above });
        }
    }
}

/// A leaf of a selection; the one with the smallest loss is the greatest, the first of equal ones.
#[derive(Debug)]
struct Leaf {
    loss: f64,
    node: usize,
}

impl Ord for Leaf {
    fn cmp(&self, other: &Self) -> Ordering {
        other.loss.total_cmp(&self.loss).then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Leaf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Leaf {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Leaf {}
