//! Items listed by group.

use std::ops::Range;

use super::none::NONE;

/// Lists items by group, by counting; the buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Where the items of each group start in `items`, `[groups + 1]`.
    start: Vec<u32>,
    items: Vec<u32>,
    /// Group of each item while they are listed; those of none are behind the last.
    group: Vec<u32>,
}

impl Groups {
    /// Lists items `0..count`, those of one group in order; an item of group `NONE` is left out.
    ///
    /// O(groups + count).
    pub fn list(&mut self, groups: usize, count: usize, group: impl Fn(usize) -> u32) {
        let Self { start, items, group: of } = self;
        of.clear();
        of.extend((0..count).map(|item| {
            let at = group(item);
            debug_assert!(at == NONE || (at as usize) < groups, "{at} of {groups} groups");
            at.min(groups as u32)
        }));
        start.clear();
        start.resize(groups + 3, 0);
        // Two places further than a group's number, so that filling moves each start into place.
        of.iter().for_each(|&at| start[at as usize + 2] += 1);
        let mut sum = 0;
        for held in &mut start[2..] {
            sum += *held;
            *held = sum;
        }
        items.clear();
        items.resize(count, 0);
        for (&at, item) in of.iter().zip(0..) {
            let slot = &mut start[at as usize + 1];
            items[*slot as usize] = item;
            *slot += 1;
        }
        items.truncate(start[groups] as usize);
    }

    /// The items of a group, ascending.
    pub fn of(&self, group: usize) -> &[u32] {
        &self.items[self.places(group)]
    }

    /// Where the items of a group stand among those of all.
    pub fn places(&self, group: usize) -> Range<usize> {
        self.start[group] as usize..self.start[group + 1] as usize
    }

    /// All items, group after group.
    pub fn items(&self) -> &[u32] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_item_is_listed_in_its_group(
            of in proptest::collection::vec(prop_oneof![0_u32..6, Just(NONE)], 0..40),
        ) {
            let mut groups = Groups::default();
            for _ in 0..2 {
                groups.list(6, of.len(), |item| of[item]);
                for group in 0..6 {
                    let items = (0..).zip(&of).filter(|(_, at)| **at == group).map(|(item, _)| item);
                    prop_assert_eq!(groups.of(group as usize), items.collect::<Vec<u32>>());
                }
            }
        }
    }
}
