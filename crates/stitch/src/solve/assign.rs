//! Minimum-cost assignment on sparse candidate edges, with the margin of each choice.
//!
//! Every left item (a submit, a failed attempt) takes at most one right item (a task, a next attempt), and
//! every right item is taken at most once. Not taking has a price of its own. The graph falls apart into
//! small components; each is solved exactly by shortest augmenting paths. Costs are integers (1/1024 nat), so
//! that equal evidence gives equal results on every machine and ties break by position, which is by time.

use crate::solve::STRONG_NATS;

/// One candidate: left item, right item, and how much better than leaving both alone (in nats, may be
/// negative).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Edge {
    pub(crate) left: usize,
    pub(crate) right: usize,
    pub(crate) gain: f64,
}

/// One chosen pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) left: usize,
    pub(crate) right: usize,
    /// How much the best assignment without this pair costs more, in nats.
    pub(crate) margin: f64,
    /// The left item that comes nearest to taking the right one instead, if one comes near.
    pub(crate) rival: Option<usize>,
}

/// The assignment of the largest total gain. `limit` bounds the left items that are solved at once: a larger
/// component is solved in stretches, in order of position. Margins are computed only when asked for: they
/// cost one more search a pair.
pub(crate) fn assign(edges: &[Edge], limit: usize, margins: bool) -> Vec<Pair> {
    let mut useful: Vec<Edge> = edges.iter().copied().filter(|edge| edge.gain > 0.0).collect();
    useful.sort_unstable_by_key(|edge| (edge.left, edge.right));
    let mut pairs = Vec::new();
    for component in components(&useful) {
        solve(&component, limit, margins, &mut pairs);
    }
    pairs.sort_unstable_by_key(|pair| (pair.left, pair.right));
    pairs
}

/// Whether two rounds chose the same pairs.
pub(crate) fn same(a: &[Pair], b: &[Pair]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a.left, a.right) == (b.left, b.right))
}

/// Connected components, in order of their first left item.
fn components(edges: &[Edge]) -> Vec<Vec<Edge>> {
    let lefts = edges.iter().map(|edge| edge.left + 1).max().unwrap_or(0);
    let rights = edges.iter().map(|edge| edge.right + 1).max().unwrap_or(0);
    let mut sets = crate::solve::union::Union::new(lefts + rights);
    for edge in edges {
        sets.join(edge.left, lefts + edge.right);
    }
    let mut place = vec![usize::MAX; lefts + rights];
    let mut parts: Vec<Vec<Edge>> = Vec::new();
    for edge in edges {
        let root = sets.find(edge.left);
        if place[root] == usize::MAX {
            place[root] = parts.len();
            parts.push(Vec::new());
        }
        parts[place[root]].push(*edge);
    }
    parts
}

/// Solves a component of at most `limit` left items as a whole, and a larger one in stretches of so many, by
/// position. Stretches overlap by half: what a stretch finds is kept for its first half, whose neighbours on
/// both sides it saw, and the second half is solved anew with what comes after it and what is not yet taken.
fn solve(edges: &[Edge], limit: usize, margins: bool, pairs: &mut Vec<Pair>) {
    let mut lefts: Vec<usize> = edges.iter().map(|edge| edge.left).collect();
    lefts.dedup();
    let (limit, step) = (limit.max(1), (limit / 2).max(1));
    let mut taken = hashbrown::HashSet::<usize, foldhash::fast::FixedState>::default();
    for begin in (0..lefts.len()).step_by(step) {
        let place = |at: usize| {
            lefts.get(at).map_or(edges.len(), |&left| edges.partition_point(|edge| edge.left < left))
        };
        let stretch = &edges[place(begin)..place(begin + limit)];
        let free: Vec<Edge> = stretch.iter().filter(|edge| !taken.contains(&edge.right)).copied().collect();
        let last = begin + limit >= lefts.len();
        let until = if last { usize::MAX } else { lefts[begin + step] };
        let known = pairs.len();
        Matrix::new(&free).solve(until, margins, pairs);
        if last {
            return;
        }
        taken.extend(pairs[known..].iter().map(|pair| pair.right));
    }
}

