//! What is asked of leaf selection, and what it answers.

use std::time::Duration;

use crate::interrupt::Interrupt;
use crate::tree::{NodeId, Part};

/// Says which method answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Solver {
    /// The exact method.
    #[default]
    Auto,
    /// Reductions, components and Lagrangian branch and bound; one pass over the tree where no
    /// coverage term couples its subtrees.
    Exact,
    /// The mixed-integer program on `microlp`: the independent second opinion.
    #[cfg(feature = "milp")]
    Milp,
    /// The same program on `HiGHS`.
    #[cfg(feature = "highs")]
    Highs,
}

/// Holds one selection problem; borrowed arrays, nothing copied.
///
/// Make one with [`Request::new`] or [`Request::of_part`], and set the rest by the methods of the
/// fields' names.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Parent of each node, `[m]`; node 0 is the root, its own parent; parents before children.
    pub parents: &'a [NodeId],
    /// Node of each candidate leaf, `[n]`; distinct; may be inner nodes of the tree.
    pub leaves: &'a [NodeId],
    /// Weight of each leaf, `[n]`; at least 0, not all 0; divided by their sum.
    pub weights: &'a [f64],
    /// Cluster label of each leaf, `[n]`; any numbers. `None` drops the coverage term.
    pub clusters: Option<&'a [usize]>,
    /// Worth of all that the leaves promise together; at least 0.
    pub lambda_r: f64,
    /// Price of holding the whole tree; at least 0.
    pub lambda_b: f64,
    /// Worth of all clusters, each with more members than can be counted (with `rho` 0 each with one);
    /// at least 0. 0 drops the coverage term (ETS-KV).
    pub lambda_d: f64,
    /// Worth of each cluster, `[K]`; at least 0; divided by the sum over the clusters that occur. The
    /// labels are then its indices. `None`: the same for each cluster.
    pub cluster_worth: Option<&'a [f64]>,
    /// Ratio of what a cluster's next member adds to what the one before it added, in `[0, 1)`; the
    /// first adds `1 - rho` of the cluster's worth.
    pub rho: f64,
    /// Cost of each node, `[m]`; at least 0; divided by the sum over nodes on paths to leaves.
    /// `None` means the same for every such node (`node_counts` times that, where given).
    pub node_costs: Option<&'a [f64]>,
    /// Tokens of each node, `[m]`; their sum below 2^63.
    pub node_tokens: Option<&'a [u64]>,
    /// How many nodes each one stands for, `[m]`; at least 1, their sum below 2^63. It costs as much as so many nodes where
    /// `node_costs` is `None`, and counts as so many in the answer. `None`: one each.
    pub node_counts: Option<&'a [u64]>,
    /// The most tokens that the kept nodes may hold; needs `node_tokens`.
    pub kv_budget: Option<u64>,
    /// Which method answers.
    pub solver: Solver,
    /// Time after which the best selection so far is returned; `None` for no limit.
    pub time_limit: Option<Duration>,
    /// What ends the selection early, with the best one so far.
    pub interrupt: Option<&'a Interrupt>,
    /// The part of a tree that the request was made of.
    pub(crate) part: Option<&'a Part>,
}

impl Default for Request<'_> {
    /// A request with nothing in it, in which leaves count for what they promise.
    fn default() -> Self {
        Self {
            parents: &[],
            leaves: &[],
            weights: &[],
            clusters: None,
            lambda_r: 1.0,
            lambda_b: 0.0,
            lambda_d: 0.0,
            cluster_worth: None,
            rho: 0.0,
            node_costs: None,
            node_tokens: None,
            node_counts: None,
            kv_budget: None,
            solver: Solver::Auto,
            time_limit: None,
            interrupt: None,
            part: None,
        }
    }
}

impl<'a> Request<'a> {
    /// Makes a request with no price, no coverage term and no budget.
    #[must_use]
    pub fn new(parents: &'a [NodeId], leaves: &'a [NodeId], weights: &'a [f64]) -> Self {
        Self { parents, leaves, weights, ..Self::default() }
    }

    /// Makes a request of the part of a tree above its leaves, with its tokens and counts.
    #[must_use]
    pub fn of_part(part: &'a Part, weights: &'a [f64]) -> Self {
        let node_counts = (!part.counts.is_empty()).then_some(part.counts.as_slice());
        let node_tokens = Some(part.tokens.as_slice());
        let request = Self::new(&part.parents, &part.leaves, weights);
        Self { node_tokens, node_counts, part: Some(part), ..request }
    }

    /// Says whether parents and leaves are still those of a part: right, and every node on a path.
    pub(crate) fn is_cut(&self) -> bool {
        self.part.is_some_and(|part| {
            std::ptr::eq(self.parents, part.parents.as_slice())
                && std::ptr::eq(self.leaves, part.leaves.as_slice())
        })
    }

