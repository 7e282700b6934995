//! Sets that are joined, and told apart.

/// Sets of the items `0..n`, that can be joined: union-find with path halving.
#[derive(Debug, Default)]
pub(crate) struct DisjointSets {
    parent: Vec<u32>,
}

impl DisjointSets {
    /// Makes `n` sets of one item each.
    pub fn new(n: usize) -> Self {
        let mut sets = Self::default();
        sets.reset(n);
        sets
    }

    /// Starts anew with `n` sets of one item each.
    pub fn reset(&mut self, n: usize) {
        self.parent.clear();
        self.parent.extend(0..n as u32);
    }

    /// Finds the smallest item of an item's set.
    pub fn root(&mut self, i: usize) -> usize {
        let mut at = i as u32;
        loop {
            let above = self.parent[at as usize];
            if above == at {
                return at as usize;
            }
            let next = self.parent[above as usize];
            self.parent[at as usize] = next;
            at = next;
        }
    }

    /// Joins the sets of two items.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b) as u32;
    }

    /// Numbers the sets in order of first appearance.
    pub fn labels(&mut self) -> Vec<usize> {
        self.labels_of(0..self.parent.len())
    }

    /// Numbers the sets of some items in order of first appearance there.
    pub fn labels_of(&mut self, items: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut label_of = vec![usize::MAX; self.parent.len()];
        let mut next = 0;
        items
            .into_iter()
            .map(|i| {
                let root = self.root(i);
                if label_of[root] == usize::MAX {
                    label_of[root] = next;
                    next += 1;
                }
                label_of[root]
            })
            .collect()
    }

    /// Lists the sets of two or more in order of first appearance, members in ascending order.
    pub fn members(&mut self) -> Vec<Vec<usize>> {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for (i, label) in self.labels().into_iter().enumerate() {
            if label == sets.len() {
                sets.push(Vec::new());
            }
            sets[label].push(i);
        }
        sets.retain(|members| members.len() > 1);
        sets
    }
}