const UNIT: f64 = 1024.0;
/// A rival that is worse by more than this was never close: the pair that was chosen is a strong one.
const CLOSE: i64 = (STRONG_NATS * UNIT) as i64;
/// Forbidden: above any sum of real costs, far from overflow.
const NEVER: i64 = i64::MAX / 1_000_000;

/// One component as a dense matrix: real columns, then one "left alone" column a row.
struct Matrix {
    rows: Vec<usize>,
    columns: Vec<usize>,
    width: usize,
    cost: Vec<i64>,
}

impl Matrix {
    fn new(edges: &[Edge]) -> Self {
        let mut rows: Vec<usize> = edges.iter().map(|edge| edge.left).collect();
        rows.sort_unstable();
        rows.dedup();
        let mut columns: Vec<usize> = edges.iter().map(|edge| edge.right).collect();
        columns.sort_unstable();
        columns.dedup();
        let width = columns.len() + rows.len();
        let mut cost = vec![NEVER; rows.len() * width];
        for (row, _) in rows.iter().enumerate() {
            cost[row * width + columns.len() + row] = 0;
        }
        for edge in edges {
            let row = rows.binary_search(&edge.left).unwrap_or(0);
            let column = columns.binary_search(&edge.right).unwrap_or(0);
            let units = -(edge.gain * UNIT).round() as i64;
            let cell = &mut cost[row * width + column];
            *cell = (*cell).min(units);
        }
        Self { rows, columns, width, cost }
    }

    /// The pairs of the left items before `until`, in the best assignment of all.
    fn solve(&self, until: usize, margins: bool, pairs: &mut Vec<Pair>) {
        let kept = self.rows.partition_point(|&left| left < until);
        if self.rows.len() == 1 && kept == 1 {
            self.solve_one(pairs);
            return;
        }
        let mut state = Duals::new(self.rows.len(), self.width);
        for row in 0..self.rows.len() {
            state.augment(&self.cost, row, self.width);
        }
        for row in 0..kept {
            let column = state.column_of[row];
            if column >= self.columns.len() {
                continue;
            }
            let (margin, rival) = if margins { self.margin(&state, row, column) } else { (0.0, None) };
            pairs.push(Pair { left: self.rows[row], right: self.columns[column], margin, rival });
        }
    }

    /// One row: the best column wins, its margin is the distance to the second best.
    fn solve_one(&self, pairs: &mut Vec<Pair>) {
        let mut best = (i64::MAX, 0);
        let mut second = i64::MAX;
        for (column, &cost) in self.cost.iter().enumerate() {
            if cost < best.0 {
                second = best.0;
                best = (cost, column);
            } else {
                second = second.min(cost);
            }
        }
        if best.1 < self.columns.len() {
            let margin = (second - best.0) as f64 / UNIT;
            pairs.push(Pair { left: self.rows[0], right: self.columns[best.1], margin, rival: None });
        }
    }

    /// How much more the best assignment without the pair costs, and the row that would take the column, if
    /// that is close. Without the pair the row takes other columns in turn: they end in a cycle that comes
    /// back to where the row began, or at a free column, and then another row may take the column that it
    /// left.
    fn margin(&self, state: &Duals, row: usize, column: usize) -> (f64, Option<usize>) {
        let away = self.distances_from_row(state, row, column);
        let free = (0..self.width).filter(|&free| state.row_of[free] == usize::MAX);
        let alone = free.map(|free| away[free]).min().unwrap_or(NEVER);
        let leave = alone.saturating_sub(state.v[column]) + self.refill(state, row, column);
        let margin = away[column].min(leave).clamp(0, NEVER) as f64 / UNIT;
        // Another row moves in, and this one takes what that one had, or a free column.
        let others = (0..self.rows.len()).filter(|&other| other != row);
        let losses = others.map(|other| {
            let left = state.column_of[other];
            let elsewhere = away[left].min(alone.saturating_sub(state.v[left]));
            (self.reduced(state, other, column).saturating_add(elsewhere), other)
        });
        let rival = losses.min().filter(|&(loss, _)| loss <= CLOSE).map(|(_, other)| self.rows[other]);
        (margin, rival)
    }

