//! The part of a cluster's gains that each of its members adds, whatever else is kept.

use super::counts::Tally;
use super::gains::Gains;
use super::none::NONE;

/// Splits the gains of each cluster: a base that is folded into its carriers' values, and what is
/// left open above it.
///
/// Of `n` members none adds less than the `n`-th gain `g_n`, so with `m` of them kept
///
/// ```text
/// g_1 + ... + g_m  =  m g_n + (g_1 - g_n) + ... + (g_m - g_n)
/// ```
///
/// and the first term is a value of the members' own. What is left is a cluster whose `n`-th gain is
/// 0. Where one node carries all `n`, they are kept together or not at all, and nothing is left.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// Members of each cluster, `[K]`.
    members: Vec<u32>,
    /// What of each gain of a cluster is folded, `[K]`.
    base: Vec<f64>,
    /// How many gains are larger than that, `[K]`.
    open: Vec<u32>,
    /// The first node that carries each cluster, and whether another one does, `[K]`.
    carrier: Vec<(u32, bool)>,
}

impl Fold {
    /// Splits the gains of clusters whose members are the entries: a node, and the cluster of which
    /// it carries a member.
    pub fn run(
        &mut self,
        gains: &Gains,
        entries: usize,
        entry: impl Fn(usize) -> (u32, u32),
        tally: &mut Tally,
    ) {
        let clusters = gains.clusters();
        self.members.clear();
        self.members.resize(clusters, 0);
        (0..entries).map(&entry).for_each(|(_, k)| self.members[k as usize] += 1);
        self.base.clear();
        self.open.clear();
        if let Some(gain) = gains.same() {
            // A node carries one member at most, for a second one would add nothing.
            let alone = |&members: &u32| members == 1;
            self.base.extend(self.members.iter().map(|of| if alone(of) { gain } else { 0.0 }));
            self.open.extend(self.members.iter().map(|of| u32::from(!alone(of))));
            tally.folded += self.members.iter().filter(|of| alone(of)).count() as u64;
            return;
        }
        self.carrier.clear();
        self.carrier.resize(clusters, (NONE, false));
        for (v, k) in (0..entries).map(entry) {
            let (first, other) = &mut self.carrier[k as usize];
            *other |= *first != NONE && *first != v;
            *first = if *first == NONE { v } else { *first };
        }
        for (k, &members) in (0_u32..).zip(&self.members) {
            let of = &gains.of(k)[..gains.of(k).len().min(members as usize)];
            let (base, open) = if members == 0 {
                (0.0, 0)
            } else if self.carrier[k as usize].1 {
                let base = if of.len() == members as usize { of[of.len() - 1] } else { 0.0 };
                (base, of.partition_point(|&gain| gain - base > 0.0))
            } else {
                (of.iter().sum::<f64>() / f64::from(members), 0)
            };
            self.base.push(base);
            self.open.push(open as u32);
            tally.folded += u64::from(base > 0.0);
        }
    }

    /// What each member of a cluster adds at least.
    pub fn base(&self, k: u32) -> f64 {
        self.base[k as usize]
    }

    /// How many members of a cluster add more than that.
    pub fn open(&self, k: u32) -> u32 {
        self.open[k as usize]
    }

    /// What further members add above the base to `held` kept ones, one after the other.
    pub fn rest<'a>(&self, gains: &'a Gains, k: u32, held: u32) -> impl Iterator<Item = f64> + 'a {
        let (base, open) = (self.base(k), held as usize..self.open(k) as usize);
        gains.of(k).get(open).unwrap_or_default().iter().map(move |gain| gain - base)
    }

    /// What a further member adds above the base to `held` kept ones.
    pub fn gain(&self, gains: &Gains, k: u32, held: u32) -> f64 {
        if held < self.open(k) { gains.next(k, held) - self.base(k) } else { 0.0 }
    }
}
