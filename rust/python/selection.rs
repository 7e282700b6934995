//! `select_leaves` and its answer.

use std::cell::RefCell;
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::InputError;
use super::args::{choice, float, maybe_vector, unsigned, vector};
use super::convert::{copy_counts, copy_labels, copy_leaves, copy_parents, count, seconds};
use super::interrupt::Watch;
use super::pickling;
use crate::prune::{self, Pruner, Request, Solver};
use crate::tree::NodeId;

/// The answer of leaf selection.
///
/// Attributes
/// ----------
/// keep : bool[n]
///     Whether each candidate leaf is kept; read-only.
/// objective : float
///     Value of this selection, summed afresh from keep.
/// bound : float
///     No selection has a larger objective; equals objective where optimal.
/// optimal : bool
///     Whether this selection is proven best; False where a time limit or an interrupt cut the proof
///     short, or where it would take 200 branches inside one another.
/// nodes_kept : int
///     Distinct nodes on paths to kept leaves, leaves and root included.
/// tokens_kept : int or None
///     Tokens on those nodes; None without node_tokens.
/// stats : dict
///     How the answer was found: solver ("onepass", "exact" or "microlp"); the size of the
///     problem (nodes on paths to candidates, clusters); what the reductions did (joined, dropped,
///     dominated, folded) and left (residual_nodes, residual_clusters, components); what the rest
///     took (bounds, branch_nodes); the size of the MILP (variables, constraints); microseconds.
#[pyclass(frozen, module = "ets._core")]
pub(super) struct Selection {
    #[pyo3(get)]
    keep: Py<PyArray1<bool>>,
    #[pyo3(get)]
    objective: f64,
    #[pyo3(get)]
    bound: f64,
    #[pyo3(get)]
    optimal: bool,
    #[pyo3(get)]
    nodes_kept: usize,
    #[pyo3(get)]
    tokens_kept: Option<u64>,
    leaves_kept: usize,
    counts: prune::Stats,
}

impl Selection {
    pub fn wrap(py: Python<'_>, selection: prune::Selection) -> Self {
        let leaves_kept = selection.keep.iter().filter(|&&kept| kept).count();
        let keep = selection.keep.into_pyarray(py);
        // Nobody else can hold a borrow of an array made just now.
        if let Ok(writable) = keep.try_readwrite() {
            writable.make_nonwriteable();
        }
        Self {
            keep: keep.unbind(),
            objective: selection.objective,
            bound: selection.bound,
            optimal: selection.optimal,
            nodes_kept: selection.nodes_kept,
            tokens_kept: selection.tokens_kept,
            leaves_kept,
            counts: selection.stats,
        }
    }
}

#[pymethods]
impl Selection {
    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = PyDict::new(py);
        let counts = &self.counts;
        stats.set_item("solver", counts.solver)?;
        stats.set_item("nodes", counts.nodes)?;
        stats.set_item("clusters", counts.clusters)?;
        stats.set_item("joined", counts.joined)?;
        stats.set_item("dropped", counts.dropped)?;
        stats.set_item("dominated", counts.dominated)?;
        stats.set_item("folded", counts.folded)?;
        stats.set_item("residual_nodes", counts.residual_nodes)?;
        stats.set_item("residual_clusters", counts.residual_clusters)?;
        stats.set_item("components", counts.components)?;
        stats.set_item("bounds", counts.bounds)?;
        stats.set_item("branch_nodes", counts.branch_nodes)?;
        stats.set_item("variables", counts.variables)?;
        stats.set_item("constraints", counts.constraints)?;
        stats.set_item("microseconds", counts.elapsed.as_secs_f64() * 1e6)?;
        Ok(stats)
    }

    /// Whether all but stats, which holds a time, is equal.
    #[expect(clippy::float_cmp, reason = "a copy is equal to the bit")]
    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, Self>) -> PyResult<bool> {
        let other = other.get();
        Ok(self.objective == other.objective
            && self.bound == other.bound
            && self.optimal == other.optimal
            && self.nodes_kept == other.nodes_kept
            && self.tokens_kept == other.tokens_kept
            && self.keep.bind(py).to_vec()? == other.keep.bind(py).to_vec()?)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Self { keep, objective, bound, optimal, nodes_kept, tokens_kept, .. } = self;
        let (version, stats) = (pickling::VERSION, self.stats(py)?);
        let fields = (version, keep, objective, bound, optimal, nodes_kept, tokens_kept, stats);
        pickling::reduced(py, "_restore_selection", fields)
    }

    fn __repr__(&self) -> String {
        let Self { leaves_kept, nodes_kept, objective, optimal, .. } = self;
        let optimal = if *optimal { "True" } else { "False" };
        format!(
            "Selection(leaves_kept={leaves_kept}, nodes_kept={nodes_kept}, \
             objective={objective:.6}, optimal={optimal})"
        )
    }
}

