//! What a selection took, counted.

/// Counts what the reductions did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Nodes joined to their parent: kept exactly where that is.
    pub joined: u64,
    /// Nodes dropped because they pay in no selection.
    pub dropped: u64,
    /// Nodes dropped because another covers the same for no more.
    pub dominated: u64,
    /// Clusters of which a gain that each member adds, whatever else is kept, was folded into the
    /// values of their carriers.
    pub folded: u64,
}

/// Counts what solving took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub tally: Tally,
    pub residual_nodes: usize,
    pub residual_clusters: usize,
    pub components: usize,
    pub bounds: u64,
    pub branches: u64,
}
