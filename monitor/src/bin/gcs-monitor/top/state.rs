//! [`State`]: what is known, and what of it is looked at. Keys and news in; nothing is read or written here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value as Json;

use super::{
    grid::{Grid, Sort},
    views,
    zone::Zone,
};

/// Zones that are asked for in a round.
const ZONES: usize = 32;
/// Branches of the tree that are shown.
const BRANCHES: usize = 1000;
/// Numbers whose history is kept, and how much of it.
const SERIES: usize = 4096;
pub(super) const SAMPLES: usize = 240;
/// Changes that are kept.
const CHANGES: usize = 500;

/// What is at the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    Table,
    Functions,
    Health,
    Changes,
    Answer,
}

impl View {
    pub(super) const ALL: [(Self, &str); 5] = [
        (Self::Table, "Table"),
        (Self::Functions, "Functions"),
        (Self::Health, "Health"),
        (Self::Changes, "Changes"),
        (Self::Answer, "Answer"),
    ];
}

/// Where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Tree,
    Right,
}

/// What is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    Filter,
    Sql,
}

/// Which cell of a view is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    pub(super) key: Option<String>,
    pub(super) column: Option<String>,
    pub(super) sort: Option<Sort>,
}

/// What came of a question.
#[derive(Debug)]
pub(super) enum News {
    /// `/v1/agent`
    Agent(Json),
    /// `/v1/zone` of this path, or why there is none.
    Zone(String, Result<Json, String>),
    /// `/v1/functions` of this zone.
    Functions(String, Result<Json, String>),
    /// What a question is answered with.
    Answer(String, Result<Json, String>),
    /// Components.
    Health(Result<Json, String>),
    /// Nobody answers.
    Lost(String),
}

/// What is to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) zones: Vec<String>,
    pub(super) functions: Option<String>,
    /// SQL, and the zone that it is about if it does not say.
    pub(super) sql: Option<(String, String)>,
}

/// A zone in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) path: String,
    pub(super) depth: usize,
    pub(super) open: bool,
    pub(super) agents: (i64, i64),
}

/// Somebody came or went.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) at_s: u64,
    pub(super) zone: String,
    pub(super) who: String,
    pub(super) what: String,
}

/// All of it.
pub(super) struct State {
    /// Where the agent is asked.
    pub(super) api: String,
    /// Its name.
    pub(super) agent: Option<String>,
    /// Why nobody answers, and since when.
    pub(super) lost: Option<(String, u64)>,
    pub(super) color: bool,
    pub(super) now_s: u64,
    pub(super) zones: BTreeMap<String, Zone>,
    /// Why the chosen zone has no table.
    pub(super) no_zone: Option<String>,
    open: BTreeSet<String>,
    pub(super) chosen: String,
    pub(super) focus: Focus,
    pub(super) view: View,
    cursors: BTreeMap<View, Cursor>,
    pub(super) filter: String,
    pub(super) typing: Option<(Typing, String)>,
    pub(super) help: bool,
    pub(super) ended: bool,
    pub(super) functions: Option<(String, Result<Json, String>)>,
    /// None if there is nobody to ask.
    pub(super) health: Option<Result<Json, String>>,
    pub(super) sql: Option<String>,
    pub(super) answer: Option<Result<Json, String>>,
    pub(super) changes: VecDeque<Change>,
    history: BTreeMap<(String, String, String), VecDeque<f64>>,
}

impl State {
    pub(super) fn new(api: String, color: bool) -> Self {
        Self {
            api,
            agent: None,
            lost: None,
            color,
            now_s: 0,
            zones: BTreeMap::new(),
            no_zone: None,
            open: BTreeSet::from(["/".to_owned()]),
            chosen: "/".to_owned(),
            focus: Focus::Tree,
            view: View::Table,
            cursors: BTreeMap::new(),
            filter: String::new(),
            typing: None,
            help: false,
            ended: false,
            functions: None,
            health: None,
            sql: None,
            answer: None,
            changes: VecDeque::new(),
            history: BTreeMap::new(),
        }
    }

    /// What is to be asked now.
    pub(super) fn wanted(&self) -> Wanted {
        let shown = self.branches().into_iter().filter(|branch| branch.open).map(|branch| branch.path);
        let mut zones = vec!["/".to_owned(), self.chosen.clone()];
        zones.extend(shown);
        zones.sort();
        zones.dedup();
        // The chosen one is asked for, whatever else there is.
        zones.sort_by_key(|zone| *zone != self.chosen);
        zones.truncate(ZONES);
        let functions = (self.view == View::Functions).then(|| self.chosen.clone());
        let sql = self.sql.as_ref().filter(|_| self.view == View::Answer);
        Wanted { zones, functions, sql: sql.map(|sql| (sql.clone(), self.chosen.clone())) }
    }

