//! The mark of what is not there.

/// Stands in lists of `u32` for "no node", "no candidate", "no place" or "not kept".
pub(super) const NONE: u32 = u32::MAX;
