//! Clustering against the definition, and each part against what it promises.

use proptest::prelude::*;

use super::bounds::Bounds;
use super::clusters::Clusters;
use super::multiply::BLOCK;
use super::products::Products;
use super::rows::{Rows, dot};
use super::screen::{Screen, squares};
use super::{cluster_by, cluster_steps};
use crate::clock::Clock;
use crate::disjoint_sets::DisjointSets;

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn cosine_distance(u: &[f64], v: &[f64]) -> f64 {
    1.0 - product(u, v) / (product(u, u) * product(v, v)).sqrt()
}

/// Merges the closest pair of clusters, by sums over all their pairs, until the cut.
///
/// `None` where rounding decides: two merges at one height, or one at the cut.
fn naive(rows: &[Vec<f64>], threshold: f64) -> Option<Vec<usize>> {
    let n = rows.len();
    let mut sums: Vec<Vec<f64>> =
        rows.iter().map(|u| rows.iter().map(|v| cosine_distance(u, v)).collect()).collect();
    let mut sizes = vec![1.0_f64; n];
    let mut sets = DisjointSets::new(n);
    let mut live: Vec<usize> = (0..n).collect();
    while live.len() > 1 {
        let mut best = (f64::INFINITY, 0, 0);
        let mut tie = false;
        for (at, &b) in live.iter().enumerate() {
            for &a in &live[..at] {
                let average = sums[a][b] / (sizes[a] * sizes[b]);
                let near = (average - best.0).abs() < 1e-9 && average > 1e-9;
                tie = near || (tie && average > best.0);
                if average < best.0 {
                    best = (average, a, b);
                }
            }
        }
        let (height, a, b) = best;
        if (height - threshold).abs() < 1e-9 || tie && height <= threshold {
            return None;
        }
        if height > threshold {
            break;
        }
        sets.join(a, b);
        live.retain(|&k| k != b);
        sizes[a] += sizes[b];
        let moved = sums[b].clone();
        sums[a].iter_mut().zip(&moved).for_each(|(sum, other)| *sum += other);
        let merged = sums[a].clone();
        sums.iter_mut().zip(merged).for_each(|(row, sum)| row[a] = sum);
    }
    Some(sets.labels())
}

/// Rows around a few centres, some of them repeated.
fn rows(most: usize, dims: &'static [usize]) -> impl Strategy<Value = Vec<Vec<f64>>> {
    let shape = (1..=most, proptest::sample::select(dims), 1_usize..6, 0.0..0.7_f64);
    shape.prop_flat_map(|(n, dim, centres, spread)| {
        let row = || proptest::collection::vec(-1.0..1.0, dim);
        let centres = proptest::collection::vec(row(), centres);
        let wording = (0_usize..6, row(), proptest::bool::weighted(0.1));
        (centres, proptest::collection::vec(wording, n)).prop_map(move |(centres, wordings)| {
            let mut rows: Vec<Vec<f64>> = Vec::new();
            for (meaning, noise, again) in wordings {
                let centre = &centres[meaning % centres.len()];
                match rows.last() {
                    Some(last) if again => rows.push(last.clone()),
                    _ => rows.push(
                        centre
                            .iter()
                            .zip(&noise)
                            .map(|(c, e): (&f64, &f64)| c + spread * e)
                            .collect(),
                    ),
                }
            }
            rows
        })
    })
}

fn have_directions(rows: &[Vec<f64>]) -> bool {
    rows.iter().all(|row| row.iter().any(|x| x.abs() > 1e-6))
}

