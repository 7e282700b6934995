//! The pools of instances that the benches measure.

#![allow(dead_code, reason = "each bench uses its part")]

pub mod mass;

use ets_core::{ClusterKind, Generator, Instance, Request};

/// Widths at which selection is measured.
pub const WIDTHS: [usize; 5] = [16, 64, 256, 1024, 4096];

/// One instance with the settings to solve it at.
pub struct Case {
    pub instance: usize,
    pub lambda_b: f64,
    pub lambda_d: f64,
}

/// Instances and the cases made of them.
pub struct Pool {
    pub instances: Vec<Instance>,
    pub cases: Vec<Case>,
}

impl Pool {
    pub fn requests(&self) -> Vec<Request<'_>> {
        let request =
            |case: &Case| self.instances[case.instance].request(case.lambda_b, case.lambda_d);
        self.cases.iter().map(request).collect()
    }

    /// The published settings: `lambda_b` 1, `lambda_d` 0 to 2, over 24 instances of depths 3 to 20, all
    /// cluster kinds, pruned at every step or not at all.
    pub fn published(width: usize) -> Self {
        use ClusterKind::{Distinct, Few, Independent, Inherited, One};
        // Where every leaf or none has a cluster to itself the problem is easy: one in eight.
        let kind = |i: usize| match i % 8 {
            0 | 3 | 5 => Inherited,
            1 | 4 | 6 => Independent,
            2 => Few,
            _ if i % 16 == 7 => Distinct,
            _ => One,
        };
        let instances = (0..24)
            .map(|i| {
                let of = Generator::new(width, 3 + (7 * i) % 18).clusters(kind(i)).seed(i as u64);
                generate(if (i + i / 8) % 2 == 1 { of.pruned(1.0, 1.4) } else { of })
            })
            .collect();
        let cases = (0..24)
            .flat_map(|instance| {
                [0.0, 1.0, 1.4, 2.0].map(|lambda_d| Case { instance, lambda_b: 1.0, lambda_d })
            })
            .collect();
        Self { instances, cases }
    }

    /// Settings that leave much to branch on, and clusters drawn without regard to the tree;
    /// `repeats` instances for each of 30 settings, every other one pruned at every step.
    pub fn hard(width: usize, repeats: usize) -> Self {
        let mut pool = Self { instances: Vec::new(), cases: Vec::new() };
        for lambda_b in [0.5, 1.0, 2.0, 3.0, 4.5, 6.0] {
            for lambda_d in [0.2, 0.6, 1.4, 3.0, 6.0] {
                for repeat in 0..repeats {
                    let instance = pool.instances.len();
                    pool.cases.push(Case { instance, lambda_b, lambda_d });
                    let of = Generator::new(width, 3 + (7 * instance) % 18)
                        .clusters(ClusterKind::Independent)
                        .seed(1000 + instance as u64);
                    let pruned = repeat % 2 == 1;
                    pool.instances.push(generate(if pruned {
                        of.pruned(lambda_b, lambda_d)
                    } else {
                        of
                    }));
                }
            }
        }
        pool
    }
}

fn generate(generator: Generator) -> Instance {
    generator.generate().expect("the pools' settings are in range")
}
