//! The exact method: reductions, components, and Lagrangian branch and bound.

use super::answer::{Answer, TOLERANCE};
use super::bounds::Bounds;
use super::components::Components;
use super::counts::Counts;
use super::dual::Dual;
use super::fix::{Fix, decide, follow};
use super::forest::Forest;
use super::path_dual::PathDual;
use super::presolve::Presolve;
use super::problem::Problem;
use super::reduction::Reduction;
use super::submodular::{Outcome, Submodular};
use crate::clock::Clock;

/// Branches inside one another, after which a proof is given up: it would take for ever, and each
/// holds memory.
pub(super) const MOST_NESTED: usize = 200;

/// Steps towards the bound before the first branch, and after it.
const FIRST_STEPS: u32 = 150;
const LATER_STEPS: u32 = 60;

/// Branches of a component before paths are tried.
const FEW_BRANCHES: u64 = 32;
/// Steps of that trial, and the part of the gap that each may leave open for paths to be worth it.
const TRIAL: [(u32, f64); 2] = [(50, 0.94), (400, 0.4)];
/// Nodes above carriers, for each node and entry of a component, up to which paths are tried.
const MOST_ABOVE: usize = 4;
/// Steps by paths without progress before they become shorter.
const PATIENCE: u32 = 20;
/// Branches bounded by paths, which pay where few are needed.
const MOST_PATH_BRANCHES: u64 = 100;

/// Solves forests; owns the scratch memory, reused from one to the next.
#[derive(Debug, Default)]
pub(super) struct Exact {
    presolve: Presolve,
    dual: Dual,
    paths: PathDual,
    bounds: Bounds,
    /// The component in work, its bound by clusters and the worth of the best selection known then.
    whole: Forest,
    whole_bound: f64,
    whole_floor: f64,
    /// Nodes between each node and the root, `[r]`.
    depth: Vec<u32>,
    /// The search over inner nodes where those are few, and where they are up to twice as many.
    narrow: Submodular<u64>,
    wide: Submodular<u128>,
    held: Vec<u32>,
    /// Spare memory for the levels of the search.
    spare: Vec<Level>,
    pub clock: Clock,
    pub counts: Counts,
    /// Branches after which a proof is left open.
    pub branches_left: u64,
    /// Leaves all to the Lagrangian bound.
    #[cfg(test)]
    pub only_by_bounds: bool,
    /// Tries paths after the first branch, and takes them whatever comes of it.
    #[cfg(test)]
    pub paths_anyway: bool,
}

/// One level of the search: a forest reduced and split, and the part in work.
#[derive(Debug, Default)]
struct Level {
    reduction: Reduction,
    components: Components,
    /// Selection of what the reductions left.
    chosen: Vec<bool>,
    /// The component in work, and its selection.
    part: Forest,
    part_keep: Vec<bool>,
    fix: Vec<Fix>,
    branch_fix: Vec<Fix>,
    scratch: Vec<bool>,
}

impl Exact {
    /// Starts a new count, with a new deadline.
    pub fn begin(&mut self, clock: Clock) {
        self.clock = clock;
        self.counts = Counts::default();
        self.branches_left = u64::MAX;
    }

    /// Finds the best selection of a whole problem, every value times `unit`.
    ///
    /// `kept` says whether each node of `left` is kept, and `place` which of those each of the
    /// problem's nodes became part of.
    pub fn solve_problem(
        &mut self,
        problem: &Problem,
        unit: f64,
        place: &mut Vec<u32>,
        left: &mut Forest,
        kept: &mut Vec<bool>,
    ) -> Answer {
        self.presolve.sweep(problem, unit, place, left, &mut self.counts.tally);
        self.clock.after(problem.parent.len() + problem.leaf.len());
        if left.len() == 1 {
            kept.clear();
            kept.push(true);
            return Answer { worth: Some(left.value[0]), bound: left.value[0] };
        }
        self.solve(left, kept)
    }

    /// Finds the best selection where further members of a cluster add to it and few nodes are inner.
    fn by_inner_nodes(&mut self, forest: &Forest, keep: &mut Vec<bool>) -> Option<Answer> {
        #[cfg(test)]
        if self.only_by_bounds {
            return None;
        }
        // The one gain of the published rule has its own reductions, which mostly settle it sooner.
        if forest.gains.same().is_some() {
            return None;
        }
        let mut outcome = self.narrow.run(forest, keep, &mut self.clock);
        self.counts.branches += self.narrow.branches;
        if outcome == Outcome::TooWide {
            outcome = self.wide.run(forest, keep, &mut self.clock);
            self.counts.branches += self.wide.branches;
        }
        if outcome != Outcome::Found {
            return None;
        }
        let worth = forest.worth(keep, &mut self.held);
        Some(Answer { worth: Some(worth), bound: worth })
    }

