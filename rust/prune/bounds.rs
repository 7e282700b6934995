//! Which bound the branches of a component get.

/// How branches are bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Bounds {
    /// By clusters.
    #[default]
    Clusters,
    /// By clusters for so many more branches, after which paths are tried.
    ClustersFor(u64),
    /// Not at all: paths pay, and the component is to be started again with them.
    Left,
    /// By paths for so many more branches, then by clusters.
    PathsFor(u64),
}

impl Bounds {
    /// Counts a branch.
    pub fn branch(&mut self) {
        *self = match *self {
            Self::ClustersFor(left) => Self::ClustersFor(left.saturating_sub(1)),
            Self::PathsFor(0) => Self::Clusters,
            Self::PathsFor(left) => Self::PathsFor(left - 1),
            other => other,
        };
    }

    pub fn by_paths(self) -> bool {
        matches!(self, Self::PathsFor(_))
    }
}
