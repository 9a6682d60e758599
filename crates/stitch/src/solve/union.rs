//! Disjoint sets whose root is always the smallest member, so that results do not depend on join order.

/// Disjoint sets over `0..n`.
#[derive(Clone, Debug)]
pub(crate) struct Union {
    parent: Vec<usize>,
}

impl Union {
    pub(crate) fn new(size: usize) -> Self {
        Self { parent: (0..size).collect() }
    }

    pub(crate) fn find(&mut self, mut at: usize) -> usize {
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) -> usize {
        let (a, b) = (self.find(a), self.find(b));
        let (root, child) = (a.min(b), a.max(b));
        self.parent[child] = root;
        root
    }
}