    /// Finds the best selection of a forest.
    pub fn solve(&mut self, forest: &Forest, keep: &mut Vec<bool>) -> Answer {
        if let Some(answer) = self.by_inner_nodes(forest, keep) {
            if self.counts.components == 0 {
                self.counts.residual_nodes = forest.len() - 1;
                self.counts.residual_clusters = forest.clusters();
                self.counts.components = 1;
            }
            return answer;
        }
        self.solve_fixed(forest, &[], f64::NEG_INFINITY, 0, keep)
    }

    /// Finds the best selection worth more than `cutoff`, some nodes fixed (`fix` empty: none).
    fn solve_fixed(
        &mut self,
        forest: &Forest,
        fix: &[Fix],
        cutoff: f64,
        nested: usize,
        keep: &mut Vec<bool>,
    ) -> Answer {
        let mut level = self.spare.pop().unwrap_or_default();
        let tally = &mut self.counts.tally;
        let (presolve, clock) = (&mut self.presolve, &mut self.clock);
        level.reduction.run(forest, fix, presolve, tally, clock);
        let answer = self.solve_components(&mut level, cutoff, nested);
        if answer.worth.is_some() {
            level.reduction.expand(&level.chosen, keep, &mut level.scratch);
        }
        self.spare.push(level);
        answer
    }

    /// Solves what the reductions left, one component after the other, into `chosen`.
    fn solve_components(&mut self, level: &mut Level, cutoff: f64, nested: usize) -> Answer {
        let left = level.reduction.left();
        level.chosen.clear();
        level.chosen.resize(left.len(), false);
        level.chosen[0] = true;
        let settled = left.value[0];
        let components = level.components.split(left);
        self.clock.after(left.len() + left.owner.len());
        if nested == 0 && self.counts.components == 0 {
            self.counts.residual_nodes = left.len() - 1;
            self.counts.residual_clusters = left.clusters();
            self.counts.components = components;
        }
        let (mut worth, mut bound) = (settled, settled);
        // All nodes that are left cost something, so that a component is worth its gains at most.
        let mut hope = left.gains.total();
        for at in 0..components {
            level.components.load(at, level.reduction.left(), &mut level.part);
            hope -= level.part.gains.total();
            let floor = cutoff - worth - hope;
            let answer = self.solve_component(level, floor, nested);
            bound += answer.bound.max(answer.worth.unwrap_or(0.0));
            let Some(found) = answer.worth else {
                // Together with the best of all others this stays below the cutoff.
                return Answer { worth: None, bound: bound + hope };
            };
            worth += found;
            for (&v, &kept) in level.components.members(at).iter().zip(&level.part_keep[1..]) {
                level.chosen[v as usize] = kept;
            }
        }
        Answer { worth: (worth > cutoff).then_some(worth), bound }
    }

    /// Solves `level.part` into `level.part_keep`.
    ///
    /// Most components take a few branches at most. One that takes more is tried by paths, whose bound
    /// is much tighter where carriers of a cluster share parts of their paths, and costs more. Where
    /// that pays, the component is started again: what was left is bounded by nothing, and what was
    /// found by then stands. Any multipliers give a bound of either kind (see [`Dual`] and
    /// [`PathDual`]), so that it may change from node to node, and each fixes nodes by its own reduced
    /// costs.
    fn solve_component(&mut self, level: &mut Level, cutoff: f64, nested: usize) -> Answer {
        if let Some(answer) = self.by_inner_nodes(&level.part, &mut level.part_keep) {
            return Answer { worth: answer.worth.filter(|&worth| worth > cutoff), ..answer };
        }
        if nested > 0 {
            if self.bounds == Bounds::ClustersFor(0) {
                self.bounds = if self.paths_pay() { Bounds::Left } else { Bounds::Clusters };
            }
            if self.bounds == Bounds::Left {
                return Answer { worth: None, bound: f64::INFINITY };
            }
            self.bound(&mut level.part, cutoff, LATER_STEPS);
            return self.split(level, nested);
        }
        self.bounds = Bounds::Clusters;
        self.bound(&mut level.part, cutoff, FIRST_STEPS);
        (self.whole_bound, self.whole_floor) = (self.dual.bound, self.dual.floor);
        let open = self.whole_bound > self.whole_floor + TOLERANCE;
        let few = FEW_BRANCHES;
        #[cfg(test)]
        let few = if self.paths_anyway { 0 } else { few };
        // A path pays for one member, so that prices of paths say nothing of further ones.
        if open && level.part.gains.same().is_some() && self.branches_left > few {
            self.whole.clone_from(&level.part);
            self.bounds = Bounds::ClustersFor(few);
        }
        let first = self.split(level, nested);
        if self.bounds != Bounds::Left {
            return first;
        }
        // The trial was the last to bound anything, and it bounded the same component.
        self.bounds = Bounds::PathsFor(MOST_PATH_BRANCHES);
        std::mem::swap(&mut level.part.hints, &mut self.whole.hints);
        let floor = first.worth.unwrap_or(cutoff);
        if self.dual.floor <= floor {
            self.dual.floor = floor;
            self.dual.found = false;
        }
        first.over(&[None], floor, |_, _| self.split(level, nested))
    }

