//! A forest's nodes in preorder: what lies at and below a node is one stretch.

/// Numbers nodes in preorder, siblings in order; the buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Preorder {
    /// Number of each node, `[r]`.
    pub at: Vec<u32>,
    /// The node of each number, `[r]`.
    pub node: Vec<u32>,
    /// Nodes at and below each node, `[r]`.
    size: Vec<u32>,
    /// Number of the next child of each node while they are given out, `[r]`.
    next: Vec<u32>,
}

impl Preorder {
    /// Numbers the nodes of a tree, given each one's parent (before its children). O(r).
    pub fn list(&mut self, parent: &[u32]) {
        let r = parent.len();
        let Self { at, node, size, next } = self;
        size.clear();
        size.resize(r, 1);
        for v in (1..r).rev() {
            size[parent[v] as usize] += size[v];
        }
        for list in [&mut *at, &mut *node] {
            list.clear();
            list.resize(r, 0);
        }
        next.clear();
        next.resize(r, 1);
        for v in 1..r {
            let free = &mut next[parent[v] as usize];
            let number = *free;
            *free += size[v];
            next[v] = number + 1;
            at[v] = number;
            node[number as usize] = v as u32;
        }
    }

    /// The number behind the last node at or below one.
    pub fn end(&self, v: u32) -> u32 {
        self.at[v as usize] + self.size[v as usize]
    }

    /// Lists the nodes at and below one, ascending by their own numbers; O(s log s) for `s` nodes.
    pub fn below(&self, top: u32, nodes: &mut Vec<u32>) {
        let stretch = self.at[top as usize]..self.end(top);
        nodes.clear();
        // A large part of all is sorted faster by looking through them.
        if stretch.len() >= self.node.len() / 16 {
            let all =
                (top..self.node.len() as u32).filter(|&v| stretch.contains(&self.at[v as usize]));
            nodes.extend(all);
        } else {
            nodes.extend(&self.node[stretch.start as usize..stretch.end as usize]);
            nodes.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_below_a_node_is_one_stretch(
            reach in prop_oneof![Just(1_u32), Just(2), Just(200)],
            at in proptest::collection::vec(0.0..1.0, 1..60),
        ) {
            let above = |(v, at): (u32, &f64)| v - 1 - (at * f64::from(v.min(reach))) as u32;
            let mut parent = vec![0];
            parent.extend((0_u32..).zip(&at).skip(1).map(above));
            let is_below = |mut v: u32, top: u32| {
                while v > top {
                    v = parent[v as usize];
                }
                v == top
            };
            let (mut preorder, mut nodes) = (Preorder::default(), Vec::new());
            for _ in 0..2 {
                preorder.list(&parent);
                for top in 0..parent.len() as u32 {
                    let all = 0..parent.len() as u32;
                    let naive: Vec<u32> = all.filter(|&v| is_below(v, top)).collect();
                    preorder.below(top, &mut nodes);
                    prop_assert_eq!(&nodes, &naive);
                    let stretch = preorder.at[top as usize] as usize..preorder.end(top) as usize;
                    let mut listed = preorder.node[stretch].to_vec();
                    listed.sort_unstable();
                    prop_assert_eq!(&listed, &naive);
                }
            }
        }
    }
}
