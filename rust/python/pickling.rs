//! Pickles of trees, of what they hold, and of selections: numbered, and checked when they are read.

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::InputError;
use super::args::{choice, float, int, unsigned};
use super::held::Held;
use super::selection::Selection;
use super::tree::{Tree, copied};
use crate::prune;
use crate::tree;

/// Of the states below; another one is not read.
pub(super) const VERSION: i64 = 1;

/// What `__reduce__` returns: a function of this module, and what it is to be called with.
pub(super) fn reduced<'py>(
    py: Python<'py>,
    restore: &str,
    state: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Bound<'py, PyTuple>> {
    let restore = py.import("ets._core")?.getattr(restore)?;
    (restore, state.into_pyobject(py)?).into_pyobject(py)
}

/// Makes a tree of version, prompt_tokens, and parents and tokens of the nodes below the root.
#[pyfunction]
#[pyo3(name = "_restore_tree", signature = (*state))]
pub(super) fn restore_tree(state: &Bound<'_, PyTuple>) -> PyResult<Tree> {
    read("Tree", state, |[prompt, parents, tokens]| {
        let mut tree = tree::Tree::new(int("prompt_tokens", &prompt)?)?;
        tree.extend(&copied("parents", &parents)?, &copied("tokens", &tokens)?)?;
        Ok(Tree::wrap(tree))
    })
}

/// Makes a contracted tree of the same, and of the depths of all nodes.
#[pyfunction]
#[pyo3(name = "_restore_contracted", signature = (*state))]
pub(super) fn restore_contracted(state: &Bound<'_, PyTuple>) -> PyResult<Tree> {
    read("Tree", state, |[prompt, parents, tokens, depths]| {
        let mut tree = tree::Tree::new(int("prompt_tokens", &prompt)?)?;
        tree.extend(&copied("parents", &parents)?, &copied("tokens", &tokens)?)?;
        tree.set_depths(&copied("depths", &depths)?)?;
        Ok(Tree::wrap(tree))
    })
}

/// Makes a Held of version, tree, leaves.
#[pyfunction]
#[pyo3(name = "_restore_held", signature = (*state))]
pub(super) fn restore_held(state: &Bound<'_, PyTuple>) -> PyResult<Held> {
    read("Held", state, |[tree, leaves]| {
        let tree = tree.cast::<Tree>().map_err(|_| InputError::new_err("its tree is no Tree"))?;
        Held::over(tree, &leaves)
    })
}

/// Makes a selection of version and its attributes, in their order.
#[pyfunction]
#[pyo3(name = "_restore_selection", signature = (*state))]
pub(super) fn restore_selection(state: &Bound<'_, PyTuple>) -> PyResult<Selection> {
    let py = state.py();
    read("Selection", state, |[keep, objective, bound, optimal, nodes, tokens, stats]| {
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
    let solvers = ["onepass", "exact", "microlp", "highs"].map(|name| (name, name));
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
        microseconds: float("microseconds", &get("microseconds")?)?,
    })
}

/// Makes an object of the fields behind the version; whatever is wrong is an InputError.
fn read<'py, const N: usize, R>(
    what: &str,
    state: &Bound<'py, PyTuple>,
    make: impl FnOnce([Bound<'py, PyAny>; N]) -> PyResult<R>,
) -> PyResult<R> {
    let result =
        state.get_item(0).and_then(|version| int("version", &version)).and_then(|version| {
            if version != VERSION {
                let message = format!("version is {version}: it must be {VERSION}");
                return Err(InputError::new_err(message));
            }
            let fields: Vec<_> = state.iter().skip(1).collect();
            let wrong = |fields: Vec<_>| {
                InputError::new_err(format!("it has {} fields: it must have {N}", fields.len()))
            };
            make(fields.try_into().map_err(wrong)?)
        });
    result.map_err(|error| {
        let why = error.value(state.py());
        InputError::new_err(format!("not a pickled {what} of this version of ets: {why}"))
    })
}
