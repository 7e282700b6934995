//! What the kept members of a cluster add, one after the other.

/// For each cluster the gain of its first kept member, of its second, and so on: each above 0 and
/// none larger than the one before. Members behind the last of them add nothing.
///
/// So the worth of `m` members, the sum of the first `m` gains, is concave in `m`: the last of them
/// adds least, and no set of members is worth more than its parts are worth alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Gains {
    /// The gain of every cluster's first member, where that is the same and no further one adds
    /// anything; the lists are empty then.
    same: Option<f64>,
    clusters: usize,
    /// Where the gains of each cluster start in `each`, `[K + 1]`.
    start: Vec<u32>,
    each: Vec<f64>,
}

impl Gains {
    /// Starts anew with no cluster; all will have the one gain `same`, where there is one.
    pub fn clear(&mut self, same: Option<f64>) {
        self.same = same;
        self.clusters = 0;
        self.start.clear();
        self.start.push(0);
        self.each.clear();
    }

    /// Adds clusters that have the one gain there is.
    pub fn push_same(&mut self, clusters: usize) {
        self.clusters += clusters;
    }

    /// Adds a cluster with these gains, up to the first that is not above 0.
    pub fn push(&mut self, gains: impl Iterator<Item = f64>) {
        self.clusters += 1;
        self.each.extend(gains.take_while(|&gain| gain > 0.0));
        self.start.push(self.each.len() as u32);
    }

    /// Adds a cluster of another problem as it is.
    pub fn push_of(&mut self, other: &Self, k: u32) {
        match self.same {
            Some(_) => self.clusters += 1,
            None => self.push(other.of(k).iter().copied()),
        }
    }

    /// Takes over the gains of another problem, times `unit`.
    pub fn copy_scaled(&mut self, other: &Self, unit: f64) {
        self.clear(other.same.map(|gain| gain * unit));
        self.clusters = other.clusters;
        self.start.clone_from(&other.start);
        self.each.extend(other.each.iter().map(|gain| gain * unit));
    }

    /// The one gain that every cluster has, if that is all they have.
    pub fn same(&self) -> Option<f64> {
        self.same
    }

    /// How many clusters there are.
    pub fn clusters(&self) -> usize {
        self.clusters
    }

    /// The gains of a cluster.
    pub fn of(&self, k: u32) -> &[f64] {
        match &self.same {
            Some(gain) => std::slice::from_ref(gain),
            None => {
                &self.each[self.start[k as usize] as usize..self.start[k as usize + 1] as usize]
            }
        }
    }

    /// What one more member of a cluster adds to `held` kept ones.
    pub fn next(&self, k: u32, held: u32) -> f64 {
        match self.same {
            Some(gain) if held == 0 => gain,
            Some(_) => 0.0,
            None => self.of(k).get(held as usize).copied().unwrap_or(0.0),
        }
    }

    /// What all members of all clusters are worth.
    pub fn total(&self) -> f64 {
        match self.same {
            Some(gain) => gain * self.clusters as f64,
            None => self.each.iter().sum(),
        }
    }

    /// What `held` kept members of each cluster are worth, `[K]`.
    pub fn worth(&self, held: &[u32]) -> f64 {
        match self.same {
            Some(gain) => gain * held.iter().filter(|&&held| held > 0).count() as f64,
            None => (0..)
                .zip(held)
                .map(|(k, &held)| self.of(k).iter().take(held as usize).sum::<f64>())
                .sum(),
        }
    }

    /// What further members, given by their clusters, add to `held` kept ones; `held` is as before
    /// when this returns.
    pub fn added(&self, members: &[u32], held: &mut [u32]) -> f64 {
        if let Some(gain) = self.same {
            return gain * members.iter().filter(|&&k| held[k as usize] == 0).count() as f64;
        }
        let mut sum = 0.0;
        for &k in members {
            sum += self.next(k, held[k as usize]);
            held[k as usize] += 1;
        }
        members.iter().for_each(|&k| held[k as usize] -= 1);
        sum
    }

    /// What is lost without some of the `held` kept members, given by their clusters; `held` is as
    /// before when this returns.
    pub fn lost(&self, members: &[u32], held: &mut [u32]) -> f64 {
        if let Some(gain) = self.same {
            return gain * members.iter().filter(|&&k| held[k as usize] == 1).count() as f64;
        }
        let mut sum = 0.0;
        for &k in members {
            held[k as usize] -= 1;
            sum += self.next(k, held[k as usize]);
        }
        members.iter().for_each(|&k| held[k as usize] += 1);
        sum
    }
}
