//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    grid::Sort,
    state::{Focus, State, Typing, View, inside},
};

/// Lines that a page is.
const PAGE: isize = 10;
/// Characters that can be typed.
const TYPED: usize = 4000;

impl State {
    /// A key was pressed.
    pub(super) fn on_key(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, control) {
            (KeyCode::Char('c'), true) => self.ended = true,
            _ if self.typing.is_some() => self.on_typed(key.code, control),
            _ if self.help => self.help = false,
            (code, false) => self.on_command(code),
            _ => {}
        }
    }

    fn on_typed(&mut self, code: KeyCode, control: bool) {
        let Some((what, mut text)) = self.typing.take() else { return };
        match code {
            KeyCode::Esc => {
                if what == Typing::Filter {
                    self.filter.clear();
                }
                return;
            }
            KeyCode::Enter => return self.typed(what, text),
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char(c) if !control && text.chars().count() < TYPED => text.push(c),
            _ => {}
        }
        if what == Typing::Filter {
            self.filter.clone_from(&text);
        }
        self.typing = Some((what, text));
    }

    fn typed(&mut self, what: Typing, text: String) {
        if what == Typing::Sql && !text.trim().is_empty() {
            self.view = View::Answer;
            self.focus = Focus::Right;
            if self.sql.as_ref() != Some(&text) {
                self.answer = None;
            }
            self.sql = Some(text);
        }
    }

    fn on_command(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('q') => self.ended = true,
            KeyCode::Char('?') | KeyCode::F(1) => self.help = true,
            KeyCode::Char('/') => {
                self.focus = Focus::Right;
                self.typing = Some((Typing::Filter, self.filter.clone()));
            }
            KeyCode::Char('i') => self.typing = Some((Typing::Sql, self.sql.clone().unwrap_or_default())),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab | KeyCode::BackTab => {
                self.focus = if self.focus == Focus::Tree { Focus::Right } else { Focus::Tree };
            }
            KeyCode::Char(digit @ '1'..='5') => {
                let nth = usize::from(digit as u8 - b'1');
                self.view = View::ALL[nth].0;
                self.filter.clear();
            }
            KeyCode::Backspace | KeyCode::Char('u') => self.up(),
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            other if self.focus == Focus::Tree => self.on_tree(other),
            other => self.on_right(other),
        }
    }

    fn on_tree(&mut self, code: KeyCode) {
        let (chosen, open) = (self.chosen.clone(), self.is_open(&self.chosen));
        match code {
            KeyCode::Right | KeyCode::Char('l') if open => self.focus = Focus::Right,
            KeyCode::Right | KeyCode::Char('l') => self.set_open(&chosen, true),
            KeyCode::Left | KeyCode::Char('h') if open => self.set_open(&chosen, false),
            KeyCode::Left | KeyCode::Char('h') => self.up(),
            KeyCode::Enter | KeyCode::Char(' ') => self.set_open(&chosen, !open),
            _ => {}
        }
    }

    fn on_right(&mut self, code: KeyCode) {
        let grid = self.grid();
        let (line, column) = self.position(&grid);
        match code {
            KeyCode::Left | KeyCode::Char('h') if column == 0 => self.focus = Focus::Tree,
            KeyCode::Left | KeyCode::Char('h') => {
                self.cursor_mut().column = grid.names.get(column - 1).cloned();
            }
            KeyCode::Right | KeyCode::Char('l') if column + 1 < grid.names.len() => {
                self.cursor_mut().column = grid.names.get(column + 1).cloned();
            }
            KeyCode::Char('s') => {
                let Some(name) = grid.names.get(column).cloned() else { return };
                let first = grid.is_numeric(column);
                let cursor = self.cursor_mut();
                cursor.sort = match cursor.sort.take() {
                    Some(sort) if sort.column == name && sort.down == first => {
                        Some(Sort { column: name, down: !first })
                    }
                    Some(sort) if sort.column == name => None,
                    _ => Some(Sort { column: name.clone(), down: first }),
                };
            }
            KeyCode::Enter if self.view == View::Table => {
                let zone = self.zones.get(&self.chosen);
                let child =
                    grid.lines.get(line).filter(|line| zone.is_some_and(|zone| zone.is_zone(&line.key)));
                if let Some(child) = child {
                    let (around, path) = (self.chosen.clone(), inside(&self.chosen, &child.key));
                    self.set_open(&around, true);
                    self.choose(path);
                }
            }
            _ => {}
        }
    }

    /// To the zone around the chosen one.
    fn up(&mut self) {
        if let Some((around, _)) = self.chosen.rsplit_once('/') {
            self.choose(if around.is_empty() { "/".to_owned() } else { around.to_owned() });
        }
    }

    /// To another branch, or another line.
    fn step(&mut self, by: isize) {
        let to = |at: usize, of: usize| at.saturating_add_signed(by).min(of.saturating_sub(1));
        if self.focus == Focus::Tree {
            let branches = self.branches();
            let at = branches.iter().position(|branch| branch.path == self.chosen).unwrap_or(0);
            if let Some(branch) = branches.get(to(at, branches.len())) {
                self.choose(branch.path.clone());
            }
        } else {
            let grid = self.grid();
            let at = self.position(&grid).0;
            let key = grid.lines.get(to(at, grid.lines.len())).map(|line| line.key.clone());
            self.cursor_mut().key = key;
        }
    }
}
