//! Decisions of a generator, read from numbers that proptest draws and shrinks. When they run out, every decision is the first
//! alternative, which is always a simple one, so that generation ends and smaller inputs give smaller queries.

pub(crate) struct Choices<'d> {
    data: std::slice::Iter<'d, u16>,
}

impl<'d> Choices<'d> {
    pub(crate) fn new(data: &'d [u16]) -> Self {
        Self { data: data.iter() }
    }

    /// One of `n` alternatives.
    pub(crate) fn pick(&mut self, n: usize) -> usize {
        usize::from(self.data.next().copied().unwrap_or(0)) % n
    }

    /// One of these.
    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.pick(of.len())]
    }

    /// True once in `n` times; false when decisions have run out.
    pub(crate) fn rarely(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }
}
