//! Screens.

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::{Color, Modifier},
};
use serde_json::{Value as Json, json};

use super::{
    draw::draw,
    state::{News, State, Wanted},
};

fn row(child: &str, attributes: Json) -> Json {
    json!({ "child": child, "version": 1, "attributes": attributes })
}

fn root() -> Json {
    let zone = |name: &str, members: i64, expected: i64| {
        row(name, json!({ "id": name, "nmembers": members, "expected": expected, "depth": 1, "oldest": 998 }))
    };
    json!({ "zone": "/", "expected": 5, "gone": [], "functions": [], "rows": [zone("eu", 2, 3), zone("us", 2, 2)] })
}

fn eu(load: f64) -> Json {
    let host = |name: &str, load: f64, role: &str| {
        row(
            name,
            json!({ "id": name, "nmembers": 1, "oldest": 995, "load1": load, "role": role, "contacts": ["x"], "cores": 8 }),
        )
    };
    json!({
        "zone": "/eu", "expected": 3, "gone": ["host3"], "gone_since_s": { "host3": 970 }, "functions": [],
        "rows": [host("host10", load, "db"), host("host2", 12.25, "web")],
    })
}

fn state() -> State {
    let mut state = State::new("127.0.0.1:4805".into(), true);
    state.on_news(1000, News::Agent(json!({ "name": "/eu/host2" })));
    state.on_news(1000, News::Zone("/".into(), Ok(root())));
    state.on_news(1000, News::Zone("/eu".into(), Ok(eu(0.5))));
    state
}

fn press(state: &mut State, keys: &[KeyCode]) {
    keys.iter().for_each(|key| state.on_key(KeyEvent::new(*key, KeyModifiers::NONE)));
}

fn typed(state: &mut State, text: &str) {
    text.chars().for_each(|c| press(state, &[KeyCode::Char(c)]));
}

fn terminal(state: &State, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    terminal
}

