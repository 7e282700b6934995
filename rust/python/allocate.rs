//! Width allocation.

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use super::args::{Matrix, choice, float, matrix, unsigned, vector};
use super::convert::{copy_counts, copy_labels, count, signed};
use crate::allocate::{self, Resampling};

type Counts<'py> = PyResult<Bound<'py, PyArray1<i64>>>;

const WIDTH: &str = "between 1 and 2**32";

/// Allocate a width in proportion to exp(reward / temperature), rounding up, best leaf first.
///
/// The rule of REBASE. Leaves are sorted by reward, best first, equal rewards in the order
/// given; with e_i = exp((r_i - r_max) / T) and S_i the sum of e from i to the worst leaf, the
/// walk down gives leaf i
///
///     n_i = ceil(W_i * e_i / S_i),    W_{i+1} = W_i - n_i
///
/// A quotient within 1e-9 of an integer (rounding noise) is that integer.
///
/// Parameters
/// ----------
/// rewards : float64[n]
///     Reward of each leaf; finite.
/// width : int
///     Continuations to hand out, 1 to 2**32.
/// temperature : float
///     T, finite and above 0.
///
/// Returns
/// -------
/// int64[n]
///     Continuations of each leaf; they sum to width exactly. The worst leaves may get 0.
///
/// Raises
/// ------
/// InputError
///     An argument is out of range, or rewards is empty or not a C-contiguous float64 vector.
#[pyfunction]
#[pyo3(signature = (rewards, width, temperature = None), text_signature = "(rewards, width, temperature=0.2)")]
pub(super) fn rebase_weights<'py>(
    py: Python<'py>,
    rewards: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    temperature: Option<&Bound<'py, PyAny>>,
) -> Counts<'py> {
    let rewards = vector("rewards", rewards)?;
    let rewards = rewards.copied(py)?;
    let width = count("width", width, WIDTH)?;
    let temperature = temperature.map_or(Ok(0.2), |object| float("temperature", object))?;
    let counts = py.detach(|| allocate::rebase_weights(&rewards, width, temperature))?;
    Ok(signed(counts).into_pyarray(py))
}

/// Give each of the keep best leaves ceil(width / keep) continuations, all others none.
///
/// Equal rewards go in the order given. The sum may exceed the width, as beam search has it,
/// and may fall short where there are fewer leaves than keep.
///
/// Parameters
/// ----------
/// rewards : float64[n]
///     Reward of each leaf; finite.
/// width : int
///     Continuations to hand out, 1 to 2**32.
/// keep : int or None
///     Leaves to keep, 1 to 2**32; None for ceil(sqrt(width)).
///
/// Returns
/// -------
/// int64[n]
///     Continuations of each leaf.
///
/// Raises
/// ------
/// InputError
///     An argument is out of range, or rewards is empty or not a C-contiguous float64 vector.
#[pyfunction]
#[pyo3(signature = (rewards, width, keep = None))]
pub(super) fn beam_weights<'py>(
    py: Python<'py>,
    rewards: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    keep: Option<&Bound<'py, PyAny>>,
) -> Counts<'py> {
    let rewards = vector("rewards", rewards)?;
    let rewards = rewards.copied(py)?;
    let width = count("width", width, WIDTH)?;
    let keep = keep.map(|object| count("keep", object, WIDTH)).transpose()?;
    let counts = py.detach(|| allocate::beam_weights(&rewards, width, keep))?;
    Ok(signed(counts).into_pyarray(py))
}

/// Give the best leaf of each subtree that subtree's share of the width, all others none.
///
/// The first of equal leaves wins. A subtree without leaves leaves its share unused.
///
/// Parameters
/// ----------
/// rewards : float64[n]
///     Reward of each leaf; finite.
/// subtrees : int64[n]
///     Subtree of each leaf, 0 to s - 1.
/// shares : int64[s]
///     Continuations of each subtree, 0 to 2**32.
///
/// Returns
/// -------
/// int64[n]
///     Continuations of each leaf.
///
/// Raises
/// ------
/// InputError
///     An entry is out of range, lengths differ, or an array is not a C-contiguous vector of
///     the right dtype.
#[pyfunction]
pub(super) fn dvts_weights<'py>(
    py: Python<'py>,
    rewards: &Bound<'py, PyAny>,
    subtrees: &Bound<'py, PyAny>,
    shares: &Bound<'py, PyAny>,
) -> Counts<'py> {
    let (rewards, given, given_shares) =
        (vector("rewards", rewards)?, vector("subtrees", subtrees)?, vector("shares", shares)?);
    let rewards = rewards.copied(py)?;
    let (mut subtrees, mut shares) = (vec![], vec![]);
    copy_counts("shares", given_shares.entries()?, "between 0 and 2**32", &mut shares)?;
    let of = Some((shares.len(), "the number of shares"));
    copy_labels("subtrees", given.entries()?, of, &mut subtrees)?;
    let counts = py.detach(|| allocate::dvts_weights(&rewards, &subtrees, &shares))?;
    Ok(signed(counts).into_pyarray(py))
}

