//! Leaf selection: mean over a pool of instances, on the published settings and on hard ones.
//!
//! Medians, percentiles and worst cases over the same pools: `cargo bench --bench percentiles`.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod common;

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};

use common::Pool;
use ets_core::{Pruner, Request};

fn select(c: &mut Criterion) {
    let mut group = c.benchmark_group("select");
    group.sample_size(20).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    for width in common::WIDTHS {
        let pool = LazyCell::new(move || Pool::published(width));
        cycle(&mut group, BenchmarkId::new("published", width), || pool.requests());
    }
    for width in [256, 1024] {
        let pool = LazyCell::new(move || Pool::hard(width, 2));
        cycle(&mut group, BenchmarkId::new("hard", width), || pool.requests());
    }
    for rho in [0.5, 0.0] {
        for width in [64, 256, 1024] {
            let id = BenchmarkId::new(format!("mass, rho {rho}"), width);
            let pool = LazyCell::new(move || common::mass::pool(width, rho));
            cycle(&mut group, id, || pool.iter().map(common::mass::Tree::request).collect());
        }
    }
    group.finish();
}

/// Times one case after the other, round and round, so that no call finds the branches and caches
/// that the same call just left.
fn cycle<'a>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    requests: impl Fn() -> Vec<Request<'a>>,
) {
    let mut pruner = Pruner::new();
    // Criterion calls the closure many times, and never where the id is filtered out.
    group.bench_function(id, |b| {
        let requests = requests();
        let mut requests = requests.iter().cycle();
        b.iter(|| pruner.select_leaves(black_box(requests.next().expect("a pool is never empty"))));
    });
}

criterion_group!(benches, select);
criterion_main!(benches);
