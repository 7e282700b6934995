//! Which rows are equal bit for bit: steps repeat, and what repeats need be looked at only once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::rows::Rows;

impl<T: Copy + Into<f64>> Rows<'_, T> {
    /// Keeps the last of the rows that are equal bit for bit, with how many they are; also says which
    /// of those kept each row equals, `[n]`.
    ///
    /// Costs O(n dim) at most. Rows that are not equal mostly show it at a glance.
    pub(crate) fn distinct(mut self) -> (Self, Vec<usize>) {
        let n = self.len();
        let mut by_glance: HashMap<u64, usize> = HashMap::with_capacity(n);
        // Of those that a glance does not tell from another.
        let mut by_entries: HashMap<u64, Vec<usize>> = HashMap::new();
        // From the last to the first, and so numbered.
        let mut kept: Vec<usize> = Vec::with_capacity(n);
        let mut copies: Vec<u32> = Vec::with_capacity(n);
        let mut equal_to = vec![0; n];
        for i in (0..n).rev() {
            let new = kept.len();
            let number = match by_glance.entry(self.glance(i)) {
                Entry::Vacant(entry) => *entry.insert(new),
                Entry::Occupied(entry) if self.are_equal(i, kept[*entry.get()]) => *entry.get(),
                Entry::Occupied(_) => {
                    let alike = by_entries.entry(self.hash(i)).or_default();
                    let equal = alike.iter().find(|&&number| self.are_equal(i, kept[number]));
                    equal.copied().unwrap_or_else(|| {
                        alike.push(new);
                        new
                    })
                }
            };
            if number == new {
                kept.push(i);
                copies.push(0);
            }
            copies[number] += 1;
            equal_to[i] = number;
        }
        let last = kept.len() - usize::from(n > 0);
        equal_to.iter_mut().for_each(|number| *number = last - *number);
        kept.reverse();
        copies.reverse();
        if kept.len() < n {
            self.keep(&kept, copies);
        }
        (self, equal_to)
    }

    fn are_equal(&self, i: usize, j: usize) -> bool {
        const TOGETHER: usize = 16;
        let bits = |(&x, &y): (&T, &T)| x.into().to_bits() ^ y.into().to_bits();
        let (a, b) = (self.row(i).0, self.row(j).0);
        a.chunks(TOGETHER)
            .zip(b.chunks(TOGETHER))
            .all(|(a, b)| a.iter().zip(b).map(bits).fold(0, |differ, bits| differ | bits) == 0)
    }

    /// Mixes the bits of a row's length, which is there already, and of its first entry: unit rows are
    /// equally long but for some last bits.
    fn glance(&self, i: usize) -> u64 {
        let (row, scale) = self.row(i);
        mix(scale.to_bits(), row[0].into().to_bits())
    }

    /// Mixes the bits of a row's entries.
    fn hash(&self, i: usize) -> u64 {
        // Several at a time: a product is waited for.
        const LANES: usize = 8;
        let mut hashes = [0; LANES];
        for entries in self.row(i).0.chunks(LANES) {
            for (hash, &entry) in hashes.iter_mut().zip(entries) {
                *hash = mix(*hash, entry.into().to_bits());
            }
        }
        hashes.into_iter().fold(0, mix)
    }
}

