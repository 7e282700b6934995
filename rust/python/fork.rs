//! Forks of the process: none begins while a thread holds a tree.
//!
//! The child of a fork has but the thread that forked. A lock that another one held would stay shut
//! there for ever, and what it guards might be half changed. So a fork waits for the calls on trees
//! that are under way, and those that come meanwhile wait for the fork.

use std::cell::RefCell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Held for reading by each call on a tree, for writing by a thread that forks.
static GATE: RwLock<()> = RwLock::new(());

thread_local! {
    /// The gate, shut, from before this thread forks until after, in parent and child.
    static SHUT: RefCell<Option<RwLockWriteGuard<'static, ()>>> = const { RefCell::new(None) };
}

/// Keeps forks away for as long as the guard lives; call it detached, and once at a time.
pub(super) fn pass() -> Option<RwLockReadGuard<'static, ()>> {
    match GATE.try_read() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        // A fork hook of somebody else's that uses a tree must not wait for its own fork.
        Err(TryLockError::WouldBlock) if SHUT.with_borrow(Option::is_some) => None,
        Err(TryLockError::WouldBlock) => Some(GATE.read().unwrap_or_else(PoisonError::into_inner)),
    }
}

#[pyfunction]
fn before_fork(py: Python<'_>) {
    // Detached, so that another thread that forks too can go on to its end.
    py.detach(|| {
        SHUT.with_borrow_mut(|shut| {
            if shut.is_none() {
                *shut = Some(GATE.write().unwrap_or_else(PoisonError::into_inner));
            }
        });
    });
}

#[pyfunction]
fn after_fork() {
    SHUT.take();
}

/// Registers the two with Python, where there are forks.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let os = py.import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let hooks = PyDict::new(py);
    let after = wrap_pyfunction!(after_fork, module)?;
    hooks.set_item("before", wrap_pyfunction!(before_fork, module)?)?;
    hooks.set_item("after_in_parent", &after)?;
    hooks.set_item("after_in_child", &after)?;
    os.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}
