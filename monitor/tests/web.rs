//! The dashboard in a real browser, as a person uses it. Without Chromium this says so, and fails where CI=true.

#[path = "web/agents.rs"]
mod agents;
#[path = "web/browser.rs"]
mod browser;

use agents::{Agent, agent, until};
use browser::Browser;

/// Three agents of one zone, one of which is up to no good, and one of another zone.
fn fleet() -> Vec<Agent> {
    let hostile = format!("note=<img src=x onerror=\"document.title='owned'\">{}", "long".repeat(50));
    let first = agent("/zone0/host0", None, &["load=10", "role=web"]);
    let seed = first.contact.clone();
    let more = [
        agent("/zone0/host1", Some(&seed), &["load=20", "role=web"]),
        agent("/zone0/host2", Some(&seed), &["load=30", &hostile, "steer=a\u{1b}[31m\u{202e}b\n\u{7}"]),
        agent("/zone1/host0", Some(&seed), &["load=40"]),
    ];
    let all: Vec<Agent> = std::iter::once(first).chain(more).collect();
    all.iter().for_each(|agent| agent.until(&["zones"], |text| text.starts_with("/  4 agents\n")));
    all
}

#[test]
fn a_person_watches_asks_installs_and_sees_who_is_gone() {
    let Some(browser) = Browser::start() else { return };
    let mut all = fleet();
    browser.open(&all[0].url("/"));
    the_zone_is_opened(&browser);
    hostile_values_are_text(&browser);
    a_mistake_is_marked(&browser);
    a_question_is_answered_and_watched(&browser);
    a_function_is_installed(&browser);

    // Who is killed turns grey where he stood, and is counted.
    browser.click("#tab-table");
    drop(all.remove(1));
    browser.until(
        "the row turns grey",
        "return document.querySelector('#panel-table tr.gone th')?.textContent",
        |text| text.as_str().is_some_and(|text| text.starts_with("host1gone since ")),
    );
    browser.until_text("#complete", |text| text.starts_with("2 of 3 agents · 1 gone"));
    browser.until_text("#tree [data-path='/zone0'] .count", |text| text == "2 of 3");
    browser.until_text("#tree > li > .node .count", |text| text == "3 of 4");
    let rows = "return [...document.querySelectorAll('#panel-table tbody th')].map(th => th.firstChild.textContent).join()";
    assert_eq!(browser.script(rows), "host0,host1,host2", "nobody moved");
    browser.click("#tab-functions");
    browser.until_text("article[data-name='load'] .complete", |text| {
        text.starts_with("2 of 3 agents in /zone0, 1 gone")
    });

    // It is removed only after a second word.
    browser.click("article[data-name='load'] .begin");
    browser.click("article[data-name='load'] .danger");
    browser.until_text("#panel-functions .none", |text| text.starts_with("/zone0 has no functions."));
    browser.nothing_odd_has_happened(&all[0].api);
}

fn the_zone_is_opened(browser: &Browser) {
    browser.until_text("#tree > li > .node .count", |text| text == "4");
    browser.until_text("#agent", |text| text.starts_with("/zone0/host0 at 127.0.0.1:"));
    browser.click("#tree [data-path='/zone0'] .node");
    browser.until_text("#zone", |text| text == "/zone0");
    browser.until("three agents", "return document.querySelectorAll('#panel-table tbody tr').length", |n| {
        *n == 3
    });
    browser.until_text("#complete", |text| text.starts_with("3 agents · oldest row "));
    // By key too.
    browser.keys("#tree [data-path='/zone0']", browser::UP);
    browser.keys("#tree [data-path='/']", browser::ENTER);
    browser.until_text("#zone", |text| text == "/");
    browser.click("#panel-table tbody a");
    browser.until_text("#zone", |text| text == "/zone0");
}