/// Makes a selection of version and its attributes, in their order.
#[pyfunction]
#[pyo3(name = "_restore_selection", signature = (*state))]
pub(super) fn restore_selection(state: &Bound<'_, PyTuple>) -> PyResult<Selection> {
    let py = state.py();
    pickling::read("Selection", state, |[keep, objective, bound, optimal, nodes, tokens, stats]| {
        let (objective, bound) = (float("objective", &objective)?, float("bound", &bound)?);
        let no_array = |_| InputError::new_err("keep is no bool array of shape (n,)");
        let keep = keep.cast::<PyArray1<bool>>().map_err(no_array)?.to_vec()?;
        let optimal = optimal.extract().map_err(|_| InputError::new_err("optimal is no bool"))?;
        if objective.is_nan() || bound.is_nan() || !keep.contains(&true) {
            let message = "objective or bound is no number, or keep has no leaf";
            return Err(InputError::new_err(message));
        }
        let selection = prune::Selection {
            keep,
            objective,
            bound,
            optimal,
            nodes_kept: unsigned("nodes_kept", &nodes)? as usize,
            tokens_kept: (!tokens.is_none())
                .then(|| unsigned("tokens_kept", &tokens))
                .transpose()?,
            stats: read_stats(&stats)?,
        };
        Ok(Selection::wrap(py, selection))
    })
}

fn read_stats(stats: &Bound<'_, PyAny>) -> PyResult<prune::Stats> {
    let stats = stats.cast::<PyDict>().map_err(|_| InputError::new_err("stats is no dict"))?;
    let get = |name: &str| {
        let found = stats.get_item(name)?;
        found.ok_or_else(|| InputError::new_err(format!("stats lacks {name}")))
    };
    let count = |name: &str| unsigned(name, &get(name)?);
    let size = |name: &str| count(name).map(|count| count as usize);
    let solvers = ["onepass", "exact", "microlp"].map(|name| (name, name));
    Ok(prune::Stats {
        solver: choice("solver", &get("solver")?, &solvers)?,
        nodes: size("nodes")?,
        clusters: size("clusters")?,
        joined: count("joined")?,
        dropped: count("dropped")?,
        dominated: count("dominated")?,
        folded: count("folded")?,
        residual_nodes: size("residual_nodes")?,
        residual_clusters: size("residual_clusters")?,
        components: size("components")?,
        bounds: count("bounds")?,
        branch_nodes: count("branch_nodes")?,
        variables: size("variables")?,
        constraints: size("constraints")?,
        elapsed: Duration::try_from_secs_f64(float("microseconds", &get("microseconds")?)? * 1e-6)
            .map_err(|_| InputError::new_err("microseconds is no time"))?,
    })
}

thread_local! {
    // Scratch memory only: fresh pages for every call would cost more than the selection.
    static MEMORY: RefCell<Memory> = RefCell::new(Memory::default());
}

/// Scratch memory of selections.
#[derive(Default)]
struct Memory {
    pruner: Pruner,
    copies: Copies,
}

/// The caller's arrays as the core has them.
#[derive(Default)]
pub(super) struct Copies {
    parents: Vec<NodeId>,
    leaves: Vec<NodeId>,
    pub labels: Vec<usize>,
    tokens: Vec<u64>,
}

