//! The best selection within a budget, by lists of what the nodes up to a place can hold and be worth.

use super::forest::{Forest, Hint};
use super::groups::Groups;
use super::none::NONE;
use super::preorder::Preorder;
use crate::clock::Clock;

/// Clusters up to which a list tells which of them are covered.
const MOST_CLUSTERS: usize = u64::BITS as usize;
/// Parts for each node, on average, after which the lists are given up.
const MOST_PARTS: usize = 8;

/// Goes through a forest in preorder, with a list of parts at each place: of selections as far as
/// they are decided there.
///
/// A part leads to a kept node's next place, or past all that is below one not kept. Two rules
/// keep the lists short, and leave a best one of the selections that fit and are worth more than the
/// floor, where there is any:
///
/// - Of two parts at one place that cover the same of the clusters that are still carried at or
///   behind it, one that holds no more tokens and is worth no less stands for both: whatever goes on
///   with the other may go on with it.
/// - A part has a *loss*, and goes where that leaves no room. At the multipliers of a Lagrangian
///   bound a selection is worth the bound less what its decisions lose: the worth of a subtree (see
///   [`Forest::choose`]) where that is above 0 and the subtree is not kept, or below 0 and it is.
///   Its true worth is less by what the bound pays in vain: for a cluster that is not covered the gain
///   less what the cluster pays, and for one that is covered already each multiplier that is
///   collected again, as the path that covered it collected what the cluster pays.
#[derive(Debug, Default)]
pub(super) struct Knapsack {
    preorder: Preorder,
    /// Parts at each place, `[r + 1]`.
    lists: Vec<Vec<Part>>,
    taken: Vec<Taken>,
    /// Entries and hints by node; clusters by the place of their last carrier.
    members: Groups,
    collected: Groups,
    finished: Groups,
    last: Vec<u32>,
}

/// A selection as far as it is decided.
#[derive(Debug, Clone, Copy)]
struct Part {
    tokens: u64,
    worth: f64,
    loss: f64,
    /// Those of the clusters carried at or behind its place that it covers.
    covered: u64,
    /// The last kept node, in `taken`.
    taken: u32,
}

/// A kept node, and the kept node before it.
#[derive(Debug, Clone, Copy)]
struct Taken {
    node: u32,
    before: u32,
}

/// What a bound pays and collects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// Worth of each subtree at the multipliers given that its top is kept, `[r]`.
    pub sum: &'a [f64],
    /// What each cluster pays, `[K]`.
    pub paid: &'a [f64],
    pub multipliers: &'a [Hint],
    /// How much a selection may lose and still be worth more than the floor.
    pub room: f64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The lists grew too long, or time is up.
    TooLong,
    /// No selection that fits is worth more than the floor.
    Nothing,
    /// The best selection that fits.
    Best,
}

impl Knapsack {
    /// Finds the best selection within a budget that is worth more than a floor, where clusters have
    /// one gain or there are none.
    pub fn run(
        &mut self,
        forest: &Forest,
        (budget, floor): (u64, f64),
        terms: Terms<'_>,
        keep: &mut Vec<bool>,
        clock: &mut Clock,
    ) -> Outcome {
        if forest.clusters() > MOST_CLUSTERS {
            return Outcome::TooLong;
        }
        let r = forest.len();
        self.list(forest, terms.multipliers);
        let root = Part {
            tokens: forest.tokens[0],
            worth: forest.value[0],
            loss: 0.0,
            covered: 0,
            taken: NONE,
        };
        self.lists[1].push(root);
        let mut parts = 0;
        for at in 1..r {
            let mut list = std::mem::take(&mut self.lists[at]);
            shorten(&mut list);
            parts += list.len();
            if clock.after(list.len()) || parts > MOST_PARTS * r {
                return Outcome::TooLong;
            }
            list.iter().for_each(|&part| self.decide(forest, budget, terms, at, part));
            list.clear();
            self.lists[at] = list;
        }
        let better = self.lists[r].iter().filter(|part| part.worth > floor);
        let Some(best) = better.max_by(|a, b| a.worth.total_cmp(&b.worth)) else {
            return Outcome::Nothing;
        };
        keep.clear();
        keep.resize(r, false);
        keep[0] = true;
        let mut next = best.taken;
        while next != NONE {
            let Taken { node, before } = self.taken[next as usize];
            keep[node as usize] = true;
            next = before;
        }
        Outcome::Best
    }

