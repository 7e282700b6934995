//! Leaf selection at widths 16 to 1024, the published settings.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ets_core::{Request, select_leaves};

fn select(c: &mut Criterion) {
    let mut group = c.benchmark_group("select");
    group.sample_size(10).warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(2));
    for width in common::WIDTHS {
        let instance = common::instance(width, 6, 1);
        let request = Request {
            lambda_b: 1.0,
            ..Request::new(&instance.parents, &instance.leaves, &instance.weights)
        };
        group.bench_function(BenchmarkId::new("ets_kv", width), |b| {
            b.iter(|| select_leaves(black_box(&request)));
        });
        let request = Request { clusters: Some(&instance.clusters), lambda_d: 1.4, ..request };
        group.bench_function(BenchmarkId::new("ets", width), |b| {
            b.iter(|| select_leaves(black_box(&request)));
        });
    }
    group.finish();
}

criterion_group!(benches, select);
criterion_main!(benches);
