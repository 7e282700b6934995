//! The exact method under a KV budget: a price on tokens, and branching where prices cannot decide.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::exact::{Answer, Exact, MOST_NESTED, TOLERANCE};
use super::forest::Forest;
use super::paths::PathDual;
use super::presolve::{Fix, Presolve, Reduction, decide};

/// Prices tried for one bound; each cuts the interval at the crossing of two lines, and a dozen
/// is usual.
const MOST_PRICES: u32 = 60;
/// Steps towards the prices that reduced costs are taken from, before the first branch and after.
const FIRST_STEPS: u32 = 300;
const LATER_STEPS: u32 = 60;
/// How near to the best bound at a price those come, as a part of the gap.
const NEAR: f64 = 0.05;

/// Solves forests with a budget; owns the scratch memory, reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Budgeted {
    presolve: Presolve,
    dual: PathDual,
    spare: Vec<Level>,
    seen: Vec<bool>,
}

/// One level of the search.
#[derive(Debug, Default)]
struct Level {
    reduction: Reduction,
    priced: Forest,
    /// Best selection found, and the two that the price lies between.
    best: Vec<bool>,
    over: Vec<bool>,
    under: Vec<bool>,
    trial: Vec<bool>,
    fix: Vec<Fix>,
    branch_fix: Vec<Fix>,
}

/// What a selection is worth and holds.
#[derive(Debug, Clone, Copy)]
struct Point {
    worth: f64,
    tokens: u64,
}

/// What is asked of a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task {
    /// Worth of covering one cluster.
    pub gain: f64,
    /// The most tokens.
    pub budget: u64,
    /// The price of a token to try first.
    pub price: f64,
    /// Only selections worth more are of interest.
    pub cutoff: f64,
    /// Branches that this is inside of.
    pub nested: usize,
}

impl Task {
    /// Asks for the best selection there is.
    pub fn new(gain: f64, budget: u64) -> Self {
        Self { gain, budget, price: 0.0, cutoff: f64::NEG_INFINITY, nested: 0 }
    }
}

impl Budgeted {
    /// Finds the best selection worth more than the cutoff that fits the budget, some nodes fixed.
    pub fn solve(
        &mut self,
        exact: &mut Exact,
        forest: &Forest,
        fix: &[Fix],
        task: Task,
        keep: &mut Vec<bool>,
    ) -> Answer {
        let mut level = self.spare.pop().unwrap_or_default();
        let (presolve, tally) = (&mut self.presolve, &mut exact.counts.tally);
        level.reduction.run(forest, fix, task.gain, presolve, tally, &mut exact.clock);
        let answer = self.search(exact, &mut level, task);
        if answer.worth.is_some() {
            level.reduction.expand(&level.best, keep, &mut level.trial);
        }
        self.spare.push(level);
        answer
    }

    /// Solves what the reductions left, into `level.best`.
    fn search(&mut self, exact: &mut Exact, level: &mut Level, task: Task) -> Answer {
        let left = level.reduction.left();
        if left.tokens[0] > task.budget {
            return Answer { worth: None, bound: f64::NEG_INFINITY };
        }
        let mut answer = Answer { worth: None, bound: f64::INFINITY };
        let mut floor = task.cutoff;
        level.under.clear();
        level.under.resize(left.len(), false);
        level.under[0] = true;
        let mut under = Point { worth: left.value[0], tokens: left.tokens[0] };
        if under.worth > floor {
            floor = under.worth;
            answer.worth = Some(floor);
            level.best.clone_from(&level.under);
        }
        if left.len() == 1 {
            answer.bound = under.worth;
            return answer;
        }
        // The line through the two selections that the budget lies between gives the next price.
        let mut over: Option<Point> = None;
        let mut price = task.price;
        for round in 0..MOST_PRICES {
            if let Some(over) = over {
                price = (over.worth - under.worth) / (over.tokens - under.tokens) as f64;
            } else if round > 0 {
                price = 0.0;
            }
            level.priced.load_priced(left, price);
            level.priced.hints.clear();
            let found = exact.solve(&level.priced, task.gain, &mut level.trial);
            answer.bound = answer.bound.min(found.bound + price * task.budget as f64);
            let point = Point {
                worth: left.worth(&level.trial, task.gain, &mut self.seen),
                tokens: left.tokens_of(&level.trial),
            };
            let fits = point.tokens <= task.budget;
            let line = over.unwrap_or(under);
            let ahead =
                (point.worth - line.worth) - price * (point.tokens as f64 - line.tokens as f64);
            let settled = over.is_some() && ahead <= TOLERANCE;
            let mut held = point;
            if fits {
                under = point;
                level.under.clone_from(&level.trial);
            } else {
                over = Some(point);
                level.over.clone_from(&level.trial);
                shed(left, Task { price, ..task }, &mut level.trial);
            }
            self.fill(left, task, &mut level.trial);
            held.worth = left.worth(&level.trial, task.gain, &mut self.seen);
            held.tokens = left.tokens_of(&level.trial);
            if held.tokens <= task.budget && held.worth > floor {
                floor = held.worth;
                answer.worth = Some(floor);
                level.best.clone_from(&level.trial);
            }
            let closed = answer.bound <= floor + TOLERANCE;
            // At price 0 a selection that fits is the best of all.
            if closed || settled || exact.clock.expired() || (fits && price == 0.0) {
                break;
            }
        }
        if answer.bound <= floor + TOLERANCE || exact.clock.expired() {
            return answer.closed();
        }
        // Without a selection over the budget the gap is one that the inner search gave up on.
        if task.nested == MOST_NESTED || over.is_none() {
            return answer;
        }
        self.branch(exact, level, Task { price, cutoff: floor, ..task }, answer)
    }

