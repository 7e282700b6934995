//! Leaf selection: which candidate leaves are worth their KV cache.

mod incumbent;
mod milp;
mod onepass;
mod problem;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::error::{Error, check_scalar};
use problem::Problem;

/// Says which method answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Solver {
    /// One exact pass over the tree where no coverage term or budget couples the subtrees, else the
    /// MILP.
    #[default]
    Auto,
    /// Always the MILP, through `good_lp` and `microlp`: the independent second opinion.
    Milp,
}

/// Holds one selection problem; borrowed arrays, nothing copied.
///
/// Make one with [`Request::new`] and struct update syntax.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Parent of each node, `[m]`; -1 for node 0, the root; parents before children.
    pub parents: &'a [i64],
    /// Node of each candidate leaf, `[n]`; distinct; may be inner nodes of the tree.
    pub leaves: &'a [i64],
    /// Weight of each leaf, `[n]`; at least 0, not all 0; divided by their sum.
    pub weights: &'a [f64],
    /// Cluster label of each leaf, `[n]`; any integers. `None` drops the coverage term.
    pub clusters: Option<&'a [i64]>,
    /// Price of holding the whole tree; at least 0.
    pub lambda_b: f64,
    /// Reward for covering every cluster; at least 0. 0 drops the coverage term (ETS-KV).
    pub lambda_d: f64,
    /// Cost of each node, `[m]`; at least 0; divided by the sum over nodes on paths to leaves.
    /// `None` means the same for every such node.
    pub node_costs: Option<&'a [f64]>,
    /// Tokens of each node, `[m]`; at least 0.
    pub node_tokens: Option<&'a [i64]>,
    /// The most tokens that the kept nodes may hold; needs `node_tokens`.
    pub kv_budget: Option<i64>,
    /// Which method answers.
    pub solver: Solver,
    /// Seconds after which the best selection so far is returned; `None` for no limit.
    pub time_limit: Option<f64>,
}

impl<'a> Request<'a> {
    /// Makes a request with no price, no coverage term and no budget.
    #[must_use]
    pub fn new(parents: &'a [i64], leaves: &'a [i64], weights: &'a [f64]) -> Self {
        Self { parents, leaves, weights, ..Self::default() }
    }
}

/// Holds the answer to a [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Whether each candidate leaf is kept, `[n]`.
    pub keep: Vec<bool>,
    /// Value of this selection, summed afresh from `keep`.
    pub objective: f64,
    /// No selection has a larger objective than this; equals `objective` where `optimal`.
    pub bound: f64,
    /// Whether this selection is proven to be best. False only where a time limit cut the proof
    /// short.
    pub optimal: bool,
    /// Distinct nodes on paths to kept leaves, leaves and root included.
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
    /// The method that answered: `onepass` or `microlp`.
    pub solver: &'static str,
    /// Nodes on paths to candidate leaves.
    pub nodes: usize,
    /// Distinct clusters among the candidates; 0 without a coverage term.
    pub clusters: usize,
    /// Variables of the MILP; 0 for one pass.
    pub variables: usize,
    /// Constraints of the MILP; 0 for one pass.
    pub constraints: usize,
    /// Branch-and-bound nodes whose LP was solved; 0 for one pass.
    pub branch_nodes: u64,
    /// Microseconds from the checked request to the answer.
    pub microseconds: u64,
}

/// Chooses the leaves to keep.
///
/// With `O_i = weights[i] / sum(weights)`, `c_v` the cost of node `v` and `K` the number of distinct
/// clusters, maximises
///
/// ```text
/// sum_{i kept} O_i - lambda_b * sum_{v on a path to a kept leaf} c_v
///     + (lambda_d / K) * (clusters with a kept leaf)
/// ```
///
/// over all non-empty sets of candidates (within `kv_budget` tokens, where given). Uniform costs are
/// `c_v = 1 / (nodes on paths to candidate leaves, leaves and root included)`.
///
/// One pass costs O(m). The MILP has about one variable for each node and cluster; its time is
/// exponential at worst and milliseconds in practice at widths up to a few hundred. Equal optima are
/// broken the same way on every run.
///
/// # Errors
///
/// Any array of the wrong length or with an entry out of range, a leaf twice, all weights 0, a
/// negative or non-finite lambda, `kv_budget` without `node_tokens` or below what the cheapest leaf
/// needs; [`Error::Solver`] where the MILP solver failed or its answer did not hold up when
/// recomputed.
pub fn select_leaves(request: &Request<'_>) -> Result<Selection, Error> {
    let time_limit = request.time_limit.map(to_duration).transpose()?;
    let started = Instant::now();
    let problem = Problem::new(request)?;
    let found = match request.solver {
        Solver::Auto if problem.decouples() => onepass::solve(&problem),
        Solver::Auto | Solver::Milp => milp::solve(&problem, time_limit, started)?,
    };
    let value = problem.evaluate(&found.keep);
    let optimal = found.bound.is_none_or(|bound| bound <= value.objective);
    Ok(Selection {
        objective: value.objective,
        bound: if optimal { value.objective } else { found.bound.unwrap_or(f64::INFINITY) },
        optimal,
        nodes_kept: value.nodes,
        tokens_kept: request.node_tokens.map(|_| value.tokens),
        stats: Stats {
            nodes: problem.parent.len(),
            clusters: problem.cluster_count,
            microseconds: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            ..found.stats
        },
        keep: found.keep,
    })
}

/// What a method hands back.
struct Found {
    keep: Vec<bool>,
    /// The proven bound where the proof was cut short; `None` where `keep` is proven best.
    bound: Option<f64>,
    stats: Stats,
}

fn to_duration(seconds: f64) -> Result<Duration, Error> {
    let right = seconds.is_finite() && seconds >= 0.0;
    check_scalar("time_limit", seconds, "finite seconds, at least 0", right)?;
    // A century is no limit, and larger values do not fit a duration.
    Ok(Duration::from_secs_f64(seconds.min(3.2e9)))
}
