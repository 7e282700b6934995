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
//! use ets_core::{NodeId, Request, rebase_weights, select_leaves};
//!
//! // A root with two steps below it; the first has two leaves, the second has one.
//! let parents = [0, 0, 0, 1, 1, 2].map(NodeId);
//! let leaves = [3, 4, 5].map(NodeId);
//! let weights: Vec<f64> =
//!     rebase_weights(&[0.9, 0.8, 0.2], 16, 0.2)?.into_iter().map(|n| n as f64).collect();
//! let clusters = [0, 0, 1];
//!
//! // A price alone prunes the weak leaf ...
//! let request = Request::new(&parents, &leaves, &weights).lambda_b(1.0);
//! assert_eq!(select_leaves(&request)?.keep, [true, true, false]);
//!
//! // ... unless it is the only one of its kind.
//! let selection = select_leaves(&request.clusters(&clusters).lambda_d(1.0))?;
//! assert!(selection.keep[2] && selection.optimal);
//! # Ok::<(), ets_core::Error>(())
//! ```
//!
//! The optimum is proven, unless a time limit cuts the proof short, which the answer then says. A
//! search loop keeps one [`Pruner`], which reuses its memory from call to call; `Generator`, behind the
//! feature `generators`, makes instances as a search meets them, to test and time a loop with:
//!
//! ```
//! # #[cfg(feature = "generators")] {
//! use std::time::Duration;
//!
//! use ets_core::{Generator, Pruner};
//!
//! let mut pruner = Pruner::new();
//! for seed in 0..3 {
//!     let instance = Generator::new(64, 8).seed(seed).generate()?;
//!     let request = instance.request(1.0, 1.4);
//!     let free = pruner.select_leaves(&request)?;
//!
//!     // The same, in three quarters of the KV cache that the optimum needs.
//!     let request = request.node_tokens(&instance.tokens);
//!     let held = pruner.select_leaves(&request)?.tokens_kept.unwrap_or(0);
//!     let budget = 3 * held / 4;
//!     let request = request.kv_budget(budget).time_limit(Duration::from_millis(50));
//!     let tight = pruner.select_leaves(&request)?;
//!     assert!(tight.tokens_kept <= Some(budget) && tight.objective <= free.objective);
//! }
//! # }
//! # Ok::<(), ets_core::Error>(())
//! ```
//!
//! Nothing here knows about text or models, does I/O or starts a thread; equal input gives equal
//! output on every run, but for a selection that a time limit cut short.
//!
//! # Features
//!
//! Each adds something and takes nothing away.
//!
//! - `milp` (default): `Solver::Milp`, the selection as a mixed-integer program on the pure-Rust
//!   `microlp`, as an independent second opinion.
//! - `highs`: `Solver::Highs`, the same program on `HiGHS`, which is built from source with cmake, a C++
//!   compiler and libclang.
//! - `generators`: `Generator`, `embeddings` and `embedding_arc`, to test and time a loop with.
//! - `python`: the Python extension `ets._core`.

mod allocate;
mod clock;
mod cluster;
mod disjoint_sets;
mod error;
#[cfg(feature = "generators")]
mod generate;
mod interrupt;
mod prune;
#[cfg(feature = "python")]
mod python;
mod random;
mod tree;
mod unit;

#[cfg(doctest)]
#[doc = include_str!("CRATE.md")]
struct Readme;

pub use allocate::{
    MAX_WIDTH, Resampling, beam_weights, dora_weights, dvts_weights, particle_weights,
    rebase_weights,
};
pub use cluster::{cluster_steps, cluster_steps_until};
pub use error::{Error, Number};
#[cfg(feature = "generators")]
pub use generate::{ClusterKind, Generator, Instance, embedding_arc, embeddings};
pub use interrupt::Interrupt;
pub use prune::{Pruner, Request, Selection, Solver, Stats, select_leaves};
pub use tree::{Held, Marks, NodeId, Part, Tree};