    /// Fixes by reduced cost at a price, then splits on a node that the two selections differ in.
    fn branch(
        &mut self,
        exact: &mut Exact,
        level: &mut Level,
        task: Task,
        mut answer: Answer,
    ) -> Answer {
        let Task { gain, price, cutoff: mut floor, .. } = task;
        level.priced.load_priced(level.reduction.left(), price);
        // A selection that fits and is worth more than `floor` exceeds this at the price.
        let cutoff = floor - price * task.budget as f64;
        // The best bound there is at this price is known already.
        let target = answer.bound - price * task.budget as f64;
        let near = NEAR * (target - cutoff);
        let steps = if task.nested == 0 { FIRST_STEPS } else { LATER_STEPS };
        let clock = &mut exact.clock;
        exact.counts.bounds += self.dual.run(&level.priced, gain, target, near, steps, clock);
        let fixed = self.dual.fix(&level.priced, gain, cutoff + TOLERANCE, &mut level.fix);
        self.dual.hints(&mut level.priced.hints);
        level.reduction.set_hints(&level.priced.hints);
        let left = level.reduction.left();
        let differ = (1..left.len())
            .filter(|&v| level.fix[v] == Fix::Free && level.over[v] != level.under[v])
            .max_by_key(|&v| (left.tokens[v], std::cmp::Reverse(v)));
        let free = || (1..left.len()).find(|&v| level.fix[v] == Fix::Free);
        let v = differ.or_else(free).unwrap_or(1);
        let branches: &[Option<bool>] = if 8 * fixed >= left.len() || level.fix[v] != Fix::Free {
            &[None]
        } else {
            exact.counts.branches += 1;
            &[Some(true), Some(false)]
        };
        let mut bound = f64::NEG_INFINITY;
        for &branch in branches {
            let mut fix = std::mem::take(&mut level.branch_fix);
            fix.clone_from(&level.fix);
            if let Some(kept) = branch {
                decide(&mut fix, &level.reduction.left().parent, v, kept);
            }
            let mut keep = std::mem::take(&mut level.trial);
            let left = level.reduction.left();
            let inner = Task { cutoff: floor, nested: task.nested + 1, ..task };
            let found = self.solve(exact, left, &fix, inner, &mut keep);
            if let Some(worth) = found.worth {
                floor = worth;
                answer.worth = Some(worth);
                level.best.clone_from(&keep);
            }
            bound = bound.max(found.bound);
            level.trial = keep;
            level.branch_fix = fix;
        }
        answer.bound = answer.bound.min(bound.max(floor));
        answer.closed()
    }

    /// Adds what pays and fits, in order.
    fn fill(&mut self, forest: &Forest, task: Task, keep: &mut [bool]) {
        self.seen.clear();
        self.seen.resize(forest.clusters, false);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            self.seen[k as usize] |= keep[v as usize];
        }
        let mut held = forest.tokens_of(keep);
        let mut e = 0;
        for v in 1..forest.len() {
            let first = e;
            while e < forest.owner.len() && forest.owner[e] as usize == v {
                e += 1;
            }
            if keep[v] {
                continue;
            }
            let new = forest.cover[first..e].iter().filter(|&&k| !self.seen[k as usize]).count();
            let (mut worth, mut tokens, mut up) = (task.gain * new as f64, 0, v);
            while !keep[up] {
                worth += forest.value[up];
                tokens += forest.tokens[up];
                up = forest.parent[up] as usize;
            }
            if worth > 0.0 && held + tokens <= task.budget {
                held += tokens;
                up = v;
                while !keep[up] {
                    keep[up] = true;
                    up = forest.parent[up] as usize;
                }
                forest.cover[first..e].iter().for_each(|&k| self.seen[k as usize] = true);
            }
        }
    }
}

/// Drops leaves of a selection that holds too much, the least worth for its tokens first.
///
/// Costs O((r + e) log r): what a leaf alone covers, and so its loss, only grows as others drop.
fn shed(forest: &Forest, task: Task, keep: &mut [bool]) {
    let mut carriers = vec![0_u32; forest.clusters];
    for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
        carriers[k as usize] += u32::from(keep[v as usize]);
    }
    let mut below = vec![0_u32; forest.len()];
    for v in (1..forest.len()).filter(|&v| keep[v]) {
        below[forest.parent[v] as usize] += 1;
    }
    let cover = |v: usize| {
        let first = forest.owner.partition_point(|&owner| (owner as usize) < v);
        let own = forest.owner[first..].iter().take_while(move |&&owner| owner as usize == v);
        own.zip(&forest.cover[first..]).map(|(_, &k)| k as usize)
    };
    // What a leaf loses, less what its tokens cost at the price.
    let loss = |v: usize, carriers: &[u32]| {
        let alone = cover(v).filter(|&k| carriers[k] == 1).count() as f64;
        forest.value[v] + task.gain * alone - task.price * forest.tokens[v] as f64
    };
    let mut held = forest.tokens_of(keep);
    let leaves = (1..forest.len()).filter(|&v| keep[v] && below[v] == 0);
    let mut heap: BinaryHeap<Leaf> =
        leaves.map(|node| Leaf { loss: loss(node, &carriers), node }).collect();
    while held > task.budget {
        let Some(Leaf { loss: listed, node }) = heap.pop() else { break };
        let now = loss(node, &carriers);
        if now > listed {
            heap.push(Leaf { loss: now, node });
            continue;
        }
        keep[node] = false;
        held -= forest.tokens[node];
        cover(node).for_each(|k| carriers[k] -= 1);
        let above = forest.parent[node] as usize;
        below[above] -= 1;
        if above != 0 && below[above] == 0 {
            heap.push(Leaf { loss: loss(above, &carriers), node: above });
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