    /// Lists what is asked for at each node and place.
    fn list(&mut self, forest: &Forest, multipliers: &[Hint]) {
        let r = forest.len();
        self.preorder.list(&forest.parent);
        self.members.list(r, forest.owner.len(), |e| forest.owner[e]);
        self.collected.list(r, multipliers.len(), |at| multipliers[at].node);
        self.last.clear();
        self.last.resize(forest.clusters(), 0);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            let last = &mut self.last[k as usize];
            *last = self.preorder.at[v as usize].max(*last);
        }
        self.finished.list(r, self.last.len(), |k| self.last[k]);
        self.taken.clear();
        self.lists.resize_with(self.lists.len().max(r + 1), Vec::new);
        // One that was given up left some, and every one clears what it goes through.
        self.lists[..=r].iter_mut().for_each(Vec::clear);
    }

    /// Goes on with a part at a place: with the node there, and without.
    fn decide(&mut self, forest: &Forest, budget: u64, terms: Terms<'_>, at: usize, part: Part) {
        let gain = forest.gains.same().unwrap_or(0.0);
        let node = self.preorder.node[at];
        let (v, end) = (node as usize, self.preorder.end(node) as usize);
        let sum = terms.sum[v];
        let mut without = Part { loss: part.loss + sum.max(0.0), ..part };
        self.pass(&mut without, gain, terms.paid, at, end);
        if without.loss < terms.room {
            self.lists[end].push(without);
        }
        let mut with = part;
        with.tokens += forest.tokens[v];
        with.loss += (-sum).max(0.0);
        for &hint in self.collected.of(v) {
            let Hint { cluster, multiplier, .. } = terms.multipliers[hint as usize];
            with.loss += if part.covered >> cluster & 1 == 1 { multiplier } else { 0.0 };
        }
        for &e in self.members.of(v) {
            with.covered |= 1 << forest.cover[e as usize];
        }
        let new = (with.covered & !part.covered).count_ones();
        with.worth += forest.value[v] + gain * f64::from(new);
        self.pass(&mut with, gain, terms.paid, at, at + 1);
        if with.loss < terms.room && with.tokens <= budget {
            self.taken.push(Taken { node, before: part.taken });
            with.taken = self.taken.len() as u32 - 1;
            self.lists[at + 1].push(with);
        }
    }

    /// Takes a part past places: what it does not cover of the clusters that are carried no further is
    /// lost.
    fn pass(&self, part: &mut Part, gain: f64, paid: &[f64], from: usize, to: usize) {
        let places = self.finished.places(from).start..self.finished.places(to - 1).end;
        for &k in &self.finished.items()[places] {
            part.loss += if part.covered >> k & 1 == 1 { 0.0 } else { gain - paid[k as usize] };
            part.covered &= !(1 << k);
        }
    }
}