/// Resample leaves in proportion to softmax(logit(reward) / temperature).
///
/// The rule of particle filtering (arXiv 2502.01618). Rewards are clipped to [1e-7, 1 - 1e-7]; with
/// o_i = r_i / (1 - r_i), leaf i is drawn with probability
///
///     p_i = o_i ** (1 / T) / sum_j o_j ** (1 / T)
///
/// Equal arguments give equal counts; with temperature 1 on every platform.
///
/// Parameters
/// ----------
/// rewards : float64[n]
///     Reward of each leaf, 0 to 1.
/// width : int
///     Continuations to hand out, 1 to 2**32.
/// temperature : float
///     T, finite and above 0; 1 in the paper.
/// seed : int
///     Seed of the draws, 0 to 2**64 - 1.
/// method : {"multinomial", "systematic"}
///     "multinomial": one independent draw for each continuation, as in the paper; O(n + width).
///     "systematic": equally spaced points with one random start, so that each count is
///     width * p_i rounded down or up; O(n).
///
/// Returns
/// -------
/// int64[n]
///     Continuations of each leaf; they sum to width exactly.
///
/// Raises
/// ------
/// InputError
///     An argument is out of range, or rewards is empty or not a C-contiguous float64 vector.
#[pyfunction]
#[pyo3(
    signature = (rewards, width, temperature = None, *, seed, method = None),
    text_signature = "(rewards, width, temperature=1.0, *, seed, method='multinomial')"
)]
pub(super) fn particle_weights<'py>(
    py: Python<'py>,
    rewards: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    temperature: Option<&Bound<'py, PyAny>>,
    seed: &Bound<'py, PyAny>,
    method: Option<&Bound<'py, PyAny>>,
) -> Counts<'py> {
    let rewards = vector("rewards", rewards)?;
    let rewards = rewards.copied(py)?;
    let (width, seed) = (count("width", width, WIDTH)?, unsigned("seed", seed)?);
    let temperature = temperature.map_or(Ok(1.0), |object| float("temperature", object))?;
    let options =
        [("multinomial", Resampling::Multinomial), ("systematic", Resampling::Systematic)];
    let method =
        method.map_or(Ok(Resampling::default()), |object| choice("method", object, &options))?;
    let counts =
        py.detach(|| allocate::particle_weights(&rewards, width, temperature, seed, method))?;
    Ok(signed(counts).into_pyarray(py))
}

/// Allocate a width in proportion to reward and uniqueness, rounding up, largest share first.
///
/// The rule of DORA (arXiv 2506.15707). With S_ij the cosine of the embeddings of leaves i and j,
///
///     q_i = exp(r_i / T) / sum_j exp(r_j / T)
///     u_i = exp(S_ii / T_s) / sum_j exp(S_ij / T_s)
///     w_i = q_i * u_i / sum_j q_j * u_j
///
/// and the counts follow from w as in rebase_weights: largest first, each its share of what is
/// left, rounded up. Shares within 1e-9 of each other are equal and go in the order given. Takes
/// time in proportion to n * n * d.
///
/// Parameters
/// ----------
/// rewards : float64[n]
///     Reward of each leaf; finite.
/// embeddings : float32[n, d] or float64[n, d]
///     One row for each leaf; finite, no zero row.
/// width : int
///     Continuations to hand out, 1 to 2**32.
/// temperature : float
///     T, finite and above 0; 0.1 in the paper.
/// similarity_temperature : float
///     T_s, finite and above 0; 0.01 in the paper.
///
/// Returns
/// -------
/// int64[n]
///     Continuations of each leaf; they sum to width exactly.
///
/// Raises
/// ------
/// InputError
///     An argument is out of range, a row is zero or not finite (the message has its index),
///     lengths differ, or an array is not C-contiguous and of the right dtype.
#[pyfunction]
#[pyo3(
    signature = (rewards, embeddings, width, temperature = None, similarity_temperature = None),
    text_signature = "(rewards, embeddings, width, temperature=0.1, similarity_temperature=0.01)"
)]
pub(super) fn dora_weights<'py>(
    py: Python<'py>,
    rewards: &Bound<'py, PyAny>,
    embeddings: &Bound<'py, PyAny>,
    width: &Bound<'py, PyAny>,
    temperature: Option<&Bound<'py, PyAny>>,
    similarity_temperature: Option<&Bound<'py, PyAny>>,
) -> Counts<'py> {
    let rewards = vector("rewards", rewards)?;
    let rewards = rewards.copied(py)?;
    let width = count("width", width, WIDTH)?;
    let t = temperature.map_or(Ok(0.1), |object| float("temperature", object))?;
    let t_s = similarity_temperature
        .map_or(Ok(0.01), |object| float("similarity_temperature", object))?;
    let counts = match matrix("embeddings", embeddings)? {
        Matrix::Single(array) => {
            let (entries, dim) = (array.copied(py)?, array.width());
            py.detach(|| allocate::dora_weights(&rewards, &entries, dim, width, t, t_s))
        }
        Matrix::Double(array) => {
            let (entries, dim) = (array.copied(py)?, array.width());
            py.detach(|| allocate::dora_weights(&rewards, &entries, dim, width, t, t_s))
        }
    }?;
    Ok(signed(counts).into_pyarray(py))
}
