//! The first multipliers of a bound, raised one after the other.

use super::dual::Dual;
use super::forest::Forest;
use super::subgradient::Relaxation;
use crate::clock::Clock;

impl Dual {
    /// Raises each multiplier in turn to where the bound falls no further: until as many members
    /// are kept as gains are above it.
    pub(super) fn ascend(&mut self, forest: &Forest, clock: &mut Clock) {
        self.evaluate(forest);
        if forest.gains.same().is_none() {
            let _ = (0..self.blocks.count(forest) as u32).any(|b| self.level(forest, b, clock));
            return;
        }
        for k in 0..forest.clusters() as u32 {
            for second in [false, true] {
                let mut least = forest.gains.next(k, 0) - self.multiplier[k as usize];
                for &e in self.blocks.entries(k as usize) {
                    let (need, steps) = self.need(forest, forest.owner[e as usize], least);
                    // The second time for the carrier after the first: the bound is level up to
                    // there.
                    if !second || need > 0.0 {
                        least = least.min(need);
                    }
                    if clock.after(steps) {
                        return;
                    }
                }
                let by = if second { 0.5 * least } else { least };
                if by > 0.0 {
                    self.raise(forest, k as usize, by, clock);
                }
            }
        }
    }

    /// Raises the multiplier of a block of gains to where what its carriers lack, in order, meets
    /// them; true where the time is up.
    fn level(&mut self, forest: &Forest, block: u32, clock: &mut Clock) -> bool {
        let (gains, multiplier) =
            (self.blocks.gains(&forest.gains, block), self.multiplier[block as usize]);
        if gains.is_empty() {
            return false;
        }
        let most = self
            .blocks
            .before(block)
            .map_or(gains[0], |b| self.multiplier[b as usize].min(gains[0]));
        let enough = gains[0] - multiplier;
        let mut needs = std::mem::take(&mut self.needs);
        needs.clear();
        for &e in self.blocks.entries(block as usize) {
            let (need, steps) = self.need(forest, forest.owner[e as usize], enough);
            needs.push(need);
            if clock.after(steps) {
                self.needs = needs;
                return true;
            }
        }
        needs.sort_unstable_by(f64::total_cmp);
        // With `m` kept the bound is level between the multiplier that keeps them, or that the next
        // gain is not above, and the one that would keep another, or that the last gain is not
        // above.
        let meets = needs.iter().zip(gains).take_while(|&(need, gain)| multiplier + need < *gain);
        let kept = meets.count();
        let low = needs[..kept].last().map_or(0.0, |need| multiplier + need);
        let low = low.max(gains.get(kept).copied().unwrap_or(0.0));
        let high = needs.get(kept).map_or(f64::INFINITY, |need| multiplier + need);
        let high = if kept > 0 { high.min(gains[kept - 1]) } else { high };
        self.needs = needs;
        let by = (0.5 * (low + high.min(gains[0]).max(low))).min(most) - multiplier;
        if by > 0.0 {
            self.raise(forest, block as usize, by, clock);
        }
        clock.expired()
    }

    /// What must be added to a node's value for it to be kept at the current multipliers, or
    /// `enough` and more; also returns how many nodes were looked at.
    fn need(&self, forest: &Forest, v: u32, enough: f64) -> (f64, usize) {
        let (mut need, mut at, mut steps) = (0.0, v as usize, 1);
        while at != 0 {
            need += (-self.sum[at]).max(0.0);
            if need >= enough {
                break;
            }
            at = forest.parent[at] as usize;
            steps += 1;
        }
        (need, steps)
    }

    /// Raises one multiplier; out of time, the sums may stay behind, for the next bound makes them
    /// anew.
    fn raise(&mut self, forest: &Forest, k: usize, by: f64, clock: &mut Clock) {
        self.multiplier[k] += by;
        for &e in self.blocks.entries(k) {
            let (mut v, mut more, mut steps) = (forest.owner[e as usize] as usize, by, 0);
            loop {
                steps += 1;
                let before = self.sum[v];
                self.sum[v] += more;
                more = self.sum[v].max(0.0) - before.max(0.0);
                if v == 0 || more <= 0.0 {
                    break;
                }
                v = forest.parent[v] as usize;
            }
            if clock.after(steps) {
                return;
            }
        }
    }
}
