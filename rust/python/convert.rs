//! Python's integers and floats as the core's ids, labels, counts and times, and back.

use std::time::Duration;

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use super::args::{float, int, vector};
use crate::error::{Error, check_scalar};
use crate::prune::wrong_parent;
use crate::tree::NodeId;

// Different labels stay different.
const _: () = assert!(usize::BITS == 64, "Python's labels have 64 bits");

const TOKENS: &str = "between 0 and 2**32 - 1";
const NODES: &str = "the number of nodes";

/// Ids of nodes as a caller gave them, of use once it is known how many nodes there are.
pub(super) struct Ids {
    argument: &'static str,
    nodes: Vec<NodeId>,
    /// The first that no node can have.
    wrong: Option<(usize, i64)>,
}

impl Ids {
    /// Copies a vector of ids, so that what is checked is what is used.
    pub fn read(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut nodes = vec![];
        let wrong = append_ids(argument, vector(argument, object)?.entries()?, &mut nodes)?;
        Ok(Self { argument, nodes, wrong })
    }

    /// Returns them as ids of so many nodes, unless one is no id at all.
    pub fn of(&self, nodes: usize) -> Result<&[NodeId], Error> {
        self.below(|_| nodes, NODES)
    }

    /// Returns them as parents of what is added to so many nodes.
    pub fn above_added(&self, nodes: usize) -> Result<&[NodeId], Error> {
        self.below(|index| nodes + index, "the number of nodes by then")
    }

    fn below(
        &self,
        below: impl Fn(usize) -> usize,
        what: &'static str,
    ) -> Result<&[NodeId], Error> {
        self.wrong.map_or(Ok(&self.nodes), |(index, value)| {
            let (argument, value, below) = (self.argument, value.into(), below(index));
            Err(Error::OutOfRange { argument, index, value, below, what })
        })
    }
}