fn mix(hash: u64, bits: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    (hash.rotate_left(26) ^ bits).wrapping_mul(ODD)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::clusters::Clusters;
    use super::super::{cluster, cluster_by, cluster_steps};
    use super::*;
    use crate::clock::Clock;

    /// The labels that linkage finds when every copy is a row of its own.
    fn one_by_one<T: Copy + Into<f64>>(entries: &[T], dim: usize, threshold: f64) -> Vec<usize> {
        let rows = Rows::of(entries, dim);
        assert!(rows.are_in_range());
        cluster(&rows, threshold, &mut Clock::default()).unwrap().labels()
    }

    /// Rows drawn from a few, with their directions at random and some in another length.
    fn repeated() -> impl Strategy<Value = (usize, Vec<f64>)> {
        let shape = (1_usize..14, proptest::sample::select(&[2, 3, 17, 64, 130][..]), 0.0..0.5_f64);
        shape.prop_flat_map(|(kinds, dim, spread)| {
            let row = || proptest::collection::vec(-1.0..1.0_f64, dim);
            let kinds = proptest::collection::vec((0_usize..3, row()), kinds);
            let centres = proptest::collection::vec(row(), 3);
            let drawn = proptest::collection::vec((any::<usize>(), 0_usize..8), 1..120);
            (centres, kinds, drawn).prop_map(move |(centres, kinds, drawn)| {
                let entries = drawn.into_iter().flat_map(|(kind, length)| {
                    let (centre, noise) = &kinds[kind % kinds.len()];
                    let centre = &centres[*centre];
                    let length = if length == 0 { 3.0 } else { 1.0 };
                    let direction = centre.iter().zip(noise);
                    direction.map(move |(c, e)| length * (c + spread * e)).collect::<Vec<f64>>()
                });
                (dim, entries.collect())
            })
        })
    }

    /// Rows whose lengths, distances and averages are exact, so that many are equally near: 1, 4 or 16
    /// entries of one size, up to the sign.
    fn tied() -> impl Strategy<Value = Vec<f64>> {
        let row = (0_usize..3, 0_usize..16, any::<u16>()).prop_map(|(count, start, signs)| {
            let mut row = [0.0; 16];
            for k in 0..[1, 4, 16][count] {
                row[(start + k) % 16] = if count > 0 && signs >> k & 1 > 0 { -1.0 } else { 1.0 };
            }
            row
        });
        let kinds = proptest::collection::vec(row, 1..10);
        (kinds, proptest::collection::vec(any::<usize>(), 1..60)).prop_map(|(kinds, drawn)| {
            drawn.into_iter().flat_map(|k| kinds[k % kinds.len()]).collect()
        })
    }

    proptest! {
        #[test]
        fn copies_change_no_label(
            (dim, entries) in repeated(),
            threshold in prop_oneof![Just(0.0), Just(0.05), 0.0..0.6, 0.0..1.5],
        ) {
            let labels = cluster_steps(&entries, dim, threshold).unwrap();
            prop_assert_eq!(labels, one_by_one(&entries, dim, threshold));
            let single: Vec<f32> = entries.iter().map(|&x| x as f32).collect();
            let labels = cluster_steps(&single, dim, threshold).unwrap();
            prop_assert_eq!(labels, one_by_one(&single, dim, threshold));
        }

        #[test]
        fn copies_change_no_label_where_many_are_equally_near(
            entries in tied(),
            eighths in 0_u8..12,
        ) {
            let threshold = f64::from(eighths) / 8.0;
            let labels = cluster_steps(&entries, 16, threshold).unwrap();
            prop_assert_eq!(labels, one_by_one(&entries, 16, threshold));
        }

        #[test]
        fn the_last_of_equal_rows_is_kept(
            // Small numbers in any order: many rows are as long as others, and 0 has two signs.
            kinds in proptest::collection::vec(
                proptest::collection::vec(proptest::sample::select(&[0.0, -0.0, 1.0, 2.0][..]), 10), 1..20),
            drawn in proptest::collection::vec(any::<usize>(), 0..60),
        ) {
            let rows: Vec<&Vec<f64>> = drawn.iter().map(|k| &kinds[k % kinds.len()]).collect();
            let entries: Vec<f64> = rows.iter().flat_map(|&row| row).copied().collect();
            let bits = |row: &[f64]| -> Vec<u64> { row.iter().map(|x| x.to_bits()).collect() };
            let (kept, equal_to) = Rows::of(&entries, 10).distinct();
            prop_assert_eq!((kept.total(), equal_to.len()), (rows.len(), rows.len()));
            let same = |i: usize, j: usize| bits(rows[i]) == bits(rows[j]);
            let lasts: Vec<usize> =
                (0..rows.len()).filter(|&i| (i + 1..rows.len()).all(|j| !same(i, j))).collect();
            prop_assert_eq!(kept.len(), lasts.len());
            for (number, &last) in lasts.iter().enumerate() {
                prop_assert_eq!(bits(kept.row(number).0), bits(rows[last]));
                let copies = (0..rows.len()).filter(|&i| same(i, last));
                prop_assert!(copies.clone().all(|i| equal_to[i] == number));
                prop_assert_eq!(kept.copies(number) as usize, copies.count());
            }
        }

        #[test]
        fn copies_start_as_merging_them_would_leave_them(
            kinds in proptest::collection::vec(proptest::collection::vec(0.1..1.0_f64, 19), 2),
            copies in (1_usize..40, 1_usize..40),
        ) {
            let [a, b] = [0, 1].map(|k| kinds[k].repeat([copies.0, copies.1][k]));
            let entries = [a, b].concat();
            let all: Vec<usize> = (0..copies.0 + copies.1).collect();
            let mut merged = Clusters::of(&Rows::of(&entries, 19), &all).unwrap();
            (1..copies.0).for_each(|i| merged.merge(i - 1, i));
            (copies.0 + 1..all.len()).for_each(|i| merged.merge(i - 1, i));
            let once = Clusters::of(&Rows::of(&entries, 19).distinct().0, &[0, 1]).unwrap();
            let distance = merged.distance(copies.0 - 1, all.len() - 1);
            prop_assert_eq!(once.distance(0, 1).to_bits(), distance.to_bits());
            prop_assert_eq!(once.size(0) as usize, copies.0);
        }
    }

    #[test]
    fn copies_cost_no_clustering() {
        let kinds: Vec<Vec<f64>> =
            (0..40).map(|i| (0..70).map(|k| f64::from(i * k % 41 + 1)).collect()).collect();
        let work = |rows: &[Vec<f64>]| {
            let mut clock = Clock::default();
            cluster_by(&rows.concat(), 70, 0.1, &mut clock).unwrap();
            clock.test.total
        };
        let often: Vec<Vec<f64>> = std::iter::repeat_n(kinds.clone(), 50).flatten().collect();
        assert!(work(&kinds) > 0);
        assert_eq!(work(&often), work(&kinds));
    }
}
