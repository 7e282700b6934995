//! Width allocation up to the largest width.

#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ets_core::{
    ClusterKind, Generator, Resampling, beam_weights, dora_weights, dvts_weights, embeddings,
    particle_weights, rebase_weights,
};

fn allocate(c: &mut Criterion) {
    let mut group = c.benchmark_group("allocate");
    group.sample_size(20).warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_secs(1));
    for width in [16, 256, 1024, 4096, 65_536] {
        let generator = Generator::new(width, 6).clusters(ClusterKind::One).seed(1);
        let rewards = generator.generate().expect("the settings are in range").rewards;
        let w = width as u64;
        group.bench_function(BenchmarkId::new("rebase", width), |b| {
            b.iter(|| rebase_weights(black_box(&rewards), w, 0.2));
        });
        group.bench_function(BenchmarkId::new("beam", width), |b| {
            b.iter(|| beam_weights(black_box(&rewards), w, None));
        });
        let subtrees: Vec<usize> = (0..width).map(|i| i % 4).collect();
        group.bench_function(BenchmarkId::new("dvts", width), |b| {
            b.iter(|| dvts_weights(black_box(&rewards), &subtrees, &[w / 4; 4]));
        });
        group.bench_function(BenchmarkId::new("particles", width), |b| {
            let method = Resampling::Multinomial;
            b.iter(|| particle_weights(black_box(&rewards), w, 1.0, 1, method));
        });
        // Quadratic in the width by its definition.
        if width <= 4096 {
            let rows = embeddings(width, 384, width / 4, 0.15, 1).expect("the sizes are in range");
            group.bench_function(BenchmarkId::new("dora", width), |b| {
                b.iter(|| dora_weights(black_box(&rewards), &rows, 384, w, 0.1, 0.01));
            });
            // Each wording eight times, as the texts of a wide step repeat.
            let wordings = embeddings(width / 8, 384, width.div_ceil(32), 0.15, 1);
            let rows = wordings.expect("the sizes are in range").repeat(8);
            group.bench_function(BenchmarkId::new("dora_repeated", width), |b| {
                b.iter(|| dora_weights(black_box(&rewards), &rows, 384, w, 0.1, 0.01));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, allocate);
criterion_main!(benches);