/// Drops the parts for which another one stands.
fn shorten(list: &mut Vec<Part>) {
    list.sort_unstable_by(|a, b| {
        let same = a.covered.cmp(&b.covered).then(a.tokens.cmp(&b.tokens));
        same.then(b.worth.total_cmp(&a.worth)).then(a.taken.cmp(&b.taken))
    });
    let mut before = (0, f64::NEG_INFINITY);
    list.retain(|part| {
        let stays = part.covered != before.0 || part.worth > before.1;
        if stays {
            before = (part.covered, part.worth);
        }
        stays
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::answer::TOLERANCE;
    use super::super::fix::Fix;
    use super::super::path_dual::PathDual;
    use super::*;

    /// Forests of some nodes: values of either sign, members of a few clusters anywhere below the root.
    fn small_forest() -> impl Strategy<Value = Forest> {
        let gain = prop_oneof![Just(None), Just(Some(0.3)), Just(Some(1.0))];
        let value = prop_oneof![Just(0.0), Just(-0.2), -1.0..0.4];
        let member = proptest::option::weighted(0.8, 0_u32..3);
        let node = (0.0..1.0, value, 0_u64..6, member);
        (gain, proptest::collection::vec(node, 1..12)).prop_map(|(gain, nodes)| {
            let mut forest = Forest::default();
            forest.gains.clear(gain);
            forest.gains.push_same(if gain.is_some() { 3 } else { 0 });
            (forest.parent, forest.value, forest.tokens) = (vec![0], vec![0.1], vec![1]);
            for (v, (at, value, tokens, member)) in (1_u32..).zip(nodes) {
                forest.parent.push((at * f64::from(v)) as u32);
                forest.value.push(value);
                forest.tokens.push(tokens);
                if let Some(k) = member.filter(|_| gain.is_some()) {
                    forest.owner.push(v);
                    forest.cover.push(k);
                }
            }
            forest
        })
    }

    /// The most that any selection is worth which fits.
    fn brute_force(forest: &Forest, budget: u64) -> Option<f64> {
        let r = forest.len();
        let mut held = Vec::new();
        (0_u32..1 << (r - 1))
            .map(|bits| (0..r).map(|v| v == 0 || bits >> (v - 1) & 1 == 1).collect::<Vec<_>>())
            .filter(|keep| (1..r).all(|v| !keep[v] || keep[forest.parent[v] as usize]))
            .filter(|keep| forest.tokens_of(keep) <= budget)
            .map(|keep| forest.worth(&keep, &mut held))
            .reduce(f64::max)
    }

    /// Runs the lists at the multipliers that so many steps lead to.
    fn solved(
        forest: &Forest,
        (budget, floor): (u64, f64),
        price: f64,
        steps: u32,
    ) -> (Outcome, Vec<bool>) {
        let (mut priced, mut clock) = (Forest::default(), Clock::default());
        priced.load_priced(forest, price);
        let (mut dual, mut paid, mut keep) = (PathDual::default(), Vec::new(), Vec::new());
        dual.run(&priced, 0.0, 4, steps, &mut clock, |_, _, _| f64::NEG_INFINITY);
        dual.fix(&priced, floor - price * budget as f64, &mut Vec::<Fix>::new());
        dual.hints(&mut priced.hints);
        dual.paid(&priced, &mut paid);
        let room = dual.bound + price * budget as f64 - floor - TOLERANCE;
        let multipliers = &priced.hints;
        let terms = Terms { sum: &dual.sum, paid: &paid, multipliers, room };
        let mut lists = Knapsack::default();
        (lists.run(forest, (budget, floor), terms, &mut keep, &mut clock), keep)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// At any multipliers and prices, the best selection above the floor is found, or none is there.
        #[test]
        fn the_lists_end_with_the_best_selection(
            forest in small_forest(),
            (budget, price) in (1_u64..30, prop_oneof![Just(0.0), 0.0..0.3]),
            (steps, below) in (0_u32..30, prop_oneof![Just(1e-6), -0.3..0.6]),
        ) {
            let best = brute_force(&forest, budget).unwrap();
            let floor = best - below;
            let (outcome, keep) = solved(&forest, (budget, floor), price, steps);
            prop_assume!(outcome != Outcome::TooLong);
            if best > floor + 1e-9 {
                prop_assert_eq!(outcome, Outcome::Best);
                prop_assert!((forest.worth(&keep, &mut Vec::new()) - best).abs() < 1e-12);
                prop_assert!(forest.tokens_of(&keep) <= budget);
                let closed = |v: usize| !keep[v] || keep[forest.parent[v] as usize];
                prop_assert!((1..forest.len()).all(closed));
            } else if best < floor - 1e-9 {
                prop_assert_eq!(outcome, Outcome::Nothing);
            }
        }
    }

    /// The first leaf is worth more than the second, and covers what the third does for less.
    #[test]
    fn parts_that_cover_other_clusters_stand_for_themselves() {
        let mut forest = Forest {
            parent: vec![0; 5],
            value: vec![0.0, -0.1, -0.5, -0.05, -0.9],
            tokens: vec![0, 1, 1, 1, 1],
            owner: vec![1, 2, 3, 4],
            cover: vec![0, 1, 0, 1],
            ..Forest::default()
        };
        forest.gains.clear(Some(1.0));
        forest.gains.push_same(2);
        for floor in [-1.0, 1.41] {
            let (outcome, keep) = solved(&forest, (2, floor), 0.0, 10);
            assert_eq!(outcome, Outcome::Best);
            assert_eq!(keep, [true, false, true, true, false]);
        }
    }
}
