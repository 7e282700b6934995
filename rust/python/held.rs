//! `Held`: a running sum over a tree, as a Python class.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::convert::{Ids, signed_ids};
use super::tree::Tree;
use super::{InputError, fork, pickling};
use crate::tree;

/// The nodes on the root paths of some leaves of a tree, and the sum of their tokens.
///
/// Made by Tree.held; the tree may grow meanwhile. Safe to use from several threads. A pickle and a
/// deep copy bring a tree of their own, a shallow copy stays with this one's. Equal where the trees
/// are and the same nodes are held.
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
        let leaves = Ids::read("leaves", leaves)?;
        // The tree's lock comes first, everywhere.
        let new = self.tree.get().with(py, |tree, _| {
            let leaves = leaves.of(tree.len())?;
            self.lock().hold_all(tree, leaves)
        })?;
        Ok(new)
    }

    /// Tokens on the distinct nodes held.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> u64 {
        py.detach(|| {
            let _no_fork = fork::pass();
            self.lock().tokens()
        })
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> bool {
        let (py, one, two) = (slf.py(), slf.get(), other.get());
        slf.is(other)
            || (one.leaves(py) == two.leaves(py) && one.tree.get().equals(py, two.tree.get()))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let leaves = signed_ids(&self.leaves(py)).into_pyarray(py);
        pickling::reduced(py, "_restore_held", (pickling::VERSION, &self.tree, leaves))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("Held(tokens={})", self.tokens(py))
    }
}

impl Held {
    /// Makes one that holds leaves of a tree.
    pub fn over(tree: &Bound<'_, Tree>, leaves: &Bound<'_, PyAny>) -> PyResult<Self> {
        let held = Self { tree: tree.clone().unbind(), inner: Mutex::default() };
        held.add(tree.py(), leaves)?;
        Ok(held)
    }

    /// Lists the least nodes that hold what is held.
    fn leaves(&self, py: Python<'_>) -> Vec<tree::NodeId> {
        self.tree.get().with(py, |tree, _| self.lock().leaves(tree))
    }

    fn lock(&self) -> MutexGuard<'_, tree::Held> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a Held of version, tree, leaves.
#[pyfunction]
#[pyo3(name = "_restore_held", signature = (*state))]
pub(super) fn restore_held(state: &Bound<'_, PyTuple>) -> PyResult<Held> {
    pickling::read("Held", state, |[tree, leaves]| {
        let tree = tree.cast::<Tree>().map_err(|_| InputError::new_err("its tree is no Tree"))?;
        Held::over(tree, &leaves)
    })
}
