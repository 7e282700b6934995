//! `Tree`: the arena as a Python class.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::args::{choice, float, maybe_vector, vector};
use super::convert::{self, Ids, count, signed_ids, signed_parents};
use super::held::Held;
use super::interrupt::Watch;
use super::selection::{Selection, labels_of, select, solver};
use super::{fork, pickling};
use crate::error::Error;
use crate::prune::Request;
use crate::tree::{self, Marks, Part};

/// The search tree of one problem, with KV accounting.
///
/// Node 0 is the root and holds the prompt's tokens; ids count up in order of creation, so parents
/// come before children. Safe to use from several threads, and in the child of a fork. Pickles and
/// copies are trees of their own; equal where parents, tokens and depths are, and not hashable.
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
    pub fn wrap(tree: tree::Tree) -> Self {
        Self { inner: Mutex::new((tree, Marks::default())) }
    }

    /// Whether two trees are equal; only ever one of them is locked.
    pub fn equals(&self, py: Python<'_>, other: &Self) -> bool {
        let copy = self.with(py, |tree, _| tree.clone());
        other.with(py, |tree, _| *tree == copy)
    }

    /// Runs `work` on the tree, detached: another thread may hold the lock while it waits for the
    /// GIL, so the lock is only ever taken without it.
    pub fn with<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut tree::Tree, &mut Marks) -> R + Send,
    ) -> R {
        py.detach(|| {
            let _no_fork = fork::pass();
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
        Ok(Self::wrap(tree::Tree::new(convert::tokens("prompt_tokens", prompt_tokens)?)))
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
        let (parent, tokens) =
            (convert::node("parent", parent)?, convert::tokens("tokens", tokens)?);
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
        let parents = Ids::read("parents", parents)?;
        let tokens = convert::each_tokens("tokens", tokens)?;
        let ids = self.with(py, |tree, _| {
            let ids = tree.extend(parents.above_added(tree.len())?, &tokens)?;
            Ok::<_, Error>(signed_ids(&ids))
        })?;
        Ok(ids.into_pyarray(py))
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.with(py, |tree, _| tree.len())
    }

    /// Parent of each node, int64[m], a copy; -1 for the root.
    #[getter]
    fn parents<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.with(py, |tree, _| signed_parents(tree.parents())).into_pyarray(py)
    }

    /// Tokens that each node itself holds, int64[m], a copy; the prompt's for the root.
    #[getter]
    fn tokens<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let tokens: Vec<i64> =
            self.with(py, |tree, _| tree.tokens().iter().map(|&t| i64::from(t)).collect());
        tokens.into_pyarray(py)
    }

    /// Steps from the root to each node, int64[m], a copy; 0 for the root. In a contracted tree
    /// those of the whole one.
    #[getter]
    fn depths<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        self.with(py, |tree, _| depths_of(tree)).into_pyarray(py)
    }

    /// List the nodes from the root to node, both included.
    ///
    /// Raises InputError where node is not a node.
    fn path(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let node = convert::node("node", node)?;
        let path = self.with(py, |tree, _| tree.path(node))?;
        Ok(path.into_iter().map(|node| node.0).collect())
    }

    /// Sum the tokens on the distinct nodes of the leaves' root paths.
    ///
    /// leaves is int64[n], node ids; shared prefixes count once, the prompt once. Linear in the
    /// nodes touched. Raises InputError where a leaf is not a node.
    fn kv_tokens(&self, py: Python<'_>, leaves: &Bound<'_, PyAny>) -> PyResult<u64> {
        let leaves = Ids::read("leaves", leaves)?;
        Ok(self.with(py, |tree, marks| tree.kv_tokens_with(marks, leaves.of(tree.len())?))?)
    }

    /// Start a running sum of the tokens on the leaves' root paths, to which leaves can be added.
    ///
    /// leaves is int64[n], node ids; repeats change nothing. Raises InputError where a leaf is not
    /// a node.
    fn held(slf: &Bound<'_, Self>, leaves: &Bound<'_, PyAny>) -> PyResult<Held> {
        Held::over(slf, leaves)
    }

    /// Make a small tree in which any of the leaves hold the same tokens and are selected as here.
    ///
    /// leaves is int64[n], distinct node ids. Returns that tree and the leaves' ids in it,
    /// int64[n]. It has the nodes on their paths, but one for each run of more than 64 nodes with
    /// no leaf and no parting of paths before its end: at most 128 n. That one holds what the run
    /// held, and counts as so many nodes in select and depths. What grows below the leaves holds as
    /// much in either. Linear in the nodes touched. Raises InputError where a leaf is not a node or
    /// twice the same.
    fn contracted<'py>(
        &self,
        py: Python<'py>,
        leaves: &Bound<'py, PyAny>,
    ) -> PyResult<(Self, Bound<'py, PyArray1<i64>>)> {
        let leaves = Ids::read("leaves", leaves)?;
        let (tree, places) =
            self.with(py, |tree, marks| tree.contracted_with(marks, leaves.of(tree.len())?))?;
        Ok((Self::wrap(tree), signed_ids(&places).into_pyarray(py)))
    }

    /// Choose the leaves of this tree that are worth their KV cache.
    ///
    /// As select_leaves with this tree's parents and tokens. node_cost is "uniform" (every node
    /// on a path to a candidate costs the same) or "tokens" (its share of their tokens). A run of
    /// more than 64 nodes, as in contracted, is priced as one: its sum is rounded once.
    #[pyo3(
        signature = (leaves, weights, clusters = None, *, lambda_b, lambda_d = None,
            lambda_r = None, cluster_worth = None, rho = None, node_cost = None, kv_budget = None,
            solver = None, time_limit = None, interrupt = None),
        text_signature = "($self, leaves, weights, clusters=None, *, lambda_b, lambda_d=0.0, \
            lambda_r=1.0, cluster_worth=None, rho=0.0, node_cost='uniform', kv_budget=None, \
            solver='auto', time_limit=None, interrupt=None)"
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
        lambda_r: Option<&Bound<'py, PyAny>>,
        cluster_worth: Option<&Bound<'py, PyAny>>,
        rho: Option<&Bound<'py, PyAny>>,
        node_cost: Option<&Bound<'py, PyAny>>,
        kv_budget: Option<&Bound<'py, PyAny>>,
        solver: Option<&Bound<'py, PyAny>>,
        time_limit: Option<&Bound<'py, PyAny>>,
        interrupt: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Selection> {
        let (leaves, weights) = (Ids::read("leaves", leaves)?, vector("weights", weights)?);
        let clusters = maybe_vector("clusters", clusters)?;
        let cluster_worth = maybe_vector("cluster_worth", cluster_worth)?;
        let options = [("uniform", false), ("tokens", true)];
        let by_tokens =
            node_cost.map_or(Ok(false), |object| choice("node_cost", object, &options))?;
        let watch = Watch::new(interrupt)?;
        let request = Request {
            lambda_b: float("lambda_b", lambda_b)?,
            lambda_d: lambda_d.map_or(Ok(0.0), |object| float("lambda_d", object))?,
            lambda_r: lambda_r.map_or(Ok(1.0), |object| float("lambda_r", object))?,
            cluster_worth: cluster_worth.as_ref().map(|array| array.entries()).transpose()?,
            rho: rho.map_or(Ok(0.0), |object| float("rho", object))?,
            kv_budget: kv_budget
                .map(|object| count("kv_budget", object, "at least 0"))
                .transpose()?,
            solver: self::solver(solver)?,
            time_limit: time_limit
                .map(|object| convert::seconds("time_limit", object))
                .transpose()?,
            interrupt: Some(&watch.interrupt),
            ..Request::new(&[], &[], weights.entries()?)
        };
        // The lock covers only the copying; other threads may grow the tree during the solve.
        let mut part = self.with(py, |tree, marks| {
            let mut part = Part::default();
            tree.part_above_with(marks, &mut part, leaves.of(tree.len())?)?;
            Ok::<_, Error>(part)
        })?;
        let labels = clusters.as_ref().map(|array| array.entries()).transpose()?;
        let selection = py.detach(|| {
            part.shorten();
            let costs: Option<Vec<f64>> =
                by_tokens.then(|| part.tokens().iter().map(|&tokens| tokens as f64).collect());
            let of_part = Request::of_part(&part, request.weights);
            select(|pruner, copies| {
                Ok(pruner.select_leaves(&Request {
                    clusters: labels_of(&request, labels, &mut copies.labels)?,
                    parents: of_part.parents,
                    leaves: of_part.leaves,
                    node_tokens: of_part.node_tokens,
                    node_counts: of_part.node_counts,
                    part: of_part.part,
                    node_costs: costs.as_deref(),
                    ..request
                })?)
            })
        })?;
        watch.check()?;
        Ok(Selection::wrap(py, selection))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        slf.is(other) || slf.get().equals(slf.py(), other.get())
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (parents, tokens, depths) = self.with(py, |tree, _| {
            // Those of a tree that was grown follow from its parents.
            let depths = tree.is_contracted().then(|| depths_of(tree));
            (signed_ids(&tree.parents()[1..]), tree.tokens().to_vec(), depths)
        });
        let below: Vec<i64> = tokens[1..].iter().map(|&held| i64::from(held)).collect();
        let (parents, below) = (parents.into_pyarray(py), below.into_pyarray(py));
        let version = pickling::VERSION;
        if let Some(depths) = depths {
            let depths = depths.into_pyarray(py);
            let state = (version, tokens[0], parents, below, depths);
            return pickling::reduced(py, "_restore_contracted", state);
        }
        pickling::reduced(py, "_restore_tree", (version, tokens[0], parents, below))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (nodes, prompt) = self.with(py, |tree, _| (tree.len(), tree.tokens()[0]));
        format!("Tree(nodes={nodes}, prompt_tokens={prompt})")
    }
}

