//! The screen.
//!
//! ```text
//!   title                                          views
//!   tree            │ table
//!                   │ history, or the function's text
//!   completeness                                    keys
//! ```

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    widgets::{Block, Clear, Padding, Paragraph, Sparkline, Widget as _, Wrap},
};

use crate::table::completeness;

use super::{
    grid::{Column, Grid},
    state::{Focus, State, Typing, View},
    text::{cut, plain, width},
    views,
    zone::{Zone, age},
};

/// Smaller than this nothing can be read.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 8;
/// The tree's columns.
const TREE: std::ops::RangeInclusive<u16> = 16..=30;
/// Lines below the table.
const BELOW: u16 = 4;
/// Between columns.
const GAP: usize = 2;
/// Columns of the terminal that what is typed may take, with what stands before it.
const PROMPT: usize = 8;

const PLAIN: Style = Style::new();
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

impl State {
    fn colored(&self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { PLAIN }
    }

    fn gone(&self) -> Style {
        if self.color { Style::new().fg(Color::DarkGray) } else { DIM }
    }

    fn bad(&self) -> Style {
        self.colored(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What keys act on is marked more than what they do not.
    fn selected(&self, focused: bool) -> Style {
        if focused { PLAIN.add_modifier(Modifier::REVERSED) } else { BOLD.add_modifier(Modifier::UNDERLINED) }
    }
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        put(frame.buffer_mut(), area, 0, "the terminal is too small", PLAIN);
        return;
    }
    let row = |y: u16, height: u16| Rect { y, height, ..area };
    title(frame.buffer_mut(), row(0, 1), state);
    let body = row(1, area.height - 2);
    let tree_width = (area.width / 4).clamp(*TREE.start(), *TREE.end());
    tree(frame.buffer_mut(), Rect { width: tree_width, ..body }, state);
    for y in body.top()..body.bottom() {
        frame.buffer_mut().set_string(tree_width, y, "│", DIM);
    }
    let left = tree_width + 2;
    right(frame, Rect { x: left, width: area.width - left, ..body }, state);
    footer(frame, row(area.height - 1, 1), state);
    if state.help {
        help(frame, area);
    }
}

/// Puts text into a line of an area. Returns how many columns it took.
fn put(buffer: &mut Buffer, line: Rect, column: usize, text: &str, style: Style) -> usize {
    let Ok(x) = u16::try_from(column) else { return 0 };
    if x >= line.width || line.height == 0 {
        return 0;
    }
    let text = cut(text, usize::from(line.width - x));
    buffer.set_string(line.x + x, line.y, &text, style);
    width(&text)
}

fn line(area: Rect, nth: usize) -> Rect {
    let nth = u16::try_from(nth).unwrap_or(u16::MAX).min(area.height);
    Rect { y: area.y + nth, height: 1.min(area.height - nth), ..area }
}

fn title(buffer: &mut Buffer, area: Rect, state: &State) {
    let style = state.colored(Color::Cyan);
    let tabs: usize = View::ALL.iter().map(|(_, name)| name.len() + 4).sum();
    let mut at = usize::from(area.width).saturating_sub(tabs);
    let name = state.agent.as_deref().map_or_else(String::new, |name| plain(name, 60));
    let name = if name.is_empty() { state.api.clone() } else { format!("{name} at {}", state.api) };
    let room = Rect { width: u16::try_from(at.saturating_sub(1)).unwrap_or(area.width), ..area };
    put(buffer, room, 0, &name, BOLD);
    for (nth, (view, name)) in View::ALL.iter().enumerate() {
        let style = if *view == state.view { style.add_modifier(Modifier::REVERSED) } else { PLAIN };
        at += put(buffer, area, at, &format!(" {} {name} ", nth + 1), style);
    }
}

fn tree(buffer: &mut Buffer, area: Rect, state: &State) {
    let branches = state.branches();
    let at = branches.iter().position(|branch| branch.path == state.chosen).unwrap_or(0);
    let first = first_line(at, usize::from(area.height));
    for (nth, branch) in branches.iter().skip(first).take(usize::from(area.height)).enumerate() {
        let line = line(Rect { width: area.width - 1, ..area }, nth);
        let (members, expected) = branch.agents;
        let count = if expected > members { format!("{members}/{expected}") } else { members.to_string() };
        let style = if branch.path == state.chosen {
            state.selected(state.focus == Focus::Tree)
        } else if expected > members {
            state.colored(Color::Yellow)
        } else {
            PLAIN
        };
        let mark = if branch.open { "▾" } else { "▸" };
        let name = branch.path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("/");
        let indent = 2 * branch.depth.min(6);
        let room = usize::from(line.width).saturating_sub(indent + 2 + count.len() + 1);
        buffer.set_style(line, style);
        put(buffer, line, indent, &format!("{mark} {}", plain(name, room)), style);
        put(buffer, line, usize::from(line.width).saturating_sub(count.len()), &count, style);
    }
}

/// The first line that is shown, so that the one at `at` is.
fn first_line(at: usize, height: usize) -> usize {
    (at + 1).saturating_sub(height)
}

fn right(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let grid = state.grid();
    let (heading, trouble) = heading(state, &grid);
    put(frame.buffer_mut(), line(area, 0), 0, &heading, BOLD);
    if let Some(trouble) = trouble {
        let room = Rect { y: area.y + 1, height: area.height - 1, ..area };
        frame.render_widget(Paragraph::new(trouble).style(state.bad()).wrap(Wrap { trim: false }), room);
        return;
    }
    let below = if area.height >= 14 && has_below(state) { BELOW + 1 } else { 0 };
    let room = Rect { y: area.y + 1, height: area.height - 1 - below, ..area };
    table(frame.buffer_mut(), room, state, &grid);
    if below > 0 {
        under(frame, Rect { y: area.bottom() - BELOW, height: BELOW, ..area }, state, &grid);
    }
}

fn has_below(state: &State) -> bool {
    matches!(state.view, View::Table | View::Functions)
}

/// What is shown, in a line; and why nothing is.
fn heading(state: &State, grid: &Grid) -> (String, Option<String>) {
    let filter = match state.filter.as_str() {
        "" => String::new(),
        text => format!("   with “{}”", plain(text, 30)),
    };
    let zone = plain(&state.chosen, 60);
    let nothing = |what: &str| grid.lines.is_empty().then(|| what.to_owned());
    let error = |said: &Result<_, String>| said.as_ref().err().map(|why| lines(why));
    let (text, trouble) = match state.view {
        View::Table => (zone, state.no_zone.as_deref().map(lines)),
        View::Functions => {
            let said = state.functions.as_ref().filter(|(of, _)| *of == state.chosen);
            let text = match said {
                Some((_, Ok(_))) => nothing("has no functions; `gcs-monitor install` makes one"),
                _ => None,
            };
            let trouble = said.and_then(|(_, said)| error(said));
            (
                format!(
                    "{zone}  {}",
                    text.unwrap_or_else(|| "what functions say of all agents in it".into())
                ),
                trouble,
            )
        }
        View::Health => match &state.health {
            None => (
                "health".into(),
                Some("start with --health ADDR:PORT of a representative (gcs-monitor health serve)".into()),
            ),
            Some(said) => (nothing("no components").unwrap_or_else(|| "components".into()), error(said)),
        },
        View::Changes => {
            (nothing("no changes yet").unwrap_or_else(|| "changes since this began".into()), None)
        }
        View::Answer => match &state.sql {
            None => ("press i to type a question".into(), None),
            Some(sql) => (plain(sql, 200), state.answer.as_ref().and_then(error)),
        },
    };
    (text + &filter, trouble)
}

/// Several lines of somebody else.
fn lines(text: &str) -> String {
    text.lines().take(8).map(|line| plain(line, 300)).collect::<Vec<_>>().join("\n")
}

fn table(buffer: &mut Buffer, area: Rect, state: &State, grid: &Grid) {
    let (at, column) = state.position(grid);
    let columns: Vec<Column> = (0..grid.names.len()).map(|nth| grid.as_text(nth)).collect();
    let shown = shown_columns(&columns, column, usize::from(area.width).saturating_sub(GAP));
    let focused = state.focus == Focus::Right;
    let sort = state.cursor().sort;
    for (x, nth) in &shown {
        let Column { name, width: wide, right, .. } = &columns[*nth];
        let style = if *nth == column && focused {
            state.colored(Color::Cyan).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            DIM
        };
        let pad = if *right { wide.saturating_sub(width(name)) } else { 0 };
        let took = put(buffer, line(area, 0), x + pad, name, style);
        if let Some(sort) = sort.as_ref().filter(|sort| grid.column(&sort.column) == Some(*nth)) {
            put(buffer, line(area, 0), x + pad + took, if sort.down { "▼" } else { "▲" }, style);
        }
    }
    if shown.last().is_some_and(|(_, last)| last + 1 < columns.len()) {
        put(buffer, line(area, 0), usize::from(area.width).saturating_sub(1), "›", BOLD);
    }
    let height = usize::from(area.height).saturating_sub(1);
    let first = first_line(at, height);
    for (nth, of) in grid.lines.iter().enumerate().skip(first).take(height) {
        let line = line(area, 1 + nth - first);
        let style = if of.gone.is_some() { state.gone() } else { PLAIN };
        let style = if nth == at && focused { style.patch(state.selected(true)) } else { style };
        buffer.set_style(line, style);
        for (x, nth_column) in &shown {
            let Column { cells, width: wide, right, .. } = &columns[*nth_column];
            let cell = &cells[nth];
            let pad = if *right { wide.saturating_sub(width(cell)) } else { 0 };
            put(buffer, line, x + pad, cell, style);
        }
        if let (Some(gone), Some(first)) = (&of.gone, columns.first()) {
            put(buffer, line, first.width + GAP, gone, style);
        }
    }
}

/// Which columns have a place, and where: the first one always, the others so that the chosen one is seen.
fn shown_columns(columns: &[Column], chosen: usize, room: usize) -> Vec<(usize, usize)> {
    let wide = |nth: usize| columns[nth].width + GAP;
    let Some(first) = columns.first() else { return Vec::new() };
    let room = room.saturating_sub(first.width + GAP);
    let mut from = 1;
    while from < chosen && (from..=chosen).map(wide).sum::<usize>() > room + GAP {
        from += 1;
    }
    let mut shown = vec![(0, 0)];
    let mut x = first.width + GAP;
    for (nth, column) in columns.iter().enumerate().skip(from) {
        // A number that is cut is another one; text may be.
        let whole = x + column.width <= first.width + GAP + room;
        if !whole && (column.right || x >= first.width + room) {
            break;
        }
        shown.push((x, nth));
        x += wide(nth);
    }
    shown
}

/// What is below the table.
fn under(frame: &mut Frame<'_>, area: Rect, state: &State, grid: &Grid) {
    let (at, column) = state.position(grid);
    let Some(of) = grid.lines.get(at) else { return };
    if state.view == View::Functions {
        let Some(texts) = views::function(state, &of.key) else { return };
        let text = texts.map(|text| plain(&text, 600)).join("\n");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: false }), area);
        return;
    }
    let Some(name) = grid.names.get(column) else { return };
    let Some(samples) = state.history(&of.key, name) else { return };
    let samples: Vec<f64> = samples.iter().take(usize::from(area.width)).copied().collect();
    let (least, most) = samples.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let (name, key, seconds) = (plain(name, 30), plain(&of.key, 30), samples.len());
    let span = format!("{name} of {key}   {} to {}, last {seconds} s", number(least), number(most));
    put(frame.buffer_mut(), line(area, 0), 0, &span, DIM);
    let base = least.min(0.0);
    let range = if most > base { most - base } else { 1.0 };
    // As many steps as eight parts of a cell in each line.
    let steps = f64::from(8 * (area.height - 1));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the steps")]
    let bars: Vec<u64> = samples.iter().rev().map(|x| ((x - base) / range * steps).round() as u64).collect();
    let spark = Sparkline::default().data(&bars).max(u64::from(8 * (area.height - 1)));
    let spark = spark.style(state.colored(Color::Cyan));
    spark.render(Rect { y: area.y + 1, height: area.height - 1, ..area }, frame.buffer_mut());
}

