//! `Tree`: the arena as a Python class.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use super::args::{choice, float, int, maybe_vector, vector};
use super::interrupt::Watch;
use super::selection::{Selection, select, solver};
use crate::error::Error;
use crate::prune::Request;
use crate::tree::{self, Marks, NodeId, Part};

/// The search tree of one problem, with KV accounting.
///
/// Node 0 is the root and holds the prompt's tokens; ids count up in order of creation, so parents
/// come before children. Safe to use from several threads.
///
/// Parameters
/// ----------
/// prompt_tokens : int
///     Tokens of the prompt, 0 to 2**32 - 1.
///
/// Raises
/// ------
/// InputError
///     prompt_tokens is out of range.
#[pyclass(frozen, module = "ets._core")]
pub(super) struct Tree {
    inner: Mutex<(tree::Tree, Marks)>,
}

impl Tree {
    /// Runs `work` on the tree, detached: another thread may hold the lock while it waits for the
    /// GIL, so the lock is only ever taken without it.
    fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut tree::Tree, &mut Marks) -> R + Send,
    ) -> R {
        py.detach(|| {
            // Each change of the tree is checked before it starts, so a panic leaves none halfway.
            let mut guard: MutexGuard<'_, (tree::Tree, Marks)> =
                self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            let (tree, marks) = &mut *guard;
            work(tree, marks)
        })
    }
}

#[pymethods]
impl Tree {
    #[new]
    fn new(prompt_tokens: &Bound<'_, PyAny>) -> PyResult<Self> {
        let tree = tree::Tree::new(int("prompt_tokens", prompt_tokens)?)?;
        Ok(Self { inner: Mutex::new((tree, Marks::default())) })
    }

    /// Add a node below parent that holds tokens (0 to 2**32 - 1), and return its id.
    ///
    /// Raises InputError where parent is not a node or tokens is out of range.
    fn add(
        &self,
        py: Python<'_>,
        parent: &Bound<'_, PyAny>,
        tokens: &Bound<'_, PyAny>,
    ) -> PyResult<u32> {
        let (parent, tokens) = (int("parent", parent)?, int("tokens", tokens)?);
        Ok(self.with(py, |tree, _| tree.add(parent, tokens))?.0)
    }