    /// Shortest reduced distance from a row to every column, not using its own pair first.
    fn distances_from_row(&self, state: &Duals, row: usize, column: usize) -> Vec<i64> {
        let mut distance = vec![NEVER; self.width];
        let mut done = vec![false; self.width];
        let (mut at, mut reached) = (Some(row), 0);
        loop {
            if let Some(at) = at {
                for next in 0..self.width {
                    if !done[next] && (at, next) != (row, column) {
                        let step = reached + self.reduced(state, at, next);
                        distance[next] = distance[next].min(step);
                    }
                }
            }
            let open = (0..self.width).filter(|&next| !done[next] && distance[next] < NEVER);
            let Some(nearest) = open.min_by_key(|&next| distance[next]) else { return distance };
            if nearest == column {
                return distance; // a cycle closes here, and nothing farther can be cheaper
            }
            done[nearest] = true;
            reached = distance[nearest];
            at = Some(state.row_of[nearest]).filter(|&owner| owner != usize::MAX);
        }
    }

    /// The most that others gain (as a negative cost) when the column is free: some row moves in.
    fn refill(&self, state: &Duals, row: usize, column: usize) -> i64 {
        let rows = self.rows.len();
        let mut distance = vec![NEVER; rows];
        let mut done = vec![false; rows];
        done[row] = true;
        let (mut into, mut reached, mut best) = (column, 0, 0);
        loop {
            for (from, near) in distance.iter_mut().enumerate() {
                if !done[from] {
                    *near = (*near).min(reached + self.reduced(state, from, into));
                }
            }
            let open = (0..rows).filter(|&from| !done[from] && distance[from] < NEVER);
            let Some(nearest) = open.min_by_key(|&from| distance[from]) else { return best };
            done[nearest] = true;
            reached = distance[nearest];
            into = state.column_of[nearest];
            best = best.min(reached + state.v[column] - state.v[into]);
        }
    }

    fn reduced(&self, state: &Duals, row: usize, column: usize) -> i64 {
        let cost = self.cost[row * self.width + column];
        if cost >= NEVER { NEVER } else { cost - state.u[row] - state.v[column] }
    }
}

/// Dual values and the matching so far (shortest augmenting path, one row at a time).
#[derive(Clone)]
struct Duals {
    u: Vec<i64>,
    v: Vec<i64>,
    column_of: Vec<usize>,
    row_of: Vec<usize>,
}

impl Duals {
    fn new(rows: usize, width: usize) -> Self {
        Self {
            u: vec![0; rows],
            v: vec![0; width],
            column_of: vec![usize::MAX; rows],
            row_of: vec![usize::MAX; width],
        }
    }

