//! The core of ETS (efficient tree search): which leaves of a search tree are worth their KV
//! cache, and how many continuations each of them gets.
//!
//! A search holds a [`Tree`] of partial solutions. At every step it scores the new leaves and asks
//! three questions, one function each:
//!
//! - **Who gets how much?** [`rebase_weights`] (also [`beam_weights`], [`dvts_weights`],
//!   [`particle_weights`], [`dora_weights`]) turns rewards into counts of continuations.
//! - **Which leaves say the same?** [`cluster_steps`] groups the embeddings of the last steps.
//! - **Which leaves are worth keeping?** [`select_leaves`] maximises the profit of the kept leaves,
//!   minus a price on the tree nodes that they hold in the KV cache, plus a reward for covering
//!   many clusters.
//!
//! ```
//! use ets_core::{Request, rebase_weights, select_leaves};
//!
//! // A root with two steps below it; the first has two leaves, the second has one.
//! let parents = [-1, 0, 0, 1, 1, 2];
//! let leaves = [3, 4, 5];
//! let weights: Vec<f64> =
//!     rebase_weights(&[0.9, 0.8, 0.2], 16, 0.2)?.into_iter().map(|n| n as f64).collect();
//! let clusters = [0, 0, 1];
//!
//! // A price alone prunes the weak leaf ...
//! let request = Request { lambda_b: 1.0, ..Request::new(&parents, &leaves, &weights) };
//! assert_eq!(select_leaves(&request)?.keep, [true, true, false]);
//!
//! // ... unless it is the only one of its kind.
//! let request = Request { clusters: Some(&clusters), lambda_d: 1.0, ..request };
//! let selection = select_leaves(&request)?;
//! assert!(selection.keep[2] && selection.optimal);
//! # Ok::<(), ets_core::Error>(())
//! ```
//!
//! The optimum is proven, unless a time limit cuts the proof short, which the answer then says. A
//! search loop keeps one [`Pruner`], which reuses its memory from call to call; [`Generator`] makes
//! instances as a search meets them, to test and time a loop with:
//!
//! ```
//! use ets_core::{ClusterKind, Generator, Pruner, Request};
//!
//! let mut pruner = Pruner::new();
//! for seed in 0..3 {
//!     let (width, depth, clusters) = (64, 8, ClusterKind::Inherited);
//!     let instance = Generator { width, depth, clusters, pruned: None, seed }.generate()?;
//!     let request = instance.request(1.0, 1.4);
//!     let free = pruner.select_leaves(&request)?;
//!
//!     // The same, in three quarters of the KV cache that the optimum needs.
//!     let request = Request { node_tokens: Some(&instance.tokens), ..request };
//!     let held = pruner.select_leaves(&request)?.tokens_kept.unwrap_or(0);
//!     let budget = 3 * held / 4;
//!     let request = Request { kv_budget: Some(budget as i64), time_limit: Some(0.05), ..request };
//!     let tight = pruner.select_leaves(&request)?;
//!     assert!(tight.tokens_kept <= Some(budget) && tight.objective <= free.objective);
//! }
//! # Ok::<(), ets_core::Error>(())
//! ```
//!
//! Nothing here knows about text or models, does I/O or starts a thread; equal input gives equal
//! output on every run, but for a selection that a time limit cut short. The Python extension
//! `ets._core` is the same code behind the cargo feature `python`. The feature `highs` puts the `HiGHS`
//! solver in the place of the pure-Rust `microlp` behind [`Solver::Milp`], the independent second
//! opinion; it is built from source, with cmake, a C++ compiler and libclang.

mod allocate;
mod clock;
mod cluster;
mod error;
mod generate;
mod interrupt;
mod prune;
#[cfg(feature = "python")]
mod python;
mod random;
mod tree;
mod unit;

pub use allocate::{
    MAX_WIDTH, Resampling, beam_weights, dora_weights, dvts_weights, particle_weights,
    rebase_weights,
};
pub use cluster::{cluster_steps, cluster_steps_until};
pub use error::{Error, Number};
pub use generate::{ClusterKind, Generator, Instance, embedding_arc, embeddings};
pub use interrupt::Interrupt;
pub use prune::{Pruner, Request, Selection, Solver, Stats, select_leaves};
pub use tree::{Held, Marks, NodeId, Part, Tree};
