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
        clock: &mut Clock,
    ) -> &[bool] {
        self.trial.clear();
        self.trial.extend_from_slice(keep);
        forest.count_held(&self.trial, &mut self.tally);
        self.add_members(forest, carriers, clock);
        self.drop_losses(forest);
        &self.trial
    }

    /// Adds, for each cluster, the carrier whose path adds most, as long as it adds anything.
    ///
    /// Out of time, it does no more than a pass over the forest costs.
    fn add_members(&mut self, forest: &Forest, carriers: &Groups, clock: &mut Clock) {
        let mut walked = 0;
        let single = forest.gains.same().is_some();
        for k in 0..forest.clusters() as u32 {
            loop {
                let gain = forest.gains.next(k, self.tally[k as usize]);
                if gain == 0.0 {
                    break;
                }
                let (mut best, mut best_worth) = (0, 0.0);
                for &e in carriers.of(k as usize) {
                    let v = forest.owner[e as usize] as usize;
                    if self.trial[v] && !single {
                        continue;
                    }
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
                    if !single {
                        let own = forest.members_of(best).iter();
                        own.for_each(|&k| self.tally[k as usize] += 1);
                    }
                    best = forest.parent[best] as usize;
                }
                if single {
                    self.tally[k as usize] += u32::from(best_worth > 0.0);
                    break;
                }
                if best_worth == 0.0 {
                    break;
                }
            }
        }
    }

    /// Drops, from the leaves up, the subtrees that cost more than they alone cover.
    fn drop_losses(&mut self, forest: &Forest) {
        forest.count_held(&self.trial, &mut self.tally);
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
            let margin = self.margin[v] + forest.gains.lost(own, &mut self.tally);
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