/// The screen, without what is blank at the end of its lines.
fn screen(state: &State, width: u16, height: u16) -> String {
    let text = terminal(state, width, height).backend().to_string();
    let lines = text.lines().map(|line| line.trim_matches('"').trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

/// State in /eu, with the table's keys.
fn in_eu() -> State {
    let mut state = state();
    press(&mut state, &[KeyCode::Down]);
    state.on_news(1000, News::Zone("/eu".into(), Ok(eu(0.5))));
    press(&mut state, &[KeyCode::Tab]);
    state
}

#[test]
fn the_root_and_who_is_missing_in_it() {
    assert_eq!(
        screen(&state(), 80, 9),
        "\
/eu/host2 at 127.0.0.1:48…  1 Table  2 Functions  3 Health  4 Changes  5 Answer
▾ /             4/5 │ /
  ▸ eu          2/3 │ child  agents  gone
  ▸ us            2 │ eu          2     1
                    │ us          2
                    │
                    │
                    │
4 of 5 agents, 1 gone, oldest 2 s                                 ? help  q quit"
    );
}

#[test]
fn a_table_has_its_numbers_to_the_right_and_says_who_is_gone() {
    let mut state = in_eu();
    state.on_news(1001, News::Zone("/eu".into(), Ok(eu(3.0))));
    assert_eq!(
        screen(&state, 80, 17),
        "\
/eu/host2 at 127.0.0.1:48…  1 Table  2 Functions  3 Health  4 Changes  5 Answer
▾ /             4/5 │ /eu
  ▸ eu          2/3 │ child   load1  role  cores
  ▸ us            2 │ host2   12.25  web       8
                    │ host3   gone for 31 s
                    │ host10   3.00  db        8
                    │
                    │
                    │
                    │
                    │
                    │
                    │ load1 of host2   12.25 to 12.25, last 2 s
                    │ ██
                    │ ██
                    │ ██
2 of 3 agents, 1 gone, oldest 6 s                                 ? help  q quit"
    );
    press(&mut state, &[KeyCode::Char('G')]);
    assert!(screen(&state, 80, 17).contains("load1 of host10   0.5 to 3, last 2 s"));
    // Below the higher bar is nothing lower than a sixth of it.
    assert!(screen(&state, 80, 17).contains("│ ▄█\n2 of 3"), "{}", screen(&state, 80, 17));
}

#[test]
fn who_is_gone_is_grey_and_without_color_nothing_is_colored() {
    let mut state = in_eu();
    let of = |state: &State, x: u16, y: u16| terminal(state, 80, 12).backend().buffer()[(x, y)].clone();
    assert_eq!(of(&state, 22, 4).fg, Color::DarkGray);
    assert_eq!(of(&state, 22, 5).fg, Color::Reset);
    state.color = false;
    assert!(of(&state, 22, 4).modifier.contains(Modifier::DIM));
    for view in '1'..='5' {
        press(&mut state, &[KeyCode::Char(view)]);
        let terminal = terminal(&state, 80, 24);
        let cells = &terminal.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    }
}

#[test]
fn rows_are_sorted_by_the_chosen_column_one_way_then_the_other_then_not() {
    let mut state = in_eu();
    let order = |state: &State| {
        let text = screen(state, 80, 12);
        let lines = text.lines().filter_map(|line| line.split("│ ").nth(1)?.split(' ').next());
        lines.filter(|name| name.starts_with("host")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(&state), "host2 host3 host10");
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!(order(&state), "host2 host10 host3");
    assert!(screen(&state, 80, 12).contains("load1▼"));
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!(order(&state), "host10 host2 host3");
    press(&mut state, &[KeyCode::Char('s')]);
    assert_eq!(order(&state), "host2 host3 host10");
    // Another column.
    press(&mut state, &[KeyCode::Char('l'), KeyCode::Char('s')]);
    assert_eq!(order(&state), "host10 host2 host3");
    assert!(screen(&state, 80, 12).contains("role▲"));
}

#[test]
fn a_filter_is_seen_while_it_is_typed_and_leaves() {
    let mut state = in_eu();
    press(&mut state, &[KeyCode::Char('/')]);
    typed(&mut state, "DB");
    let text = screen(&state, 80, 12);
    assert!(text.contains("host10") && !text.contains("│ host2") && text.ends_with("filter: DB"), "{text}");
    press(&mut state, &[KeyCode::Enter]);
    assert!(screen(&state, 80, 12).contains("/eu   with “DB”"));
    press(&mut state, &[KeyCode::Esc]);
    assert!(screen(&state, 80, 12).contains("│ host2"));
    // Keys that are typed are no commands.
    press(&mut state, &[KeyCode::Char('/')]);
    typed(&mut state, "q");
    assert!(!state.ended);
}

#[test]
fn zones_are_opened_and_left() {
    let mut state = state();
    press(&mut state, &[KeyCode::Left]);
    assert!(!screen(&state, 80, 9).contains("  ▸ eu"));
    assert_eq!(state.wanted(), Wanted { zones: vec!["/".into()], ..Wanted::default() });
    press(&mut state, &[KeyCode::Right, KeyCode::Down, KeyCode::Right]);
    assert_eq!(state.chosen, "/eu");
    assert_eq!(state.wanted().zones, ["/eu", "/"]);
    press(&mut state, &[KeyCode::Backspace]);
    assert_eq!(state.chosen, "/");
    // Through the table.
    press(&mut state, &[KeyCode::Tab, KeyCode::Down, KeyCode::Enter]);
    assert_eq!(state.chosen, "/us");
    press(&mut state, &[KeyCode::Char('q')]);
    assert!(state.ended);
}

#[test]
fn a_question_is_typed_and_answered_with_its_completeness() {
    let mut state = in_eu();
    press(&mut state, &[KeyCode::Char('i')]);
    typed(&mut state, "SELECT SUN(x)");
    assert!(screen(&state, 80, 9).ends_with("SQL: SELECT SUN(x)"));
    press(&mut state, &[KeyCode::Enter]);
    assert_eq!(state.wanted().sql, Some(("SELECT SUN(x)".into(), "/eu".into())));
    let wrong = "line 1, column 8: there is no function SUN\n  SELECT SUN(x)\n         ^";
    state.on_news(1002, News::Answer("SELECT SUN(x)".into(), Err(wrong.into())));
    let text = screen(&state, 80, 9);
    assert!(text.contains("│   SELECT SUN(x)\n") && text.contains("│          ^\n"), "{text}");
    press(&mut state, &[KeyCode::Char('i')]);
    (0..20).for_each(|_| press(&mut state, &[KeyCode::Backspace]));
    typed(&mut state, "SELECT id, x");
    press(&mut state, &[KeyCode::Enter]);
    let c = json!({ "reported": 2, "members": 2, "expected": 3, "oldest_s": 4, "gone": ["host3"] });
    let answer =
        json!({ "zone": "/eu", "columns": ["id", "x"], "rows": [["a", 5], ["b", 50]], "completeness": c });
    state.on_news(1003, News::Answer("SELECT id, x".into(), Ok(answer)));
    // What is late is not the answer to this one.
    state.on_news(1003, News::Answer("SELECT SUN(x)".into(), Err("old".into())));
    assert_eq!(
        screen(&state, 80, 8),
        "\
/eu/host2 at 127.0.0.1:48…  1 Table  2 Functions  3 Health  4 Changes  5 Answer
▾ /             4/5 │ SELECT id, x
  ▸ eu          2/3 │ id   x
  ▸ us            2 │ a    5
                    │ b   50
                    │
                    │
2 of 3 agents in /eu, 1 gone; the oldest row is 4 s old; gone: h… ? help  q quit"
    );
}

#[test]
fn functions_say_what_they_answer_and_of_how_many() {
    let mut state = in_eu();
    press(&mut state, &[KeyCode::Char('2')]);
    assert_eq!(state.wanted().functions, Some("/eu".into()));
    let c = json!({ "reported": 2, "members": 2, "expected": 3, "oldest_s": 4, "gone": [] });
    let answer = json!({ "zone": "/eu", "columns": ["worst"], "rows": [[12.25]], "completeness": c });
    let sql = "SELECT MAX(load1) AS worst";
    let load =
        json!({ "name": "load", "sql": sql, "expires_in_s": 86_400 * 30, "answer": answer, "error": null });
    let bad =
        json!({ "name": "sum", "sql": "SELECT 1", "expires_in_s": 60, "answer": null, "error": "too much" });
    state.on_news(1002, News::Functions("/eu".into(), Ok(json!({ "functions": [load, bad] }))));
    assert_eq!(
        screen(&state, 80, 17),
        "\
/eu/host2 at 127.0.0.1:48…  1 Table  2 Functions  3 Health  4 Changes  5 Answer
▾ /             4/5 │ /eu  what functions say of all agents in it
  ▸ eu          2/3 │ function  agents  expires in  answer
  ▸ us            2 │ load      2 of 3  30 days     worst = 12.25
                    │ sum               60 s        fails: too much
                    │
                    │
                    │
                    │
                    │
                    │
                    │
                    │ SELECT MAX(load1) AS worst
                    │ worst = 12.25
                    │ 2 of 3 agents in /eu, 1 gone; the oldest row is 4 s old
                    │
2 of 3 agents, 1 gone, oldest 5 s                                 ? help  q quit"
    );
}

#[test]
fn who_comes_and_goes_is_told() {
    let mut state = in_eu();
    press(&mut state, &[KeyCode::Char('4')]);
    assert!(screen(&state, 80, 9).contains("no changes yet"));
    let mut next = eu(0.5);
    next["gone"] = json!(["host10"]);
    next["rows"] = json!([
        next["rows"][1],
        row("host3", json!({ "nmembers": 1 })),
        row("new", json!({ "nmembers": 1 }))
    ]);
    next["functions"] = json!([{ "name": "load" }]);
    state.on_news(1010, News::Zone("/eu".into(), Ok(next)));
    state.now_s = 1012;
    let text = screen(&state, 80, 9);
    for part in [
        "2 s ago  /eu   host3          is back",
        "2 s ago  /eu   new            is new",
        "2 s ago  /eu   host10         is gone",
        "2 s ago  /eu   function load  is installed",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn health_is_shown_if_somebody_is_asked_for_it() {
    let mut state = in_eu();
    press(&mut state, &[KeyCode::Char('3')]);
    assert!(screen(&state, 80, 9).contains("--health"));
    let of = |health: &str| {
        let opinions = json!([{ "observer": "a/1", "finding": "down", "evidence": "\u{1b}[2J" }]);
        let instance = json!({ "instance": "i1", "health": health, "since_ms": 990_000, "address": "10.0.0.1:80", "held": false, "opinions": opinions });
        News::Health(Ok(json!([{ "component": "shop", "instances": [instance] }])))
    };
    state.on_news(1000, of("up"));
    state.on_news(1001, of("down"));
    let text = screen(&state, 100, 9);
    assert!(text.contains("shop       i1        down    11 s  10.0.0.1:80  a/1 down"), "{text}");
    press(&mut state, &[KeyCode::Char('4')]);
    assert!(screen(&state, 80, 9).contains("health  shop i1  is down"));
    state.on_news(1002, News::Health(Err("nobody\u{1b}[2J answers".into())));
    press(&mut state, &[KeyCode::Char('3')]);
    assert!(screen(&state, 80, 9).contains(r"nobody\u{1b}[2J answers"));
}

#[test]
fn nobody_answers_and_then_somebody_does() {
    let mut state = in_eu();
    state.on_news(1005, News::Lost("no agent answers at http://127.0.0.1:4805: refused".into()));
    state.now_s = 1010;
    let text = screen(&state, 80, 9);
    assert!(
        text.ends_with("trying again for 5 s: no agent answers at http://127.0.0.1:4805: refused"),
        "{text}"
    );
    // What was known stays to be seen.
    assert!(text.contains("host10"), "{text}");
    state.on_news(1011, News::Zone("/eu".into(), Ok(eu(0.5))));
    assert!(screen(&state, 80, 9).contains("2 of 3 agents"));
    // Before anybody has answered.
    let mut state = State::new("127.0.0.1:4805".into(), false);
    state.on_news(1000, News::Lost("no agent answers".into()));
    assert!(screen(&state, 80, 9).contains("no agent answers"));
}

#[test]
fn what_others_say_does_not_steer_and_keeps_to_its_place() {
    let mut state = in_eu();
    let evil = "\u{1b}]0;title\u{7}\u{202e}\n東京";
    let attributes =
        json!({ evil: evil, "load1": 1.5, "long": "x".repeat(5000), "list": [evil, 1], "e\u{301}": 1 });
    let mut said = eu(0.5);
    said["rows"] = json!([row(evil, attributes), row("host1", json!({ "load1": 100 }))]);
    said["gone"] = json!([evil, "\u{9b}31m"]);
    state.on_news(1001, News::Zone("/eu".into(), Ok(said)));
    state.on_news(1001, News::Agent(json!({ "name": evil })));
    for view in '1'..='5' {
        press(&mut state, &[KeyCode::Char(view)]);
        for (width, height) in [(200, 50), (80, 24), (40, 8), (39, 8), (1, 1)] {
            let terminal = terminal(&state, width, height);
            for cell in &terminal.backend().buffer().content {
                assert!(!cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}'));
            }
        }
    }
    press(&mut state, &[KeyCode::Char('1')]);
    // The mark between tree and table is where it was, on all lines.
    let terminal = terminal(&state, 100, 24);
    assert!((1..23).all(|y| terminal.backend().buffer()[(25, y)].symbol() == "│"));
}

#[test]
fn any_keys_at_any_size_draw_something() {
    let keys = "hjklgGs/xi\u{8}?qu12345 ".chars().map(KeyCode::Char);
    let keys: Vec<_> = keys
        .chain([KeyCode::Enter, KeyCode::Esc, KeyCode::Tab, KeyCode::Backspace, KeyCode::PageDown])
        .collect();
    let mut random = 7u32;
    let mut state = state();
    for step in 0..400u16 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        press(&mut state, &[keys[(random >> 16) as usize % keys.len()]]);
        state.on_news(
            1000 + u64::from(step),
            News::Zone(state.chosen.clone(), Ok(if step % 2 == 0 { eu(1.0) } else { root() })),
        );
        terminal(&state, 30 + step % 90, 5 + step % 40);
    }
}
