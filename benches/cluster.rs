//! Clustering of step embeddings (384 dimensions) at widths 16 to 1024.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn cluster(c: &mut Criterion) {
    let mut group = c.benchmark_group("cluster");
    group.sample_size(10).warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(2));
    for width in common::WIDTHS {
        let rows = common::embeddings(width, 384, 1);
        group.bench_function(BenchmarkId::new("meanings", width), |b| {
            b.iter(|| ets_core::cluster_steps(black_box(&rows), 384, 0.05));
        });
        // A wide arc of neighbours: one component that the cut splits.
        let arc: Vec<f32> = (0..width)
            .flat_map(|i| {
                let angle = 2.5 * (i as f32 + (i % 7) as f32 / 9.0) / width as f32;
                [angle.cos(), angle.sin()].into_iter().chain([0.0; 382])
            })
            .collect();
        group.bench_function(BenchmarkId::new("one_component", width), |b| {
            b.iter(|| ets_core::cluster_steps(black_box(&arc), 384, 0.05));
        });
    }
    group.finish();
}

criterion_group!(benches, cluster);
criterion_main!(benches);