    /// Tries paths on the whole component; leaves their multipliers in it, and in `dual` and `paths`
    /// what they found.
    fn paths_pay(&mut self) -> bool {
        let Self { whole, dual, paths, clock, counts, .. } = self;
        self.depth.clear();
        self.depth.push(0);
        for &above in &whole.parent[1..] {
            self.depth.push(self.depth[above as usize] + 1);
        }
        let above: usize = whole.owner.iter().map(|&v| self.depth[v as usize] as usize).sum();
        let size = whole.len() + whole.owner.len();
        if clock.after(size) || above > MOST_ABOVE * size {
            return false;
        }
        dual.begin(whole, self.whole_floor);
        TRIAL.iter().zip([false, true]).all(|(&(steps, part), repairs)| {
            // Better selections close the gap too, and say nothing of the bound.
            let see = |keep: &[bool], is_good: bool, clock: &mut Clock| {
                dual.see_other(whole, keep, is_good && repairs, clock)
            };
            counts.bounds += paths.run(whole, TOLERANCE, PATIENCE, steps, clock, see);
            dual.bound = paths.bound;
            paths.hints(&mut whole.hints);
            let pays = dual.bound - dual.floor <= part * (self.whole_bound - dual.floor);
            #[cfg(test)]
            let pays = pays || self.paths_anyway;
            pays && !clock.expired()
        })
    }

    /// Bounds a component, and finds selections on the way.
    fn bound(&mut self, part: &mut Forest, cutoff: f64, steps: u32) {
        let Self { dual, paths, clock, counts, .. } = self;
        if self.bounds.by_paths() {
            dual.begin(part, cutoff);
            let see = |keep: &[bool], is_good: bool, clock: &mut Clock| {
                dual.see_other(part, keep, is_good, clock)
            };
            counts.bounds += paths.run(part, TOLERANCE, PATIENCE, steps, clock, see);
            dual.bound = paths.bound;
            paths.hints(&mut part.hints);
        } else {
            counts.bounds += dual.run(part, cutoff, steps, TOLERANCE, clock);
        }
    }

    /// Takes over what the bound of `level.part` found, and branches where that leaves a gap.
    fn split(&mut self, level: &mut Level, nested: usize) -> Answer {
        let part = &mut level.part;
        let mut answer = Answer { worth: None, bound: self.dual.bound };
        let floor = self.dual.floor;
        if self.dual.found {
            answer.worth = Some(floor);
            level.part_keep.clone_from(&self.dual.incumbent);
        }
        if answer.bound <= floor + TOLERANCE || self.clock.expired() {
            return answer.closed();
        }
        if nested == MOST_NESTED || self.branches_left == 0 {
            return answer;
        }
        let fixed = if self.bounds.by_paths() {
            self.paths.fix(part, floor + TOLERANCE, &mut level.fix)
        } else {
            self.dual.fix(part, floor, TOLERANCE, &mut level.fix)
        };
        let (v, rather_in) = self.dual.branch(part, &level.fix);
        // Many fixed nodes leave a much smaller forest, which is worth bounding afresh first.
        let branches: &[Option<bool>] = if 4 * fixed >= part.len() {
            &[None]
        } else {
            self.counts.branches += 1;
            self.branches_left -= 1;
            self.bounds.branch();
            if rather_in { &[Some(true), Some(false)] } else { &[Some(false), Some(true)] }
        };
        answer.over(branches, floor, |branch, floor| {
            let Level { part, part_keep, fix, branch_fix, scratch, .. } = level;
            branch_fix.clone_from(fix);
            if let Some(kept) = branch {
                decide(branch_fix, &part.parent, v, kept);
                if part.gains.same().is_none() {
                    follow(part, branch_fix, v, kept);
                }
            }
            let found = self.solve_fixed(part, branch_fix, floor, nested + 1, scratch);
            if found.worth.is_some() {
                part_keep.clone_from(scratch);
            }
            found
        })
    }
}
