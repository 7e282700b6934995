//! The model itself, the same for every solver.

use good_lp::{Constraint, Expression, ProblemVariables, Variable, constraint, variable};

use crate::prune::none::NONE;
use crate::prune::problem::Problem;

/// The tight form: a node needs its parent, a parent needs a child or its own candidate, a
/// cluster has as many gains as kept leaves at most, the root is kept.
///
/// Only the candidates are integer: with those fixed, the best nodes and gains are too. Unlike
/// "at least one leaf", keeping the root and passing the need down leaves no half-kept root in the
/// relaxation.
pub(super) struct Model {
    pub variables: ProblemVariables,
    pub variable_count: usize,
    pub objective: Expression,
    pub constraints: Vec<Constraint>,
    /// Candidate variables, `[n]`; the first to be added.
    pub candidate: Vec<Variable>,
    /// Node variables, `[p]`; a node without children is its candidate; the root has none.
    node: Vec<Option<Variable>>,
    /// A variable for each gain of each cluster, cluster by cluster, and that cluster.
    member: Vec<(u32, Variable)>,
    /// Largest coefficient of the objective, by which it is divided: tolerances are absolute.
    pub scale: f64,
}

impl Model {
    pub fn build(problem: &Problem) -> Self {
        let p = problem.parent.len();
        let mut children = vec![0_u32; p];
        for &parent in &problem.parent[1..] {
            children[parent as usize] += 1;
        }
        let mut variables = ProblemVariables::new();
        let between = || variable().min(0).max(1);
        let candidate: Vec<Variable> =
            problem.leaf.iter().map(|_| variables.add(between().integer())).collect();
        let node: Vec<Option<Variable>> = (0..p)
            .map(|v| match v {
                0 => None,
                _ if children[v] == 0 => Some(candidate[problem.candidate_at[v] as usize]),
                _ => Some(variables.add(between())),
            })
            .collect();
        let clusters = 0..problem.cluster_count as u32;
        let each = clusters.flat_map(|k| problem.gains.of(k).iter().map(move |&gain| (k, gain)));
        let gains: Vec<(u32, f64)> = each.collect();
        let member: Vec<(u32, Variable)> =
            gains.iter().map(|&(k, _)| (k, variables.add(between()))).collect();
        let variable_count = variables.len();

        let coefficients = problem.profit.iter().chain(&problem.cost);
        let coefficients = coefficients.chain(gains.iter().map(|(_, gain)| gain));
        let largest = coefficients.fold(0.0_f64, |largest, &c| largest.max(c));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let mut objective = Expression::from(-problem.cost[0] / scale);
        for (i, &x) in candidate.iter().enumerate() {
            objective.add_mul(problem.profit[i] / scale, x);
        }
        for (v, y) in node.iter().enumerate() {
            y.iter().for_each(|&y| objective.add_mul(-problem.cost[v] / scale, y));
        }
        for (&(_, z), (_, gain)) in member.iter().zip(&gains) {
            objective.add_mul(gain / scale, z);
        }
        let mut model = Self {
            variables,
            variable_count,
            objective,
            constraints: Vec::with_capacity(2 * p + problem.cluster_count),
            candidate,
            node,
            member,
            scale,
        };
        model.add_tree(problem, &children);
        model.add_clusters(problem);
        model.add_budget(problem);
        model
    }

    fn add_tree(&mut self, problem: &Problem, children: &[u32]) {
        // For each parent: its children and candidate, less itself, must not be negative.
        let mut needs: Vec<Expression> = (0..children.len())
            .map(|v| match self.node[v] {
                _ if children[v] == 0 => Expression::default(),
                None => Expression::from(-1),
                Some(y) => -y,
            })
            .collect();
        for (v, &parent) in problem.parent.iter().enumerate() {
            if let (Some(y), Some(parent)) = (self.node[v], (parent != NONE).then_some(parent)) {
                needs[parent as usize].add_mul(1, y);
                if let Some(above) = self.node[parent as usize] {
                    self.constraints.push(constraint!(y <= above));
                }
            }
        }
        for (i, &v) in problem.leaf.iter().enumerate() {
            let v = v as usize;
            if children[v] > 0 {
                needs[v].add_mul(1, self.candidate[i]);
                if let Some(y) = self.node[v] {
                    self.constraints.push(constraint!(self.candidate[i] <= y));
                }
            } else if v == 0 {
                // A tree of the root alone: its candidate is the only choice.
                self.constraints.push(constraint!(self.candidate[i] >= 1));
            }
        }
        for (need, _) in needs.into_iter().zip(children).filter(|(_, count)| **count > 0) {
            self.constraints.push(constraint!(need >= 0));
        }
    }

    fn add_clusters(&mut self, problem: &Problem) {
        // Gains fall from member to member, so that the first ones are taken first.
        let mut cover = vec![Expression::default(); problem.cluster_count];
        for &(k, z) in &self.member {
            cover[k as usize].add_mul(-1, z);
        }
        for (&k, &x) in problem.cluster.iter().zip(&self.candidate) {
            cover[k as usize].add_mul(1, x);
        }
        self.constraints.extend(cover.into_iter().map(|cover| constraint!(cover >= 0)));
    }

    fn add_budget(&mut self, problem: &Problem) {
        let Some(budget) = problem.budget else { return };
        // Tokens are integers, so a quarter token of slack changes nothing but absorbs rounding.
        let unit = budget.max(1) as f64;
        let mut held = Expression::from(problem.tokens[0] as f64 / unit);
        for (v, y) in self.node.iter().enumerate() {
            y.iter().for_each(|&y| held.add_mul(problem.tokens[v] as f64 / unit, y));
        }
        self.constraints.push(constraint!(held <= (budget as f64 + 0.25) / unit));
    }

    /// Gives every variable its value in a selection, in the order in which they were added; solvers
    /// take missing ones for 0.
    #[cfg(feature = "milp")]
    pub fn complete(&self, problem: &Problem, keep: &[bool]) -> Vec<(Variable, f64)> {
        let mut on_path = vec![false; self.node.len()];
        let mut held = vec![0_u32; problem.cluster_count];
        for (i, &kept) in keep.iter().enumerate() {
            on_path[problem.leaf[i] as usize] |= kept;
            problem.cluster.get(i).into_iter().for_each(|&k| held[k as usize] += u32::from(kept));
        }
        for v in (1..on_path.len()).rev() {
            on_path[problem.parent[v] as usize] |= on_path[v];
        }
        let nodes = self.node.iter().zip(on_path).enumerate().filter_map(|(v, (&y, is))| {
            // A node without children has its candidate's variable, and with it its value.
            let shared = y == self.candidate.get(problem.candidate_at[v] as usize).copied();
            y.filter(|_| !shared).map(|y| (y, is))
        });
        let candidates = self.candidate.iter().copied().zip(keep.iter().copied());
        let members = self.member.iter().map(|&(k, z)| {
            let counts = held[k as usize] > 0;
            held[k as usize] = held[k as usize].saturating_sub(1);
            (z, counts)
        });
        let all = candidates.chain(nodes).chain(members);
        all.map(|(variable, is)| (variable, f64::from(u8::from(is)))).collect()
    }
}