    /// The tree, as far as it is open.
    pub(super) fn branches(&self) -> Vec<Branch> {
        let root = self.zones.get("/").map_or((0, 0), Zone::agents);
        let open = |path: &str| self.open.contains(path);
        let mut all = vec![Branch { path: "/".into(), depth: 0, open: open("/"), agents: root }];
        let mut at = 0;
        while at < all.len() && all.len() < BRANCHES {
            let Branch { path, depth, open: is_open, .. } = &all[at];
            let below = self.zones.get(path).filter(|_| *is_open);
            let below: Vec<Branch> = below
                .into_iter()
                .flat_map(Zone::zones)
                .map(|(name, members, expected)| {
                    let path = inside(path, name);
                    Branch { depth: depth + 1, open: open(&path), agents: (members, expected), path }
                })
                .collect();
            at += 1;
            all.splice(at..at, below);
        }
        all
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursors.get(&self.view).cloned().unwrap_or_default()
    }

    pub(super) fn cursor_mut(&mut self) -> &mut Cursor {
        self.cursors.entry(self.view).or_default()
    }

    /// What the view shows: sorted and filtered.
    pub(super) fn grid(&self) -> Grid {
        let mut grid = views::grid(self);
        grid.filter(&self.filter);
        if let Some(sort) = &self.cursor().sort {
            grid.sort(sort);
        }
        grid
    }

    /// Which line and which column of it are looked at.
    pub(super) fn position(&self, grid: &Grid) -> (usize, usize) {
        let cursor = self.cursor();
        let line = cursor.key.and_then(|key| grid.lines.iter().position(|line| line.key == key));
        let column = cursor.column.and_then(|name| grid.column(&name));
        let numeric = || (0..grid.names.len()).find(|column| grid.is_numeric(*column));
        (line.unwrap_or(0), column.or_else(numeric).unwrap_or(0))
    }

    /// Looks at another zone.
    pub(super) fn choose(&mut self, path: String) {
        if path != self.chosen {
            self.chosen = path;
            self.no_zone = None;
            self.filter.clear();
            self.cursors.entry(View::Table).or_default().key = None;
        }
    }

    pub(super) fn is_open(&self, path: &str) -> bool {
        self.open.contains(path)
    }

    /// Opens a zone, or closes it.
    pub(super) fn set_open(&mut self, path: &str, open: bool) {
        if open {
            self.open.insert(path.to_owned());
        } else {
            self.open.remove(path);
        }
    }

    /// The numbers that were in a cell of the chosen zone, the newest first.
    pub(super) fn history(&self, child: &str, column: &str) -> Option<&VecDeque<f64>> {
        self.history.get(&(self.chosen.clone(), child.to_owned(), column.to_owned()))
    }

    /// At this second something has come.
    pub(super) fn on_news(&mut self, now_s: u64, news: News) {
        self.now_s = now_s;
        match news {
            News::Lost(why) => {
                let since = self.lost.as_ref().map_or(now_s, |(_, since)| *since);
                self.lost = Some((why, since));
                return;
            }
            News::Agent(said) => self.agent = said["name"].as_str().map(str::to_owned),
            News::Zone(path, Ok(said)) => self.on_zone(path, &said),
            News::Zone(path, Err(why)) if path == self.chosen => self.no_zone = Some(why),
            News::Zone(..) => {}
            News::Functions(zone, said) => self.functions = Some((zone, said)),
            News::Answer(sql, said) if self.sql.as_ref() == Some(&sql) => self.answer = Some(said),
            News::Answer(..) => {}
            // It is somebody else who is asked for it.
            News::Health(said) => return self.on_health(said),
        }
        self.lost = None;
    }

    fn on_zone(&mut self, path: String, said: &Json) {
        if path == self.chosen {
            self.no_zone = None;
        }
        let before = self.zones.get(&path);
        let zone = Zone::new(said, before, self.now_s);
        let changes = before.map(|before| zone.changes(before)).unwrap_or_default();
        for (who, what) in changes {
            self.changed(path.clone(), who, what.to_owned());
        }
        for (child, column, value) in zone.numbers() {
            let key = (path.clone(), child.to_owned(), column.to_owned());
            if self.history.len() >= SERIES && !self.history.contains_key(&key) {
                continue;
            }
            let samples = self.history.entry(key).or_default();
            samples.truncate(SAMPLES - 1);
            samples.push_front(value);
        }
        self.history.retain(|(of, child, column), _| *of != path || zone.value(child, column).is_some());
        self.zones.insert(path, zone);
        // Those that are not asked for any more.
        let wanted = self.wanted().zones;
        self.zones.retain(|path, _| wanted.contains(path));
        self.history.retain(|(path, ..), _| wanted.contains(path));
    }

    fn on_health(&mut self, said: Result<Json, String>) {
        let before = self.health.as_ref().and_then(|before| before.as_ref().ok()).map(views::instances);
        if let (Some(before), Ok(now)) = (before, &said) {
            for (who, health) in views::instances(now) {
                if before.get(&who).is_some_and(|old| *old != health) {
                    self.changed("health".to_owned(), who, format!("is {health}"));
                }
            }
        }
        self.health = Some(said);
    }

    fn changed(&mut self, zone: String, who: String, what: String) {
        self.changes.truncate(CHANGES - 1);
        self.changes.push_front(Change { at_s: self.now_s, zone, who, what });
    }
}

/// The path of a child.
pub(super) fn inside(zone: &str, child: &str) -> String {
    format!("{}/{child}", zone.trim_end_matches('/'))
}