    /// Add nodes and return their ids, int64[n], which follow each other.
    ///
    /// parents is int64[n]: nodes of this tree, or added before by the same call. tokens is
    /// int64[n]: what each node holds, 0 to 2**32 - 1. Raises InputError, and adds none, where an
    /// entry is out of range or the lengths differ.
    fn extend<'py>(
        &self,
        py: Python<'py>,
        parents: &Bound<'py, PyAny>,
        tokens: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let (parents, tokens) = (vector("parents", parents)?, vector("tokens", tokens)?);
        let (parents, tokens) = (parents.entries()?, tokens.entries()?);
        let ids = self.with(py, |tree, _| {
            let ids = tree.extend(parents, tokens)?;
            Ok::<_, Error>(ids.map(i64::from).collect::<Vec<_>>())
        })?;
        Ok(ids.into_pyarray(py))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |tree, _| tree.len())
    }

    /// Parent of each node, int64[m], a copy; -1 for the root.
    #[getter]
    fn parents<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let parents = self.with(py, |tree, _| {
            let nodes = (0..).map(NodeId).take(tree.len());
            nodes.map(|node| tree.parent(node).map_or(-1, |p| i64::from(p.0))).collect::<Vec<_>>()
        });
        parents.into_pyarray(py)
    }

    /// Tokens that each node itself holds, int64[m], a copy; the prompt's for the root.
    #[getter]
    fn tokens<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let tokens: Vec<i64> =
            self.with(py, |tree, _| tree.tokens().iter().map(|&t| i64::from(t)).collect());
        tokens.into_pyarray(py)
    }

    /// Steps from the root to each node, int64[m], a copy; 0 for the root.
    #[getter]
    fn depths<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let depths: Vec<i64> =
            self.with(py, |tree, _| tree.depths().iter().map(|&d| i64::from(d)).collect());
        depths.into_pyarray(py)
    }

    /// List the nodes from the root to node, both included.
    ///
    /// Raises InputError where node is not a node.
    fn path(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let node = int("node", node)?;
        let path = self.with(py, |tree, _| tree.path(node))?;
        Ok(path.into_iter().map(|node| node.0).collect())
    }

    /// Sum the tokens on the distinct nodes of the leaves' root paths.
    ///
    /// leaves is int64[n], node ids; shared prefixes count once, the prompt once. Linear in the
    /// nodes touched. Raises InputError where a leaf is not a node.
    fn kv_tokens(&self, py: Python<'_>, leaves: &Bound<'_, PyAny>) -> PyResult<u64> {
        let leaves = vector("leaves", leaves)?;
        let leaves = leaves.entries()?;
        Ok(self.with(py, |tree, marks| tree.kv_tokens_with(marks, leaves))?)
    }

    /// Start a running sum of the tokens on the leaves' root paths, to which leaves can be added.
    ///
    /// leaves is int64[n], node ids; repeats change nothing. Raises InputError where a leaf is not
    /// a node.
    fn held(slf: Bound<'_, Self>, leaves: &Bound<'_, PyAny>) -> PyResult<Held> {
        let py = slf.py();
        let held = Held { tree: slf.unbind(), inner: Mutex::default() };
        held.add(py, leaves)?;
        Ok(held)
    }

    /// Choose the leaves of this tree that are worth their KV cache.
    ///
    /// As select_leaves with this tree's parents and tokens. node_cost is "uniform" (every node
    /// on a path to a candidate costs the same) or "tokens" (its share of their tokens).
    #[pyo3(
        signature = (leaves, weights, clusters = None, *, lambda_b, lambda_d = None,
            node_cost = None, kv_budget = None, solver = None, time_limit = None, interrupt = None),
        text_signature = "($self, leaves, weights, clusters=None, *, lambda_b, lambda_d=0.0, \
            node_cost='uniform', kv_budget=None, solver='auto', time_limit=None, interrupt=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the published interface")]
    fn select<'py>(
        &self,
        py: Python<'py>,
        leaves: &Bound<'py, PyAny>,
        weights: &Bound<'py, PyAny>,
        clusters: Option<&Bound<'py, PyAny>>,
        lambda_b: &Bound<'py, PyAny>,
        lambda_d: Option<&Bound<'py, PyAny>>,
        node_cost: Option<&Bound<'py, PyAny>>,
        kv_budget: Option<&Bound<'py, PyAny>>,
        solver: Option<&Bound<'py, PyAny>>,
        time_limit: Option<&Bound<'py, PyAny>>,
        interrupt: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Selection> {
        let (leaves, weights) = (vector("leaves", leaves)?, vector("weights", weights)?);
        let clusters = maybe_vector("clusters", clusters)?;
        let options = [("uniform", false), ("tokens", true)];
        let by_tokens =
            node_cost.map_or(Ok(false), |object| choice("node_cost", object, &options))?;
        let given = leaves.entries()?;
        let watch = Watch::new(interrupt)?;
        let request = Request {
            clusters: clusters.as_ref().map(|array| array.entries()).transpose()?,
            lambda_b: float("lambda_b", lambda_b)?,
            lambda_d: lambda_d.map_or(Ok(0.0), |object| float("lambda_d", object))?,
            kv_budget: kv_budget.map(|object| int("kv_budget", object)).transpose()?,
            solver: self::solver(solver)?,
            time_limit: time_limit.map(|object| float("time_limit", object)).transpose()?,
            interrupt: Some(&watch.interrupt),
            ..Request::new(&[], &[], weights.entries()?)
        };
        // The lock covers only the copying; other threads may grow the tree during the solve.
        let part = self.with(py, |tree, marks| {
            let mut part = Part::default();
            tree.part_above_with(marks, &mut part, given).map(|()| part)
        })?;
        let selection = py.detach(|| {
            let costs: Vec<f64> = part.tokens.iter().map(|&tokens| tokens as f64).collect();
            select(&Request {
                parents: &part.parents,
                leaves: &part.leaves,
                node_tokens: Some(&part.tokens),
                node_costs: by_tokens.then_some(&costs),
                ..request
            })
        })?;
        watch.check()?;
        Ok(Selection::wrap(py, selection))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (nodes, prompt) = self.with(py, |tree, _| (tree.len(), tree.tokens()[0]));
        format!("Tree(nodes={nodes}, prompt_tokens={prompt})")
    }
}

/// The nodes on the root paths of some leaves of a tree, and the sum of their tokens.
///
/// Made by Tree.held; the tree may grow meanwhile. Safe to use from several threads.
#[pyclass(frozen, module = "ets._core")]
pub(super) struct Held {
    tree: Py<Tree>,
    inner: Mutex<tree::Held>,
}

#[pymethods]
impl Held {
    /// Hold leaves and their ancestors; return the tokens that were not held before.
    ///
    /// leaves is int64[n], node ids. Linear in the nodes that were not held before. Raises
    /// InputError, and holds nothing more, where a leaf is not a node.
    fn add(&self, py: Python<'_>, leaves: &Bound<'_, PyAny>) -> PyResult<u64> {
        let leaves = vector("leaves", leaves)?;
        let leaves = leaves.entries()?;
        // The tree's lock comes first, everywhere.
        let new = self.tree.get().with(py, |tree, _| self.lock().hold_all(tree, leaves))?;
        Ok(new)
    }

    /// Tokens on the distinct nodes held.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.lock().tokens())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("Held(tokens={})", self.tokens(py))
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, tree::Held> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
