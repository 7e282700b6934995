//! Leaf selection: median, 95th percentile and maximum over pools of instances.
//!
//! ```console
//! $ cargo bench --bench percentiles              # all widths
//! $ cargo bench --bench percentiles -- 16 256    # some
//! ```
//!
//! Criterion reports the mean of a loop; here every instance is timed by itself. A pool is walked
//! round after round, one call for each instance, and an instance's time is its fastest: what
//! remains is the work, not the noise of the machine, yet no call repeats the one before it.

mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use ets_core::{
    ClusterKind, Error, Generator, Instance, Marks, Part, Pruner, Request, Selection, Tree,
    select_leaves,
};

use common::Pool;

const ROUNDS: usize = 15;

/// A case that took this long in two rounds or more is not timed again.
const ENOUGH: Duration = Duration::from_millis(500);

/// Time that a case with a KV budget may take.
const TIME_LIMIT: Duration = Duration::from_secs(1);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut widths: Vec<usize> = arguments.iter().filter_map(|text| text.parse().ok()).collect();
    if widths.is_empty() {
        widths = common::WIDTHS.to_vec();
    }
    // `cargo test --all-targets` runs benches without this flag: show only that it works.
    if !arguments.iter().any(|text| text == "--bench") {
        widths = vec![16];
    }
    println!(
        "{:<36}{:>6}{:>11}{:>11}{:>11}{:>9}",
        "selection (microseconds)", "cases", "median", "p95", "max", "proven"
    );
    let medians: Vec<f64> = widths.iter().map(|&width| rules(width)).collect();
    for &width in &widths {
        through_trees(width);
    }
    for (width, repeats) in [(256, 8), (1024, 4)] {
        if widths.contains(&width) {
            let pool = Pool::hard(width, repeats);
            report(&format!("hard grid, width {width}"), measure(&pool.requests()));
        }
    }
    if widths.contains(&256) {
        for fraction in [0.3, 0.6, 0.9] {
            budgeted(256, fraction, 1);
        }
    }
    if widths.contains(&1024) {
        budgeted(1024, 0.6, 4);
    }
    growth(&widths, &medians);
    if widths.contains(&4096) {
        overruns();
    }
}

/// Measures the published settings at one width, together and by `lambda_d`, and in the same rounds the
/// rule of mass-preserving search; gives the median of the former.
fn rules(width: usize) -> f64 {
    let pool = Pool::published(width);
    let rhos = if (64..=1024).contains(&width) { &[0.5, 0.0][..] } else { &[] };
    let masses: Vec<_> = rhos.iter().map(|&rho| common::mass::pool(width, rho)).collect();
    let mut requests = pool.requests();
    requests.extend(masses.iter().flatten().map(common::mass::Tree::request));
    let rows = measure(&requests);
    let (published, mut rest) = rows.split_at(pool.cases.len());
    let median = report(&format!("published, width {width}"), published.to_vec());
    for lambda_d in [0.0, 1.0, 1.4, 2.0] {
        let of_it = |request: &Request<'_>| (request.lambda_d - lambda_d).abs() < 1e-9;
        let part = published.iter().zip(&requests).filter(|(_, request)| of_it(request));
        report(&format!("  lambda_d {lambda_d}"), part.map(|(&row, _)| row).collect());
    }
    for (rho, trees) in rhos.iter().zip(&masses) {
        let (mass, more) = rest.split_at(trees.len());
        rest = more;
        let ratio = report(&format!("mass, rho {rho}, width {width}"), mass.to_vec()) / median;
        println!("  {ratio:.2} times the published rule's median");
    }
    median
}

/// Measures the published settings as a search has them: leaves of a tree, whose part above them is cut
/// out first.
fn through_trees(width: usize) {
    let pool = Pool::published(width);
    let tree_of = |instance: &Instance| {
        let tokens: Vec<u32> = instance.tokens.iter().map(|&tokens| tokens as u32).collect();
        let mut tree = Tree::new(tokens[0]);
        tree.extend(&instance.parents[1..], &tokens[1..]).expect("an instance is a tree");
        tree
    };
    let trees: Vec<Tree> = pool.instances.iter().map(tree_of).collect();
    let (mut pruner, mut marks) = (Pruner::new(), Marks::default());
    let rows = timed(pool.cases.len(), |at| {
        let case = &pool.cases[at];
        let instance = &pool.instances[case.instance];
        let mut part = Part::default();
        trees[case.instance].part_above_with(&mut marks, &mut part, black_box(&instance.leaves))?;
        part.shorten();
        let request = Request::of_part(&part, &instance.weights).clusters(&instance.clusters);
        pruner.select_leaves(&request.lambda_b(case.lambda_b).lambda_d(case.lambda_d))
    });
    report(&format!("published, of a Tree, width {width}"), rows);
}