/// Makes a tree of version, prompt_tokens, and parents and tokens of the nodes below the root.
#[pyfunction]
#[pyo3(name = "_restore_tree", signature = (*state))]
pub(super) fn restore_tree(state: &Bound<'_, PyTuple>) -> PyResult<Tree> {
    pickling::read("Tree", state, |[prompt, parents, tokens]| {
        Ok(Tree::wrap(grown(&prompt, &parents, &tokens)?))
    })
}

/// Makes a contracted tree of the same, and of the depths of all nodes.
#[pyfunction]
#[pyo3(name = "_restore_contracted", signature = (*state))]
pub(super) fn restore_contracted(state: &Bound<'_, PyTuple>) -> PyResult<Tree> {
    pickling::read("Tree", state, |[prompt, parents, tokens, depths]| {
        let mut tree = grown(&prompt, &parents, &tokens)?;
        tree.set_depths(&convert::depths("depths", &depths)?)?;
        Ok(Tree::wrap(tree))
    })
}

fn depths_of(tree: &tree::Tree) -> Vec<i64> {
    tree.depths().iter().map(|&depth| i64::from(depth)).collect()
}

/// Makes a tree of its prompt's tokens, and parents and tokens of the nodes below the root.
fn grown(
    prompt: &Bound<'_, PyAny>,
    parents: &Bound<'_, PyAny>,
    tokens: &Bound<'_, PyAny>,
) -> PyResult<tree::Tree> {
    let mut tree = tree::Tree::new(convert::tokens("prompt_tokens", prompt)?);
    let parents = Ids::read("parents", parents)?;
    let tokens = convert::each_tokens("tokens", tokens)?;
    tree.extend(parents.above_added(tree.len())?, &tokens)?;
    Ok(tree)
}