proptest! {
    #[test]
    fn equals_the_naive_method(
        rows in rows(14, &[1, 2, 3, 4]),
        threshold in prop_oneof![Just(0.05), 0.0..2.0],
    ) {
        prop_assume!(have_directions(&rows));
        if let Some(expected) = naive(&rows, threshold) {
            let dim = rows[0].len();
            prop_assert_eq!(cluster_steps(&rows.concat(), dim, threshold).unwrap(), expected);
        }
    }

    #[test]
    fn equals_the_naive_method_where_components_are_screened(
        rows in rows(90, &[2, 3, 5, 16, 63, 64, 65, 140]),
        threshold in prop_oneof![Just(0.05), 0.0..0.3, 0.0..1.2],
    ) {
        prop_assume!(have_directions(&rows));
        let dim = rows[0].len();
        if let Some(expected) = naive(&rows, threshold) {
            prop_assert_eq!(cluster_steps(&rows.concat(), dim, threshold).unwrap(), expected);
        }
        let single: Vec<f32> = rows.concat().iter().map(|&x| x as f32).collect();
        let wide: Vec<Vec<f64>> =
            single.chunks(dim).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
        prop_assume!(have_directions(&wide));
        if let Some(expected) = naive(&wide, threshold) {
            prop_assert_eq!(cluster_steps(&single, dim, threshold).unwrap(), expected);
        }
    }

    #[test]
    fn the_screen_bounds_every_cosine(
        rows in rows(50, &[1, 3, 64, 65, 200]),
        threshold in 0.0..1.2,
        few in 0_u32..10,
    ) {
        prop_assume!(have_directions(&rows));
        let (dim, flat) = (rows[0].len(), rows.concat());
        let measured = Rows::of(&flat, dim);
        let all: Vec<usize> = (0..rows.len()).collect();
        let screen = Screen::new(&measured, &all);
        let cut = screen.cut(threshold);
        let mut seen = vec![0; rows.len() * rows.len()];
        for (of_rows, of_columns) in squares(rows.len()) {
            let (upper, reach) = screen.square(of_rows, of_columns, cut, few);
            let reached = upper.iter().flatten().filter(|&&bound| bound >= cut).count();
            prop_assert_eq!(reach as usize, reached);
            let strips = upper.chunks(4).map(|strip| {
                strip.iter().flatten().filter(|&&bound| bound >= cut).count()
            });
            let to_the_end: Vec<bool> = strips.map(|reach| reach as u32 > few).collect();
            for (at, (i, upper)) in (of_rows * BLOCK..rows.len()).zip(upper).enumerate() {
                for (j, upper) in (of_columns * BLOCK..rows.len()).zip(upper) {
                    let distance = cosine_distance(&rows[i], &rows[j]);
                    prop_assert!(f64::from(screen.distance(upper)) <= distance.max(0.0) + 1e-14);
                    prop_assert!(upper >= cut || distance > threshold);
                    if to_the_end[at / 4] {
                        let exact = f64::from(screen.distance(upper));
                        prop_assert!((exact - distance).abs() < 2e-5, "{} {}", exact, distance);
                    }
                    seen[i * rows.len() + j] += 1;
                }
            }
        }
        for i in 0..rows.len() {
            prop_assert!((0..=i).all(|j| seen[i * rows.len() + j] == 1));
        }
    }

    #[test]
    fn bounds_stay_below_the_averages_of_merged_clusters(
        rows in rows(40, &[2, 5, 65, 130]),
        threshold in 0.0..0.6,
        merges in proptest::collection::vec((0_usize..40, 0_usize..40), 0..30),
    ) {
        prop_assume!(have_directions(&rows));
        let (n, dim, flat) = (rows.len(), rows[0].len(), rows.concat());
        let measured = Rows::of(&flat, dim);
        let all: Vec<usize> = (0..n).collect();
        let screen = Screen::new(&measured, &all);
        let clock = &mut Clock::default();
        let bounds = Bounds::within(&measured, &screen, &all, threshold, clock).unwrap();
        if bounds.is_none() {
            for (u, v) in rows.iter().flat_map(|u| rows.iter().map(move |v| (u, v))) {
                prop_assert!(cosine_distance(u, v) <= threshold + 1e-12);
            }
        }
        prop_assume!(bounds.is_some());
        let mut bounds = bounds.unwrap();
        let mut clusters = Clusters::of(&measured, &all).unwrap();
        let mut parts: Vec<Vec<usize>> = (0..n).map(|i| vec![i]).collect();
        for (a, b) in std::iter::once((0, 0)).chain(merges) {
            let (from, into) = (a.min(b) % n, a.max(b) % n);
            if from < into && bounds.is_open(from) && bounds.is_open(into) {
                let weight = parts[from].len() as f64;
                bounds.merge(from, into, weight / (weight + parts[into].len() as f64));
                clusters.merge(from, into);
                let moved = std::mem::take(&mut parts[from]);
                parts[into].extend(moved);
            }
            // Not all rows every time: some are left to take in several merges at once.
            (0..n).filter(|a| (a + from) % 3 > 0).for_each(|a| bounds.update(a));
            for (a, b) in (0..n).flat_map(|a| (0..n).map(move |b| (a, b))) {
                if (a + from) % 3 == 0 {
                    continue;
                }
                if a == b || !bounds.is_open(a) || !bounds.is_open(b) {
                    continue;
                }
                let pairs = parts[a].iter().flat_map(|&i| parts[b].iter().map(move |&j| (i, j)));
                let sum: f64 = pairs.map(|(i, j)| cosine_distance(&rows[i], &rows[j])).sum();
                let average = sum / (parts[a].len() * parts[b].len()) as f64;
                prop_assert!((clusters.distance(a, b) - average).abs() < 1e-12);
                prop_assert!(f64::from(bounds.at(a, b)) <= clusters.distance(a, b));
            }
        }
    }

    #[test]
    fn products_of_blocks_are_those_of_the_pairs(rows in rows(40, &[1, 3, 64, 65, 200])) {
        prop_assume!(have_directions(&rows));
        let (n, flat) = (rows.len(), rows.concat());
        let measured = Rows::of(&flat, rows[0].len());
        let all: Vec<usize> = (0..n).collect();
        let products = Products::new(&measured, &all);
        for (of_rows, of_columns) in squares(n) {
            let cosines = products.square(of_rows, of_columns);
            for (i, cosines) in (of_rows * BLOCK..n).zip(cosines) {
                for (j, cosine) in (of_columns * BLOCK..n).zip(cosines) {
                    prop_assert!((1.0 - cosine - cosine_distance(&rows[i], &rows[j])).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn dot_is_the_sum_of_products(a in proptest::collection::vec(-1.0..1.0, 0..70)) {
        let b: Vec<f64> = a.iter().rev().copied().collect();
        prop_assert!((dot(pulp::Arch::new(), &a, &b) - product(&a, &b)).abs() < 1e-13);
    }
}

#[test]
fn equal_directions_share_a_label_whatever_their_length() {
    let rows = [1.0_f32, 0.0, 0.0, 2.0, 3e30, 0.0, 0.0, 1e-30, -1.0, 0.0];
    assert_eq!(cluster_steps(&rows, 2, 0.05).unwrap(), [0, 1, 0, 1, 2]);
    assert_eq!(cluster_steps(&[1e300, 1e300, 1e-300, 1e-300], 2, 1e-12).unwrap(), [0, 0]);
    assert_eq!(cluster_steps(&[5e-324, 0.0, 1e308, 0.0], 2, 0.0).unwrap(), [0, 0]);
    assert_eq!(cluster_steps::<f64>(&[], 3, 0.05).unwrap(), [0_usize; 0]);
}

#[test]
fn equal_rows_share_a_label_at_threshold_zero() {
    let row = |seed: usize| (0..67).map(move |k| ((seed * 67 + k * k) % 101) as f64 - 50.3);
    let kinds: Vec<usize> = (0..120).map(|i| i * i % 7).collect();
    let rows: Vec<f64> = kinds.iter().flat_map(|&kind| row(kind)).collect();
    let labels = cluster_steps(&rows, 67, 0.0).unwrap();
    for (i, j) in (0..120).flat_map(|i| (0..120).map(move |j| (i, j))) {
        assert_eq!(labels[i] == labels[j], kinds[i] == kinds[j], "rows {i} and {j}");
    }
}

#[test]
fn rows_that_cancel_are_not_close() {
    // A ring of neighbours, each followed by its opposite: one component whose sum is 0.
    let ring = (0..60).map(|i| f64::from(i * 3 + i % 4).to_radians());
    let rows: Vec<f64> = ring.flat_map(|a| [a.cos(), a.sin(), -a.cos(), -a.sin()]).collect();
    for threshold in [0.05, 0.5, 0.9] {
        let labels = cluster_steps(&rows, 2, threshold).unwrap();
        assert!(labels.chunks(2).all(|pair| pair[0] != pair[1]));
    }
    assert_eq!(cluster_steps(&rows, 2, 2.0).unwrap(), [0; 120]);
    assert_eq!(cluster_steps(&rows, 2, f64::MAX).unwrap(), [0; 120]);
}

#[test]
fn of_equally_near_clusters_the_first_is_taken() {
    // The middle one of three directions is as near to the first as to the last.
    let rows = [0.8, 0.6, 1.0, 0.0, 0.8, -0.6];
    assert_eq!(cluster_steps(&rows, 2, 0.3).unwrap(), [0, 0, 1]);
}

#[test]
fn bad_rows_are_named() {
    let message = cluster_steps(&[1.0, 0.0, f64::NAN, 1.0], 2, 0.05).unwrap_err().to_string();
    assert_eq!(message, "embeddings[1] is NaN: it must be a row of finite numbers");
    let message = cluster_steps(&[1.0, f32::INFINITY], 1, 0.05).unwrap_err().to_string();
    assert_eq!(message, "embeddings[1] is inf: it must be a row of finite numbers");
    assert!(cluster_steps(&[0.0, 0.0], 2, 0.05).is_err());
    assert!(cluster_steps(&[1.0, 0.0, 1.0], 2, 0.05).is_err());
    assert!(cluster_steps(&[1.0], 0, 0.05).is_err());
    assert!(cluster_steps(&[1.0], 1, -0.1).is_err());
    assert!(cluster_steps(&[1.0], 1, f64::NAN).is_err());
}

/// Stopped at any look, what has been merged are parts of the whole answer's groups.
#[test]
fn stopped_early_the_groups_are_parts_of_the_whole_ones() {
    let (n, dim) = (700, 200);
    // A closed curve: one component, which the cut parts.
    let entry = |i: usize, k: usize| (i as f64 * 0.009 * (k % 3 + 1) as f64 + k as f64).sin();
    let rows: Vec<f64> = (0..n).flat_map(|i| (0..dim).map(move |k| entry(i, k))).collect();
    let whole = cluster_steps(&rows, dim, 0.05).unwrap();
    let clusters = |labels: &[usize]| *labels.iter().max().unwrap() + 1;
    let (mut looks, mut between) = (0, 0);
    loop {
        let mut clock = Clock::stopping_after(Some(looks));
        let labels = cluster_by(&rows, dim, 0.05, &mut clock).unwrap();
        let mut of = vec![usize::MAX; n];
        for (&label, &group) in labels.iter().zip(&whole) {
            let of = &mut of[label];
            assert!(*of == usize::MAX || *of == group, "after {looks} looks");
            *of = group;
        }
        assert!(clock.test.late <= 2 * n, "{} too late after {looks} looks", clock.test.late);
        if !clock.expired() {
            assert_eq!(labels, whole);
            break;
        }
        between += usize::from(clusters(&labels) < n);
        looks += 1;
    }
    assert!(clusters(&whole) > 1 && clusters(&whole) < n / 4);
    assert!(looks > 20 && between > 0, "{looks} looks, {between} of them amid the merges");
}

#[test]
fn memory_that_is_not_to_be_had_is_an_error() {
    let error = crate::error::filled(usize::MAX / 8, 4, 0.0_f32).unwrap_err();
    assert!(error.to_string().starts_with("embeddings: 2305843009213693951 rows hang together"));
}
