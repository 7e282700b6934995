//! Makes a good selection of the one that attains a bound.

use super::forest::Forest;
use super::groups::Groups;
use crate::clock::Clock;

/// Repairs selections; owns the scratch memory.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// The selection under repair, `[r]`.
    trial: Vec<bool>,
    /// Carriers of each cluster in it, `[K]`.
    tally: Vec<u32>,
    /// Worth of each subtree of it, `[r]`.
    margin: Vec<f64>,
}

impl Repair {
    /// Adds to a selection what pays, then drops what does not.
    ///
    /// `carriers` lists the forest's entries by cluster.
    pub fn run(
        &mut self,
        forest: &Forest,
        keep: &[bool],
        carriers: &Groups,
        gain: f64,
        clock: &mut Clock,
    ) -> &[bool] {
        self.trial.clear();
        self.trial.extend_from_slice(keep);
        self.count(forest);
        self.cover_more(forest, carriers, gain, clock);
        self.drop_losses(forest, gain);
        &self.trial
    }

    /// Counts the carriers of each cluster.
    fn count(&mut self, forest: &Forest) {
        self.tally.clear();
        self.tally.resize(forest.clusters, 0);
        for (&v, &k) in forest.owner.iter().zip(&forest.cover) {
            self.tally[k as usize] += u32::from(self.trial[v as usize]);
        }
    }

    /// Adds, for each uncovered cluster, the carrier whose path adds most, if it adds anything.
    ///
    /// Out of time, it does no more than a pass over the forest costs.
    fn cover_more(&mut self, forest: &Forest, carriers: &Groups, gain: f64, clock: &mut Clock) {
        let mut walked = 0;
        for k in 0..forest.clusters {
            if self.tally[k] > 0 {
                continue;
            }
            let (mut best, mut best_worth) = (0, 0.0);
            for &e in carriers.of(k) {
                let v = forest.owner[e as usize] as usize;
                let (mut worth, mut up, mut steps) = (gain, v, 1);
                while !self.trial[up] {
                    worth += forest.value[up];
                    up = forest.parent[up] as usize;
                    steps += 1;
                }
                if worth > best_worth {
                    (best, best_worth) = (v, worth);
                }
                walked += steps;
                if clock.after(steps) && walked > forest.len() + forest.owner.len() {
                    return;
                }
            }
            while !self.trial[best] {
                self.trial[best] = true;
                best = forest.parent[best] as usize;
            }
            self.tally[k] += u32::from(best_worth > 0.0);
        }
    }

    /// Drops, from the leaves up, the subtrees that cost more than they alone cover.
    fn drop_losses(&mut self, forest: &Forest, gain: f64) {
        self.count(forest);
        self.margin.clone_from(&forest.value);
        let mut e = forest.owner.len();
        for v in (1..forest.len()).rev() {
            let last = e;
            while e > 0 && forest.owner[e - 1] as usize == v {
                e -= 1;
            }
            if !self.trial[v] {
                continue;
            }
            let own = &forest.cover[e..last];
            let alone = own.iter().filter(|&&k| self.tally[k as usize] == 1).count();
            let margin = self.margin[v] + gain * alone as f64;
            if margin > 0.0 {
                self.margin[forest.parent[v] as usize] += margin;
            } else {
                self.trial[v] = false;
                own.iter().for_each(|&k| self.tally[k as usize] -= 1);
            }
        }
        for v in 1..forest.len() {
            self.trial[v] &= self.trial[forest.parent[v] as usize];
        }
    }
}