fn hostile_values_are_text(browser: &Browser) {
    browser.click("#panel-table summary");
    browser.until(
        "the column",
        "return document.querySelector('[aria-label=\"Show note\"]') !== null",
        |is| *is == true,
    );
    let chosen = "return ['note', 'steer'].every(name => document.querySelector(`[aria-label=\"Show ${name}\"]`).checked)";
    if browser.script(chosen) != true {
        browser.script("for (const name of ['note', 'steer']) { const box = document.querySelector(`[aria-label=\"Show ${name}\"]`); if (!box.checked) box.click(); }");
    }
    let cells =
        "return [...document.querySelectorAll('#panel-table tbody td')].map(td => td.textContent).join('|')";
    let text = browser
        .until("it is shown", cells, |text| text.as_str().is_some_and(|text| text.contains("<img src=x")));
    let text = text.as_str().unwrap_or_default();
    assert!(
        text.contains("a\\u{1b}[31m\\u{202e}b") && !text.contains('\u{1b}') && !text.contains('\u{202e}'),
        "{text}"
    );
    assert!(!text.contains("longlonglonglonglonglonglonglonglonglong"), "it is cut: {text}");
    assert_eq!(browser.script("return document.images.length"), 0);
    assert_eq!(browser.script("return document.title"), "/zone0 – gcs-monitor");
    // What was chosen is remembered.
    browser.reload();
    browser.until("it is shown again", cells, |text| {
        text.as_str().is_some_and(|text| text.contains("<img src=x"))
    });
}

fn a_mistake_is_marked(browser: &Browser) {
    browser.click("#tab-ask");
    browser.fill("#sql", "SELECT id,\n  SUN(load) AS x");
    browser.click("#ask");
    browser.until_text("#mistake p", |text| {
        text == "line 2, column 3: there is no function SUN; SUM was probably meant"
    });
    browser.until_text("#mistake mark", |text| text == "SUN");
    assert_eq!(
        browser.script("return document.querySelector('#mistake pre').textContent"),
        "  SUN(load) AS x\n  ^^^"
    );
    let place = "const [mark, caret] = ['mark', 'b'].map(of => document.querySelector(`#mistake pre ${of}`).getBoundingClientRect()); return Math.abs(mark.left - caret.left) < 1 && caret.top > mark.top";
    assert_eq!(browser.script(place), true, "the mark is under the mistake");
    assert_eq!(browser.script("return document.querySelector('#sql').getAttribute('aria-invalid')"), "true");
}

fn a_question_is_answered_and_watched(browser: &Browser) {
    browser.fill("#sql", "SELECT id, load, note WHERE load > 10 ORDER BY load DESC");
    browser.click("#ask");
    let cells = "return [...document.querySelectorAll('#answer tbody tr')].map(tr => [...tr.children].map(cell => cell.textContent.slice(0, 5)).join(' ')).join('|')";
    browser.until("the answer", cells, |text| text == "host2 30 <img |host1 20 –");
    browser.until_text("#answer-complete", |text| {
        text.starts_with("1 of 3 agents in /zone0, 2 without a word on this")
    });
    assert_eq!(browser.script("return document.querySelector('#mistake').textContent"), "");
    // Everywhere, and nothing is left of it.
    browser.fill("#sql", "SELECT SUM(load) AS load, COUNT(*) AS n");
    browser.click("input[value='everywhere']");
    browser.click("#ask");
    browser.until("all agents' answer", cells, |text| text == "60 3");
    browser.fill("#sql", "SELECT SUM(queue) AS queue, COUNT(*) AS n");
    browser.click("input[value='children']");
    browser.click("#watch");
    browser.until("nobody says it", cells, |text| text == "– 3");
    browser.until("it is watched", "return document.querySelector('#watch').ariaPressed", |is| is == "true");
    assert_eq!(agents::say(&browser.origin(), "queue", "15"), 204);
    browser.until("the new answer", cells, |text| text == "15 3");
    browser.click("#watch");
}

fn a_function_is_installed(browser: &Browser) {
    browser.fill("#sql", "SELECT MAX(load) AS most");
    browser.fill("#function-name", "Bad name");
    browser.click("#install");
    browser.until_text("#mistake p", |text| text.starts_with("`Bad name` is no name for a function"));
    browser.fill("#function-name", "load");
    browser.click("#install");
    browser
        .until_text("#done", |text| text.starts_with("load is installed for /zone0, until 30 days from now"));
    browser.click("#tab-functions");
    browser.until_text("article[data-name='load'] tbody", |text| text == "30");
    browser.until_text("article[data-name='load'] .complete", |text| {
        text.starts_with("3 of 3 agents in /zone0;")
    });
}