    fn augment(&mut self, cost: &[i64], start: usize, width: usize) {
        let mut distance = vec![i64::MAX; width];
        let mut from = vec![usize::MAX; width];
        let mut done = vec![false; width];
        let (mut row, mut reached, mut sink) = (start, 0_i64, usize::MAX);
        let mut visited = Vec::new();
        while sink == usize::MAX {
            let mut best = usize::MAX;
            for column in 0..width {
                if done[column] {
                    continue;
                }
                let step = reached + cost[row * width + column] - self.u[row] - self.v[column];
                if step < distance[column] {
                    distance[column] = step;
                    from[column] = row;
                }
                if best == usize::MAX || distance[column] < distance[best] {
                    best = column;
                }
            }
            done[best] = true;
            visited.push(best);
            reached = distance[best];
            if self.row_of[best] == usize::MAX {
                sink = best;
            } else {
                row = self.row_of[best];
            }
        }
        self.u[start] += reached;
        for &column in visited.iter().filter(|&&column| column != sink) {
            self.u[self.row_of[column]] += reached - distance[column];
            self.v[column] += distance[column] - reached;
        }
        let mut column = sink;
        loop {
            let row = from[column];
            self.row_of[column] = row;
            std::mem::swap(&mut self.column_of[row], &mut column);
            if row == start {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(left: usize, right: usize, gain: f64) -> Edge {
        Edge { left, right, gain }
    }

    /// Every subset of pairs, slowly: what `assign` must reach.
    fn best_gain(edges: &[Edge], used: &mut Vec<Edge>, at: usize) -> f64 {
        let Some(&next) = edges.get(at) else {
            return used.iter().map(|edge| (edge.gain * UNIT).round() / UNIT).sum();
        };
        let mut best = best_gain(edges, used, at + 1);
        if used.iter().all(|edge| edge.left != next.left && edge.right != next.right) {
            used.push(next);
            best = best.max(best_gain(edges, used, at + 1));
            used.pop();
        }
        best
    }

    #[test]
    fn a_crossing_pair_is_resolved_as_a_whole() {
        let edges = [edge(0, 0, 5.0), edge(0, 1, 4.0), edge(1, 0, 4.5), edge(1, 1, 0.5)];
        let pairs = assign(&edges, 100, true);
        let chosen: Vec<_> = pairs.iter().map(|pair| (pair.left, pair.right)).collect();
        assert_eq!(chosen, [(0, 1), (1, 0)]);
        assert!((pairs[0].margin - 3.0).abs() < 0.01, "{pairs:?}");
    }

    #[test]
    fn who_comes_near_is_named_and_who_does_not_is_not() {
        let swap = [edge(0, 0, 5.0), edge(0, 1, 4.8), edge(1, 0, 4.9), edge(1, 1, 5.0)];
        let lonely = [edge(2, 2, 9.0), edge(3, 2, 8.5), edge(4, 3, 9.0), edge(5, 3, 1.0)];
        let pairs = assign(&[swap, lonely].concat(), 100, true);
        let rivals: Vec<_> = pairs.iter().map(|pair| (pair.left, pair.right, pair.rival)).collect();
        assert_eq!(rivals, [(0, 0, Some(1)), (1, 1, Some(0)), (2, 2, Some(3)), (4, 3, None)]);
    }

    #[test]
    fn a_bad_candidate_is_left_alone() {
        assert_eq!(assign(&[edge(0, 0, -1.0)], 100, true), []);
    }

    proptest::proptest! {
        /// Invariant: no other assignment gains more, and a margin is the price of forbidding its pair.
        #[test]
        fn assignment_is_optimal(gains in proptest::collection::vec(-2.0_f64..8.0, 16)) {
            let edges: Vec<Edge> = gains
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 3 != 2)
                .map(|(at, &gain)| edge(at / 4, at % 4, gain))
                .collect();
            let pairs = assign(&edges, 100, true);
            let gain_of = |pair: &Pair| {
                let found = edges.iter().find(|edge| (edge.left, edge.right) == (pair.left, pair.right));
                found.map_or(0.0, |edge| (edge.gain * UNIT).round() / UNIT)
            };
            let total: f64 = pairs.iter().map(gain_of).sum();
            proptest::prop_assert!((total - best_gain(&edges, &mut Vec::new(), 0)).abs() < 1e-6);
            for pair in &pairs {
                let rest: Vec<Edge> = edges
                    .iter()
                    .copied()
                    .filter(|edge| (edge.left, edge.right) != (pair.left, pair.right))
                    .collect();
                let without = best_gain(&rest, &mut Vec::new(), 0);
                proptest::prop_assert!((total - without - pair.margin).abs() < 1e-6);
            }
        }
    }
}
