//! [`Grid`]: rows and columns to look at, whatever they are of; sorted, filtered, and as text.

use std::cmp::Ordering;

use gcs_monitor::{order::by_value, value::Value};

use super::text::{plain, shown, width};

/// Columns of the terminal that a cell takes at most.
const CELL: usize = 32;
/// Digits behind the point that are looked at.
const DECIMALS: usize = 2;

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// What it is, also when it is in another place.
    pub(super) key: String,
    pub(super) cells: Vec<Value>,
    /// It is not there any more: since when.
    pub(super) gone: Option<String>,
}

/// Names, and a cell for each name in each line.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grid {
    pub(super) names: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// By which column, and whether from the highest on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sort {
    pub(super) column: String,
    pub(super) down: bool,
}

/// A column as text: all cells of a width.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) width: usize,
    pub(super) right: bool,
    pub(super) cells: Vec<String>,
}

impl Grid {
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|own| own == name)
    }

    /// Whether all that is in a column are numbers, and something is.
    pub(super) fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.cells(column).filter(|cell| !cell.is_null()).peekable();
        cells.peek().is_some() && cells.all(|cell| cell.as_f64().is_some())
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &Value> {
        self.lines.iter().map(move |line| line.cells.get(column).unwrap_or(&Value::Null))
    }

    /// What is unknown comes last, either way.
    pub(super) fn sort(&mut self, by: &Sort) {
        let Some(column) = self.column(&by.column) else { return };
        self.lines.sort_by(|a, b| {
            let cell = |line: &Line| line.cells.get(column).cloned().unwrap_or_default();
            let (a, b) = (cell(a), cell(b));
            match (a.is_null(), b.is_null()) {
                (false, false) if by.down => by_value(&b, &a),
                (false, false) => by_value(&a, &b),
                (false, true) => Ordering::Less,
                (true, false) => Ordering::Greater,
                (true, true) => Ordering::Equal,
            }
        });
    }

    /// Keeps the lines that have this text somewhere, in whatever case.
    pub(super) fn filter(&mut self, text: &str) {
        let text = text.to_lowercase();
        self.lines.retain(|line| {
            let gone = line.gone.iter().any(|gone| gone.contains(&text));
            gone || line.cells.iter().any(|cell| cell.to_string().to_lowercase().contains(&text))
        });
    }

    pub(super) fn as_text(&self, column: usize) -> Column {
        let right = self.is_numeric(column);
        let name = plain(self.names.get(column).map_or("", String::as_str), CELL);
        let decimals = if right { self.cells(column).map(decimals).max().unwrap_or(0) } else { 0 };
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            Value::Float(float) if right && float.abs() < 1e12 => format!("{float:.decimals$}"),
            Value::Int(int) if right && decimals > 0 => format!("{int}.{}", "0".repeat(decimals)),
            other => shown(other, CELL),
        };
        let cells: Vec<String> = self.cells(column).map(cell).collect();
        let width = cells.iter().map(|cell| width(cell)).max().unwrap_or(0).max(width(&name));
        Column { name, width, right, cells }
    }
}

/// How many digits behind the point say something.
fn decimals(value: &Value) -> usize {
    let Value::Float(float) = value else { return 0 };
    let text = format!("{float:.DECIMALS$}");
    text.split_once('.').map_or(0, |(_, behind)| behind.trim_end_matches('0').len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let line = |key: &str, cell: Value| Line {
            key: key.into(),
            cells: vec![Value::text(key), cell],
            gone: None,
        };
        let cells = [Value::float(0.5), Value::Null, Value::Int(12), Value::float(3.146)];
        let lines = ["a", "b", "c", "d"].into_iter().zip(cells).map(|(key, cell)| line(key, cell)).collect();
        Grid { names: vec!["child".into(), "load".into()], lines }
    }

    #[test]
    fn what_is_unknown_comes_last() {
        let keys = |down| {
            let mut grid = grid();
            grid.sort(&Sort { column: "load".into(), down });
            grid.lines.into_iter().map(|line| line.key).collect::<String>()
        };
        assert_eq!((keys(false).as_str(), keys(true).as_str()), ("adcb", "cdab"));
    }

    #[test]
    fn points_of_numbers_are_under_each_other() {
        let column = grid().as_text(1);
        assert_eq!(column.cells, ["0.50", "", "12.00", "3.15"]);
        assert!(column.right && column.width == 5);
        assert!(!grid().as_text(0).right);
    }

    #[test]
    fn a_filter_looks_at_all_cells() {
        let keys = |text: &str| {
            let mut grid = grid();
            grid.filter(text);
            grid.lines.into_iter().map(|line| line.key).collect::<String>()
        };
        assert_eq!((keys("A").as_str(), keys("12").as_str(), keys("").as_str()), ("a", "c", "abcd"));
    }
}