#[test]
fn a_page_whose_agent_ends_says_so_and_comes_back() {
    let Some(browser) = Browser::start() else { return };
    let alone = agent("/zone/host", None, &["load=1"]);
    let api = alone.api.clone();
    browser.open(&alone.url("/#/zone"));
    browser.until("it is shown", "return document.querySelectorAll('#panel-table tbody tr').length", |n| {
        *n == 1
    });
    browser.until_text("#reach", |text| text == "live");
    drop(alone);
    browser.until("it says so", "return document.querySelector('#away').hidden", |hidden| *hidden == false);
    browser.until_text("#away-text", |text| {
        text.starts_with("The agent at 127.0.0.1:") && text.contains(" cannot be reached since ")
    });
    assert_eq!(browser.script("return document.body.classList.contains('stale')"), true);
    assert_eq!(
        browser.script("return document.querySelectorAll('#panel-table tbody tr').length"),
        1,
        "what was known"
    );
    let again = agents::agent_at("/zone/host", &api, &["--set", "load=2"]);
    browser.click("#away-now");
    browser.until("it is back", "return document.querySelector('#away').hidden", |hidden| *hidden == true);
    let load =
        "return [...document.querySelectorAll('#panel-table tbody td')].some(td => td.textContent === '2')";
    browser.until("what is new", load, |is| *is == true);
    browser.no_request_elsewhere(&again.api);
}

#[test]
fn components_and_how_they_were_are_shown() {
    let Some(browser) = Browser::start() else { return };
    let representative = agents::Representative::start();
    let at = representative.at.as_str();
    representative.done("register shop a --witnesses 1 --address 10.0.0.1:80");
    representative.done("report shop a up --who one --evidence <b>200</b>");
    let agent = agents::agent_with("/zone/host", &["--health", at]);
    browser.open(&agent.url("/"));
    browser.click("#tab-health");
    browser.until_text("[data-component='shop'] .about", |text| text == "1 up of 1");
    let row = "return [...document.querySelectorAll('[data-component=\"shop\"] tbody tr > *')].map(cell => cell.textContent)";
    let cells = browser.until("the instance", row, |cells| cells[0] == "a");
    assert_eq!(
        (&cells[1], &cells[3], &cells[4]),
        (&"up".into(), &"10.0.0.1:80".into(), &"one: up (<b>200</b>)".into())
    );
    representative.done("report shop a down --who one --evidence refused");
    browser.until_text("[data-component='shop'] .about", |text| text == "0 up, 1 down of 1");
    let bars = "return [...document.querySelectorAll('.track i')].map(bar => bar.className).join()";
    browser.until("the timeline", bars, |bars| bars == "unknown,up,down");
    browser.nothing_odd_has_happened(&agent.api);
}

#[test]
fn what_is_followed_is_bounded() {
    let agent = agent("/zone/host", None, &[]);
    let status = |path: &str| agents::stream(&agent.url(path)).status().as_u16();
    let many = |n: usize| format!("/v1/zones?{}", (0..n).map(|n| format!("path=/{n}&")).collect::<String>());
    assert_eq!(
        [status("/v1/zones?path=/zone"), status("/v1/zones"), status("/v1/zones?zone=/")],
        [200, 400, 400]
    );
    assert_eq!([status(&many(32)), status(&many(33)), status("/v1/zones?path=zone")], [200, 400, 400]);
    // As many as there are places; a place is free again when its reader is gone.
    let mut readers = Vec::new();
    loop {
        let reader = agents::stream(&agent.url("/v1/zones?path=/zone"));
        if reader.status().as_u16() == 429 {
            break;
        }
        readers.push(reader);
        assert!(readers.len() <= 64, "{} readers", readers.len());
    }
    drop(readers);
    until("a place is free", || status("/v1/zones?path=/zone") == 200);
}

#[test]
fn answers_say_what_a_browser_may_do() {
    let agent = agent("/zone/host", None, &[]);
    for path in ["/", "/web/main.js", "/v1/agent", "/attributes"] {
        let headers = agents::headers(&agent.url(path));
        let says = |name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let policy = says("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(
            !policy.contains("unsafe") && policy.contains("require-trusted-types-for 'script'"),
            "{policy}"
        );
        assert_eq!(
            (says("x-content-type-options").as_str(), says("referrer-policy").as_str()),
            ("nosniff", "no-referrer")
        );
    }
    assert_eq!(agent.says(&["web", "--no-open"]), format!("http://{}/\n", agent.api));
    until("nobody is there", || {
        let output = agent.run_at("127.0.0.1:1", &["web", "--no-open"]);
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no agent answers")
    });
}
