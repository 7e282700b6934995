//! Cluster labels as the caller has them, renumbered.

use super::none::NONE;
use crate::error::Error;

/// Numbers labels from 0 in order of first appearance; the buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Labels {
    /// Number of each label between the smallest and the largest, where those lie close.
    table: Vec<u32>,
    /// Label and index of each entry, sorted, where they do not.
    sorted: Vec<(usize, u32)>,
}

impl Labels {
    /// Writes each label's number and returns how many there are.
    ///
    /// O(n) where the labels span no more than a few times their count, else O(n log n).
    pub fn number(&mut self, labels: &[usize], numbers: &mut Vec<u32>) -> usize {
        numbers.clear();
        let (Some(&low), Some(&high)) = (labels.iter().min(), labels.iter().max()) else {
            return 0;
        };
        let span = high - low;
        if span <= 4 * labels.len() + 64 {
            self.by_table(labels, low, span, numbers)
        } else {
            self.by_sorting(labels, numbers)
        }
    }

    /// Looks up each number's entry, `[K]`, in a list of which the labels are indices.
    ///
    /// # Errors
    ///
    /// `clusters` with a label that is none.
    pub fn look_up(
        labels: &[usize],
        numbers: &[u32],
        list: &[f64],
        entries: &mut Vec<f64>,
    ) -> Result<(), Error> {
        entries.clear();
        for (index, (&value, &number)) in labels.iter().zip(numbers).enumerate() {
            match list.get(value) {
                Some(&entry) if number as usize == entries.len() => entries.push(entry),
                Some(_) => {}
                None => {
                    let (argument, what) = ("clusters", "the length of cluster_worth");
                    let (value, below) = (value.into(), list.len());
                    return Err(Error::OutOfRange { argument, index, value, below, what });
                }
            }
        }
        Ok(())
    }

    fn by_table(&mut self, labels: &[usize], low: usize, span: usize, out: &mut Vec<u32>) -> usize {
        self.table.clear();
        self.table.resize(span + 1, NONE);
        let mut count = 0;
        for &label in labels {
            let number = &mut self.table[label - low];
            if *number == NONE {
                *number = count;
                count += 1;
            }
            out.push(*number);
        }
        count as usize
    }

    fn by_sorting(&mut self, labels: &[usize], out: &mut Vec<u32>) -> usize {
        self.sorted.clear();
        self.sorted.extend(labels.iter().copied().zip(0..));
        self.sorted.sort_unstable();
        // First each entry gets the index of its label's first one, which then becomes a number.
        out.resize(labels.len(), 0);
        for same in self.sorted.chunk_by(|a, b| a.0 == b.0) {
            same.iter().for_each(|&(_, i)| out[i as usize] = same[0].1);
        }
        let mut count = 0;
        for i in 0..out.len() {
            let first = out[i] as usize;
            out[i] = if first == i {
                count += 1;
                count - 1
            } else {
                out[first]
            };
        }
        count as usize
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_follow_the_first_appearance(
            labels in proptest::collection::vec(
                prop_oneof![0_usize..8, Just(usize::MAX), 0_usize..1000], 0..40),
        ) {
            let mut first: Vec<usize> = Vec::new();
            let naive: Vec<u32> = labels
                .iter()
                .map(|label| {
                    let at = first.iter().position(|seen| seen == label).unwrap_or(first.len());
                    if at == first.len() {
                        first.push(*label);
                    }
                    at as u32
                })
                .collect();
            let (mut state, mut numbers) = (Labels::default(), Vec::new());
            for _ in 0..2 {
                prop_assert_eq!(state.number(&labels, &mut numbers), first.len());
                prop_assert_eq!(&numbers, &naive);
            }
        }
    }
}