/// As few digits as say it.
fn number(x: f64) -> String {
    let said = format!("{x:.2}");
    said.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn footer(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let buffer = frame.buffer_mut();
    if let Some((what, text)) = &state.typing {
        let label = if *what == Typing::Sql { "SQL: " } else { "filter: " };
        let room = usize::from(area.width).saturating_sub(PROMPT + 2);
        let shown = tail(&plain(text, usize::MAX), room);
        let took = put(buffer, area, 0, label, BOLD);
        let end = took + put(buffer, area, took, &shown, PLAIN);
        put(buffer, area, end, " ", PLAIN.add_modifier(Modifier::REVERSED));
        return;
    }
    if let Some((why, since)) = &state.lost {
        let ago = state.now_s.saturating_sub(*since);
        let text = format!("trying again for {}: {}", age(ago), plain(why, 300));
        put(buffer, area, 0, &text, state.bad());
        return;
    }
    let keys = "? help  q quit";
    let room = usize::from(area.width).saturating_sub(keys.len());
    let zone = state.zones.get(&state.chosen);
    let (text, style) = match zone {
        _ if state.view == View::Answer && state.sql.is_some() => match &state.answer {
            Some(Ok(answer)) => (plain(&completeness(answer), 300), PLAIN),
            _ => (String::new(), PLAIN),
        },
        Some(zone) => complete(state, zone),
        None => ("…".to_owned(), DIM),
    };
    put(buffer, Rect { width: u16::try_from(room.saturating_sub(1)).unwrap_or(0), ..area }, 0, &text, style);
    put(buffer, area, room, keys, DIM);
}

/// How much of the zone is in what is shown.
fn complete(state: &State, zone: &Zone) -> (String, Style) {
    let (members, expected) = zone.agents();
    let gone = if expected > members { format!(", {} gone", expected - members) } else { String::new() };
    let oldest = zone.oldest_s().and_then(|s| u64::try_from(s).ok());
    let oldest = oldest.map_or_else(String::new, |s| format!(", oldest {}", age(s)));
    let old = state.now_s.saturating_sub(zone.now_s);
    let seen = if old > 5 { format!(", seen {} ago", age(old)) } else { String::new() };
    let style = if expected > members { state.colored(Color::Yellow) } else { PLAIN };
    (format!("{members} of {expected} agents{gone}{oldest}{seen}"), style)
}

/// The end of a text, as much as has a place.
fn tail(text: &str, columns: usize) -> String {
    let mut from = text;
    while width(from) > columns {
        let mut chars = from.chars();
        chars.next();
        from = chars.as_str();
    }
    from.to_owned()
}

const HELP: &str = "\
Tab          tree, table
↑ ↓  k j     line; PgUp PgDn, g G
← →  h l     open and close a zone; column
Enter        open a zone; in the table: go there
Backspace u  to the zone around
1 … 5        table, functions, health, changes, answer
s            sort by the column; again: the other way, not
/            filter; Esc: all
i            type SQL; it is asked until you leave
?            this
q  Ctrl-C    quit";

fn help(frame: &mut Frame<'_>, area: Rect) {
    let wide = HELP.lines().map(width).max().unwrap_or(0) + 4;
    let (width, height) =
        (u16::try_from(wide).unwrap_or(u16::MAX), u16::try_from(HELP.lines().count()).unwrap_or(0));
    let (width, height) = (width.min(area.width), (height + 2).min(area.height));
    let at = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, at);
    let block = Block::bordered().padding(Padding::horizontal(1));
    frame.render_widget(Paragraph::new(HELP).block(block), at);
}
