//! Clustering of step embeddings in 384 dimensions, cut at 0.05.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use ets_core::{Error, cluster_steps, embedding_arc, embeddings};

const DIM: usize = 384;

fn cluster(c: &mut Criterion) {
    let mut group = c.benchmark_group("cluster");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3));
    for width in [256, 1024, 4096] {
        // A quarter as many meanings as steps, wordings well inside the cut.
        measure(&mut group, "meanings", width, || embeddings(width, DIM, width / 4, 0.15, 1));
        measure(&mut group, "one_component", width, || embedding_arc(width, DIM, 0.1, 1));
        // Each wording eight times, as the texts of a wide step repeat.
        let wordings = || embeddings(width / 8, DIM, width / 32, 0.15, 1);
        measure(&mut group, "repeated", width, || Ok(wordings()?.repeat(8)));
    }
    group.finish();
}

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    width: usize,
    rows: impl Fn() -> Result<Vec<f32>, Error>,
) {
    let rows = LazyCell::new(|| rows().expect("the sizes are in range"));
    group.bench_function(BenchmarkId::new(name, width), |b| {
        b.iter(|| cluster_steps(black_box(rows.as_slice()), DIM, 0.05));
    });
}

criterion_group!(benches, cluster);
criterion_main!(benches);