/// Reads the id of a node.
pub(super) fn node(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<NodeId> {
    narrow(argument, object, "the id of a node of this tree").map(NodeId)
}

/// Reads the tokens that a node holds.
pub(super) fn tokens(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<u32> {
    narrow(argument, object, TOKENS)
}

/// Copies the tokens that each of some nodes holds.
pub(super) fn each_tokens(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    narrow_all(argument, object, TOKENS)
}

/// Copies the steps from the root to each of some nodes.
pub(super) fn depths(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    narrow_all(argument, object, "below 2**32, and at least its parent's")
}

/// Reads a number of things; of what is not negative the core knows the range.
pub(super) fn count(
    argument: &'static str,
    object: &Bound<'_, PyAny>,
    expected: &'static str,
) -> PyResult<u64> {
    let given = int(argument, object)?;
    check_scalar(argument, given, expected, given >= 0)?;
    Ok(given.unsigned_abs())
}

/// Copies numbers of things; of what is not negative the core knows the range.
pub(super) fn copy_counts(
    argument: &'static str,
    given: &[i64],
    expected: &'static str,
    counts: &mut Vec<u64>,
) -> PyResult<()> {
    counts.clear();
    append(given, counts, |count| count as u64)?;
    first_negative(counts.iter().map(|&count| count as i64)).map_or(Ok(()), |(index, value)| {
        Err(Error::Entry { argument, index, value: value.into(), expected }.into())
    })
}

/// Copies labels, which are any integers, or indices of a list where its length is given.
pub(super) fn copy_labels(
    argument: &'static str,
    given: &[i64],
    list: Option<(usize, &'static str)>,
    labels: &mut Vec<usize>,
) -> PyResult<()> {
    labels.clear();
    append(given, labels, |label| label as usize)?;
    let Some((below, what)) = list else { return Ok(()) };
    first_negative(labels.iter().map(|&label| label as i64)).map_or(Ok(()), |(index, value)| {
        Err(Error::OutOfRange { argument, index, value: value.into(), below, what }.into())
    })
}

/// Copies the parents of a tree's nodes: -1 of the root, which is its own for the core.
pub(super) fn copy_parents(given: &[i64], parents: &mut Vec<NodeId>) -> PyResult<()> {
    parents.clear();
    let (argument, index) = ("parents", 0);
    let Some((&root, below)) = given.split_first() else { return Ok(()) };
    if root != -1 {
        let (value, expected) = (root.into(), "-1, for node 0 is the root");
        return Err(Error::Entry { argument, index, value, expected }.into());
    }
    parents.push(NodeId::ROOT);
    let wrong = append_ids(argument, below, parents)?;
    wrong.map_or(Ok(()), |(index, parent)| Err(wrong_parent(index + 1, parent).into()))
}

/// Copies the leaves of a tree of so many nodes.
pub(super) fn copy_leaves(given: &[i64], nodes: usize, leaves: &mut Vec<NodeId>) -> PyResult<()> {
    leaves.clear();
    let argument = "leaves";
    append_ids(argument, given, leaves)?.map_or(Ok(()), |(index, value)| {
        let value = value.into();
        Err(Error::OutOfRange { argument, index, value, below: nodes, what: NODES }.into())
    })
}

/// Reads seconds.
pub(super) fn seconds(argument: &'static str, object: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let seconds = float(argument, object)?;
    let right = seconds.is_finite() && seconds >= 0.0;
    check_scalar(argument, seconds, "finite seconds, at least 0", right)?;
    // What does not fit is no limit.
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// Lists counts or labels, all of which are small, as Python's arrays have them.
pub(super) fn signed<T>(numbers: Vec<T>) -> Vec<i64>
where
    i64: TryFrom<T>,
{
    numbers.into_iter().map(|number| i64::try_from(number).unwrap_or(i64::MAX)).collect()
}

/// Lists ids as Python's arrays have them.
pub(super) fn signed_ids(ids: &[NodeId]) -> Vec<i64> {
    ids.iter().map(|id| id.0.into()).collect()
}

/// Lists the parents of a tree's nodes as Python's arrays have them: -1 of the root.
pub(super) fn signed_parents(parents: &[NodeId]) -> Vec<i64> {
    let mut signed = signed_ids(parents);
    signed.iter_mut().take(1).for_each(|root| *root = -1);
    signed
}

fn narrow(
    argument: &'static str,
    object: &Bound<'_, PyAny>,
    expected: &'static str,
) -> PyResult<u32> {
    let given = int(argument, object)?;
    let refuse = |_| Error::Scalar { argument, value: given.into(), expected };
    Ok(u32::try_from(given).map_err(refuse)?)
}

fn narrow_all(
    argument: &'static str,
    object: &Bound<'_, PyAny>,
    expected: &'static str,
) -> PyResult<Vec<u32>> {
    let given = vector::<i64>(argument, object)?;
    let narrow = |(index, &value): (usize, &i64)| {
        let refuse = |_| Error::Entry { argument, index, value: value.into(), expected };
        Ok(u32::try_from(value).map_err(refuse)?)
    };
    given.entries()?.iter().enumerate().map(narrow).collect()
}

/// Copies ids; returns the first that no node can have.
fn append_ids(
    argument: &'static str,
    given: &[i64],
    ids: &mut Vec<NodeId>,
) -> PyResult<Option<(usize, i64)>> {
    let mut bits = 0;
    append(given, ids, |id| {
        bits |= id;
        NodeId(id as u32)
    })?;
    if u32::try_from(bits).is_ok() {
        return Ok(None);
    }
    let wrong = given.iter().copied().enumerate().find(|&(_, id)| u32::try_from(id).is_err());
    // The caller may have written to the array since it was copied.
    Ok(Some(wrong.ok_or(Error::Changed { argument })?))
}

fn append<T>(given: &[i64], to: &mut Vec<T>, convert: impl FnMut(i64) -> T) -> PyResult<()> {
    let no_memory = |_| PyMemoryError::new_err("no memory is left for a copy of an array");
    to.try_reserve(given.len()).map_err(no_memory)?;
    to.extend(given.iter().copied().map(convert));
    Ok(())
}

fn first_negative(values: impl Iterator<Item = i64>) -> Option<(usize, i64)> {
    values.enumerate().find(|&(_, value)| value < 0)
}
