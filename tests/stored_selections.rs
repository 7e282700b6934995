//! Equal input gives the equal selection on every build: `data/selections.txt`, which
//! `stored_selections.py` describes and writes, is answered again.

use std::path::Path;

use ets_core::{ClusterKind, Generator, Pruner};

/// Answers one line by the arguments on it, and compares.
fn check(line: &str, pruner: &mut Pruner) {
    let fields: Vec<&str> = line.split(' ').collect();
    let [
        width,
        depth,
        kind,
        pruned_b,
        pruned_d,
        seed,
        lambda_b,
        lambda_d,
        costs,
        budget,
        value,
        keep,
    ] = fields[..]
    else {
        panic!("twelve fields expected: {line}");
    };
    let float = |field: &str| field.parse::<f64>().unwrap();
    let clusters = match kind {
        "independent" => ClusterKind::Independent,
        "inherited" => ClusterKind::Inherited,
        "few" => ClusterKind::Few,
        "distinct" => ClusterKind::Distinct,
        "one" => ClusterKind::One,
        _ => panic!("no kind of clusters: {line}"),
    };
    let mut generator = Generator::new(width.parse().unwrap(), depth.parse().unwrap());
    generator = generator.clusters(clusters).seed(seed.parse().unwrap());
    if pruned_b != "-" {
        generator = generator.pruned(float(pruned_b), float(pruned_d));
    }
    let instance = generator.generate().unwrap();
    let token_costs: Vec<f64> = instance.tokens.iter().map(|&tokens| tokens as f64).collect();
    let mut request = instance.request(float(lambda_b), float(lambda_d));
    request = request.node_tokens(&instance.tokens);
    if costs == "tokens" {
        request = request.node_costs(&token_costs);
    }
    if budget != "-" {
        request = request.kv_budget(budget.parse().unwrap());
    }
    let found = pruner.select_leaves(&request).unwrap();
    let digits: String = found.keep.iter().map(|&kept| if kept { '1' } else { '0' }).collect();
    assert_eq!(digits, keep, "{line}");
    assert_eq!(format!("{:016x}", found.objective.to_bits()), value, "{line}");
    assert!(found.optimal, "{line}");
}

fn read() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/selections.txt");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn stored_selections_are_found_again() {
    let text = read();
    assert!(text.lines().count() >= 40);
    text.lines().for_each(|line| check(line, &mut Pruner::new()));
    // In another order, with memory that other problems have used.
    let mut pruner = Pruner::new();
    text.lines().rev().for_each(|line| check(line, &mut pruner));
}

#[test]
fn threads_at_once_find_them() {
    let text = read();
    std::thread::scope(|scope| {
        for first in 0..8 {
            let lines = text.lines().cycle().skip(5 * first).take(text.lines().count());
            scope.spawn(move || {
                let mut pruner = Pruner::new();
                lines.for_each(|line| check(line, &mut pruner));
            });
        }
    });
}