/// Copies the labels of clusters, for a request in which their worths are.
pub(super) fn labels_of<'a>(
    request: &Request<'_>,
    given: Option<&[i64]>,
    labels: &'a mut Vec<usize>,
) -> PyResult<Option<&'a [usize]>> {
    let Some(given) = given else { return Ok(None) };
    let list = request.cluster_worth.map(|worth| (worth.len(), "the length of cluster_worth"));
    copy_labels("clusters", given, list, labels)?;
    Ok(Some(labels))
}

/// Selects leaves with this thread's scratch memory; call it detached.
pub(super) fn select(
    work: impl FnOnce(&mut Pruner, &mut Copies) -> PyResult<prune::Selection>,
) -> PyResult<prune::Selection> {
    MEMORY.with(|memory| match memory.try_borrow_mut() {
        Ok(mut memory) => {
            let Memory { pruner, copies } = &mut *memory;
            work(pruner, copies)
        }
        // A signal's handler selects in the midst of a selection.
        Err(_) => work(&mut Pruner::new(), &mut Copies::default()),
    })
}

/// Reads the `solver` argument.
pub(super) fn solver(object: Option<&Bound<'_, PyAny>>) -> PyResult<Solver> {
    let options = [("auto", Solver::Auto), ("exact", Solver::Exact), ("milp", Solver::Milp)];
    object.map_or(Ok(Solver::Auto), |object| choice("solver", object, &options))
}