/// Measures the published settings, one case of every `step`, under a budget: a fraction of the
/// tokens that the optimum holds without one. Cases in which not even one leaf fits are left out.
fn budgeted(width: usize, fraction: f64, step: usize) {
    let pool = Pool::published(width);
    let mut requests = Vec::new();
    // Starting one further along each instance, so that every lambda_d has its turn.
    let chosen = pool.cases.iter().zip(pool.requests()).enumerate();
    let chosen = chosen.filter(|(at, _)| (at + at / 4) % step == 0).map(|(_, case)| case);
    for (case, request) in chosen {
        let request = request.node_tokens(&pool.instances[case.instance].tokens);
        let free = select_leaves(&request).expect("the request is valid");
        let tokens = free.tokens_kept.expect("tokens were given");
        let request = request.kv_budget((fraction * tokens as f64) as u64).time_limit(TIME_LIMIT);
        let glance = request.time_limit(Duration::ZERO);
        if !matches!(select_leaves(&glance), Err(Error::BudgetTooSmall { .. })) {
            requests.push(request);
        }
    }
    report(&format!("KV budget {fraction}, width {width}"), measure(&requests));
}

/// Prints by how much calls run over their time limit, at settings that need it.
fn overruns() {
    println!("{:<36}{:>17}{:>11}", "time limits of 0 to 100 ms, overrun", "no budget", "budget");
    for width in [1024, 4096, 16384, 65536] {
        let clusters = ClusterKind::Independent;
        let instance =
            Generator::new(width, 6).clusters(clusters).pruned(1.0, 1.4).seed(3).generate();
        let instance = instance.expect("the settings are in range");
        let mut pruner = Pruner::new();
        let mut worst = [Duration::ZERO; 2];
        for (lambda_b, lambda_d) in [(1.0, 1.4), (3.0, 3.0), (6.0, 2.0)] {
            let free = instance.request(lambda_b, lambda_d).node_tokens(&instance.tokens);
            let first = pruner.select_leaves(&free.time_limit(Duration::from_millis(100)));
            let held = first.expect("the request is valid").tokens_kept.unwrap_or(0);
            let tight = free.kv_budget((0.6 * held as f64) as u64);
            for (request, worst) in [free, tight].iter().zip(&mut worst) {
                for limit in [0, 1, 10, 100].map(Duration::from_millis) {
                    let request = request.time_limit(limit);
                    // The least of a few calls: what is left is not the machine's.
                    let overrun = (0..4).map(|_| {
                        let started = Instant::now();
                        let answer = pruner.select_leaves(black_box(&request));
                        black_box(answer.expect("the request is valid"));
                        started.elapsed().saturating_sub(limit)
                    });
                    *worst = overrun.min().map_or(*worst, |overrun| overrun.max(*worst));
                }
            }
        }
        let [free, tight] = worst.map(|worst| worst.as_secs_f64() * 1e3);
        println!("{:<36}{free:>14.1} ms{tight:>8.1} ms", format!("  width {width}"));
    }
}

/// What one case took, in microseconds, and whether its answer was proven best.
#[derive(Clone, Copy)]
struct Row {
    micros: f64,
    proven: bool,
}

fn measure(requests: &[Request<'_>]) -> Vec<Row> {
    let mut pruner = Pruner::new();
    timed(requests.len(), |at| pruner.select_leaves(black_box(&requests[at])))
}

/// Times calls, round after round, one for each case.
fn timed(cases: usize, mut call: impl FnMut(usize) -> Result<Selection, Error>) -> Vec<Row> {
    let mut rows = vec![Row { micros: f64::INFINITY, proven: true }; cases];
    let mut spent = vec![Duration::ZERO; cases];
    for round in 0..ROUNDS {
        for at in 0..cases {
            // Never only once: a stall of the machine in that call would stand as the worst case.
            if round > 1 && spent[at] > ENOUGH {
                continue;
            }
            let started = Instant::now();
            let selection = call(at).expect("the request is valid");
            let took = started.elapsed();
            spent[at] += took;
            rows[at].proven &= selection.optimal;
            rows[at].micros = rows[at].micros.min(took.as_secs_f64() * 1e6);
        }
    }
    rows
}

/// Prints one line of the table and gives its median.
fn report(name: &str, mut rows: Vec<Row>) -> f64 {
    rows.sort_by(|a, b| a.micros.total_cmp(&b.micros));
    let (Some(last), count) = (rows.last(), rows.len()) else { return f64::NAN };
    let median = f64::midpoint(rows[(count - 1) / 2].micros, rows[count / 2].micros);
    // The smallest time that at least 95% of the cases keep to.
    let p95 = rows[(95 * count).div_ceil(100) - 1].micros;
    let proven = rows.iter().filter(|row| row.proven).count();
    let share = 100.0 * proven as f64 / count as f64;
    println!("{name:<36}{count:>6}{median:>11.2}{p95:>11.2}{:>11.2}{share:>8.1}%", last.micros);
    median
}

/// Prints how the medians grow from one width to another beside n log n.
fn growth(widths: &[usize], medians: &[f64]) {
    let at = |width| widths.iter().position(|&w| w == width).map(|i| medians[i]);
    if let (Some(small), Some(large)) = (at(256), at(4096)) {
        println!(
            "growth of the median, width 256 to 4096: {:.1} times (n log n: {:.1} times)",
            large / small,
            4096.0 * 12.0 / (256.0 * 8.0)
        );
    }
}
