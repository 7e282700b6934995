//! Width allocation at widths 16 to 1024.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn allocate(c: &mut Criterion) {
    let mut group = c.benchmark_group("allocate");
    group.sample_size(20).warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    for width in common::WIDTHS {
        let instance = common::instance(width, 6, 1);
        let (rewards, w) = (&instance.rewards, width as i64);
        group.bench_function(BenchmarkId::new("rebase", width), |b| {
            b.iter(|| ets_core::rebase_weights(black_box(rewards), w, 0.2));
        });
        group.bench_function(BenchmarkId::new("beam", width), |b| {
            b.iter(|| ets_core::beam_weights(black_box(rewards), w, None));
        });
        let subtrees: Vec<i64> = (0..rewards.len() as i64).map(|i| i % 4).collect();
        group.bench_function(BenchmarkId::new("dvts", width), |b| {
            b.iter(|| ets_core::dvts_weights(black_box(rewards), &subtrees, &[w / 4; 4]));
        });
    }
    group.finish();
}

criterion_group!(benches, allocate);
criterion_main!(benches);
