//! How much a query may ask for.

/// Bounds on a query and on its evaluation. The defaults suit text from the network and zones of some hundred children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub text_bytes: usize,
    /// Words, numbers and signs of the text.
    pub tokens: usize,
    /// How deep expressions and parentheses nest. A chain such as `a + b + c` counts one for each sign; `AND` and `OR` do not.
    pub depth: usize,
    /// Parts of all expressions together.
    pub nodes: usize,
    /// Columns of the answer.
    pub outputs: usize,
    /// Terms of `GROUP BY`, and of `ORDER BY`.
    pub terms: usize,
    /// Bytes of a name.
    pub name_bytes: usize,
    /// Rows of the table.
    pub rows: usize,
    /// Groups of `GROUP BY`.
    pub groups: usize,
    /// Elements of a list.
    pub elements: usize,
    /// Bytes of any text that is computed, also on the way.
    pub string_bytes: usize,
    /// Bytes of one row of the answer, encoded.
    pub output_bytes: usize,
    /// Rows of the answer.
    pub output_rows: usize,
    /// Steps of the evaluation: one for a part of an expression and a row, and one for each 16 bytes or so of text that is looked at.
    pub work: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text_bytes: 16_384,
            tokens: 4096,
            depth: 48,
            nodes: 2048,
            outputs: 128,
            terms: 16,
            name_bytes: 64,
            rows: 65_536,
            groups: 4096,
            elements: 256,
            string_bytes: 4096,
            output_bytes: 8192,
            output_rows: 4096,
            work: 50_000_000,
        }
    }
}