    /// Sets the cluster label of each leaf, `[n]`.
    #[must_use]
    pub fn clusters(self, clusters: &'a [usize]) -> Self {
        Self { clusters: Some(clusters), ..self }
    }

    /// Sets the worth of all that the leaves promise together.
    #[must_use]
    pub fn lambda_r(self, lambda_r: f64) -> Self {
        Self { lambda_r, ..self }
    }

    /// Sets the price of holding the whole tree.
    #[must_use]
    pub fn lambda_b(self, lambda_b: f64) -> Self {
        Self { lambda_b, ..self }
    }

    /// Sets the worth of all clusters.
    #[must_use]
    pub fn lambda_d(self, lambda_d: f64) -> Self {
        Self { lambda_d, ..self }
    }

    /// Sets the worth of each cluster, `[K]`.
    #[must_use]
    pub fn cluster_worth(self, cluster_worth: &'a [f64]) -> Self {
        Self { cluster_worth: Some(cluster_worth), ..self }
    }

    /// Sets what a cluster's next member adds of what the one before it added.
    #[must_use]
    pub fn rho(self, rho: f64) -> Self {
        Self { rho, ..self }
    }

    /// Sets the cost of each node, `[m]`.
    #[must_use]
    pub fn node_costs(self, node_costs: &'a [f64]) -> Self {
        Self { node_costs: Some(node_costs), ..self }
    }

    /// Sets the tokens of each node, `[m]`.
    #[must_use]
    pub fn node_tokens(self, node_tokens: &'a [u64]) -> Self {
        Self { node_tokens: Some(node_tokens), ..self }
    }

    /// Sets how many nodes each one stands for, `[m]`.
    #[must_use]
    pub fn node_counts(self, node_counts: &'a [u64]) -> Self {
        Self { node_counts: Some(node_counts), ..self }
    }

    /// Sets the most tokens that the kept nodes may hold.
    #[must_use]
    pub fn kv_budget(self, kv_budget: u64) -> Self {
        Self { kv_budget: Some(kv_budget), ..self }
    }

    /// Sets the method that answers.
    #[must_use]
    pub fn solver(self, solver: Solver) -> Self {
        Self { solver, ..self }
    }

    /// Sets the time after which the best selection so far is returned.
    #[must_use]
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit: Some(time_limit), ..self }
    }

    /// Sets what ends the selection early.
    #[must_use]
    pub fn interrupt(self, interrupt: &'a Interrupt) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }
}

/// Holds the answer to a [`Request`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Selection {
    /// Whether each candidate leaf is kept, `[n]`.
    pub keep: Vec<bool>,
    /// Value of this selection, summed afresh from `keep`.
    pub objective: f64,
    /// No selection has a larger objective than this; equals `objective` where `optimal`.
    pub bound: f64,
    /// Whether this selection is proven to be best. False where a time limit or an interrupt cut the
    /// proof short, or where it would take 200 branches inside one another.
    pub optimal: bool,
    /// Distinct nodes on paths to kept leaves, leaves and root included, by `node_counts`.
    pub nodes_kept: usize,
    /// Tokens on those nodes; `None` without `node_tokens`.
    pub tokens_kept: Option<u64>,
    /// How the answer was found.
    pub stats: Stats,
}

/// Says how a selection was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The method that answered: `onepass` (no coverage term, no budget), `exact`, `microlp` or
    /// `highs`.
    pub solver: &'static str,
    /// Nodes on paths to candidate leaves, by `node_counts` where given.
    pub nodes: usize,
    /// Distinct clusters among the candidates; 0 without a coverage term.
    pub clusters: usize,
    /// Nodes that a reduction joined to their parent: kept exactly where that is.
    pub joined: u64,
    /// Nodes that a reduction dropped because they pay in no selection.
    pub dropped: u64,
    /// Nodes that a reduction dropped because another one covers the same for no more.
    pub dominated: u64,
    /// Clusters of which a reduction folded a gain that each member adds, whatever else is kept, into
    /// the values of their carriers: with one gain a cluster, those that one node alone carried.
    pub folded: u64,
    /// Nodes that the first reductions left to search over.
    pub residual_nodes: usize,
    /// Clusters left open there.
    pub residual_clusters: usize,
    /// Parts into which that falls.
    pub components: usize,
    /// Lagrangian bounds computed.
    pub bounds: u64,
    /// Times the search branched; for the MILP, branch-and-bound nodes whose LP was solved.
    pub branch_nodes: u64,
    /// Variables of the MILP; 0 for the other methods.
    pub variables: usize,
    /// Constraints of the MILP; 0 for the other methods.
    pub constraints: usize,
    /// Time from the request to the answer.
    pub elapsed: Duration,
}