/// Choose the leaves that are worth their KV cache.
///
/// With O_i = weights[i] / sum(weights), c_v the cost of node v, w_k the worth of cluster k and m_k
/// the leaves kept of it, maximises
///
///     lambda_r * sum_{i kept} O_i - lambda_b * sum_{v on a path to a kept leaf} c_v
///         + lambda_d * sum_k w_k * (1 - rho**m_k)
///
/// over all non-empty sets of candidates. As published (ETS) lambda_r is 1, rho 0, and w_k one over
/// the number of clusters: each is worth as much, from the first kept leaf on. Equal optima are
/// broken the same way on every run.
///
/// Parameters
/// ----------
/// parents : int64[m]
///     Parent of each node; -1 for node 0, the root; parents before children.
/// leaves : int64[n]
///     Node of each candidate leaf; distinct; a leaf may be an inner node of the tree.
/// weights : float64[n]
///     Weight of each leaf, at least 0, not all 0; divided by their sum.
/// clusters : int64[n] or None
///     Cluster label of each leaf, any integers; None drops the coverage term.
/// lambda_b : float
///     Price of holding the whole tree, at least 0.
/// lambda_d : float
///     Worth of all clusters with as many kept leaves as can be, at least 0; 0 drops the coverage
///     term (ETS-KV).
/// lambda_r : float
///     Worth of all that the leaves promise, at least 0.
/// cluster_worth : float64[K] or None
///     Worth of each cluster, at least 0; divided by the sum over the clusters that occur, which must
///     be above 0. The labels are then indices of it. None: the same for each.
/// rho : float
///     What a further leaf of a cluster adds of what the one before it added, in [0, 1): the first
///     adds (1 - rho) * w_k.
/// node_costs : float64[m] or None
///     Cost of each node, at least 0; divided by the sum over nodes on paths to candidate leaves.
///     None: the same for every such node, 1 / (their number, leaves and root included).
/// node_tokens : int64[m] or None
///     KV tokens that each node itself holds, at least 0.
/// kv_budget : int or None
///     The most tokens that the kept nodes may hold; needs node_tokens.
/// solver : {"auto", "exact", "milp"}
///     "auto" and "exact": the exact method (reductions, components, Lagrangian branch and bound;
///     one pass over the tree without a coverage term or budget). "milp": the same problem as a
///     mixed-integer program, the independent second opinion, thousands of times slower.
/// time_limit : float or None
///     Seconds, at least 0, after which the best selection so far is returned with its bound and
///     optimal=False. The exact method looks at its clock after each pass over the tree or less
///     (within 20 ms at widths up to 16,384); the MILP solver looks at its own less often.
/// interrupt : Interrupt or None
///     Ends the selection as a time limit does, from any thread; the MILP solver looks at it before
///     it starts, and not again. Ctrl-C in the main thread ends the call without one.
///
/// Returns
/// -------
/// Selection
///
/// Raises
/// ------
/// InputError
///     An argument is out of range, lengths differ, an array is not a C-contiguous vector of the
///     right dtype or has a mask, kv_budget is below what the cheapest leaf needs, or an array was
///     written to meanwhile so that it makes no sense.
/// SolverError
///     The MILP solver failed, or its answer did not hold up when recomputed.
#[pyfunction]
#[pyo3(
    signature = (parents, leaves, weights, clusters = None, *, lambda_b, lambda_d = None,
        lambda_r = None, cluster_worth = None, rho = None, node_costs = None, node_tokens = None,
        kv_budget = None, solver = None, time_limit = None, interrupt = None),
    text_signature = "(parents, leaves, weights, clusters=None, *, lambda_b, lambda_d=0.0, \
        lambda_r=1.0, cluster_worth=None, rho=0.0, node_costs=None, node_tokens=None, \
        kv_budget=None, solver='auto', time_limit=None, interrupt=None)"
)]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the published interface")]
pub(super) fn select_leaves<'py>(
    py: Python<'py>,
    parents: &Bound<'py, PyAny>,
    leaves: &Bound<'py, PyAny>,
    weights: &Bound<'py, PyAny>,
    clusters: Option<&Bound<'py, PyAny>>,
    lambda_b: &Bound<'py, PyAny>,
    lambda_d: Option<&Bound<'py, PyAny>>,
    lambda_r: Option<&Bound<'py, PyAny>>,
    cluster_worth: Option<&Bound<'py, PyAny>>,
    rho: Option<&Bound<'py, PyAny>>,
    node_costs: Option<&Bound<'py, PyAny>>,
    node_tokens: Option<&Bound<'py, PyAny>>,
    kv_budget: Option<&Bound<'py, PyAny>>,
    solver: Option<&Bound<'py, PyAny>>,
    time_limit: Option<&Bound<'py, PyAny>>,
    interrupt: Option<&Bound<'py, PyAny>>,
) -> PyResult<Selection> {
    let (parents, leaves, weights) =
        (vector("parents", parents)?, vector("leaves", leaves)?, vector("weights", weights)?);
    let clusters = maybe_vector("clusters", clusters)?;
    let cluster_worth = maybe_vector("cluster_worth", cluster_worth)?;
    let node_costs = maybe_vector("node_costs", node_costs)?;
    let node_tokens = maybe_vector("node_tokens", node_tokens)?;
    let watch = Watch::new(interrupt)?;
    let request = Request {
        lambda_b: float("lambda_b", lambda_b)?,
        lambda_d: lambda_d.map_or(Ok(0.0), |object| float("lambda_d", object))?,
        lambda_r: lambda_r.map_or(Ok(1.0), |object| float("lambda_r", object))?,
        cluster_worth: cluster_worth.as_ref().map(|array| array.entries()).transpose()?,
        rho: rho.map_or(Ok(0.0), |object| float("rho", object))?,
        node_costs: node_costs.as_ref().map(|array| array.entries()).transpose()?,
        kv_budget: kv_budget.map(|object| count("kv_budget", object, "at least 0")).transpose()?,
        solver: self::solver(solver)?,
        time_limit: time_limit.map(|object| seconds("time_limit", object)).transpose()?,
        interrupt: Some(&watch.interrupt),
        ..Request::new(&[], &[], weights.entries()?)
    };
    let (parents, leaves) = (parents.entries()?, leaves.entries()?);
    let labels = clusters.as_ref().map(|array| array.entries()).transpose()?;
    let tokens = node_tokens.as_ref().map(|array| array.entries()).transpose()?;
    let selection = py.detach(|| {
        select(|pruner, copies| {
            copy_parents(parents, &mut copies.parents)?;
            copy_leaves(leaves, parents.len(), &mut copies.leaves)?;
            if let Some(tokens) = tokens {
                copy_counts("node_tokens", tokens, "at least 0", &mut copies.tokens)?;
            }
            Ok(pruner.select_leaves(&Request {
                parents: &copies.parents,
                leaves: &copies.leaves,
                clusters: labels_of(&request, labels, &mut copies.labels)?,
                node_tokens: tokens.is_some().then_some(&copies.tokens),
                ..request
            })?)
        })
    })?;
    watch.check()?;
    Ok(Selection::wrap(py, selection))
}
