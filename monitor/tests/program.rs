//! `gcs-monitor` as its user runs it.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

fn run(words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gcs-monitor")).args(words.split(' ')).output().expect("it runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn a_tree_is_simulated_and_the_same_words_show_the_same() {
    let words = "sim --branching 6 --levels 2 --times 2 --loss-per-mille 50";
    let (first, second) = (run(words), run(words));
    assert!(first.status.success(), "{first:?}");
    let text = out(&first);
    assert!(text.starts_with("36 agents, 6 in a zone, 2 levels"), "{text}");
    for part in ["when nothing happens", "news of one agent", "who dies is missing", "trace "] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(text, out(&second));
    assert_ne!(text, out(&run(&format!("{words} --seed 2"))));
}

#[test]
fn what_is_wrong_is_one_sentence() {
    for (words, says) in [
        ("sim --branching 200 --levels 5", "gcs-monitor: 320000000000 agents are more than 1000000"),
        ("sim --latency-ms 9,3", "gcs-monitor: --latency-ms 9,3: the least comes first"),
        ("sim --function SELECT", "gcs-monitor: --function: "),
    ] {
        let output = run(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.starts_with(says) && said.lines().count() == 1, "{said}");
    }
}

/// Each shell takes its own script, if it is there.
#[test]
fn shells_complete_commands() {
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let output = run(&format!("completions {shell}"));
        let script = out(&output);
        assert!(output.status.success() && script.contains("everywhere"), "{shell}: {script}");
        let file = std::env::temp_dir().join(format!("gcs-monitor-{}.{shell}", std::process::id()));
        std::fs::write(&file, &script).expect("a file");
        if let Ok(checked) = Command::new(shell).arg(check).arg(&file).output() {
            assert!(checked.status.success(), "{shell}: {checked:?}");
        }
        std::fs::remove_file(file).expect("it is there");
    }
    let script = out(&run("completions bash"));
    let asked = "COMP_WORDS=(gcs-monitor quer); COMP_CWORD=1; _gcs__monitor gcs-monitor quer gcs-monitor; echo \"${COMPREPLY[@]}\"";
    let reply =
        Command::new("bash").args(["-c", &format!("{script}\n{asked}")]).output().expect("bash is there");
    assert_eq!(out(&reply), "query\n");
}

/// A file of this test.
fn file(name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("gcs-monitor-{}-{name}", std::process::id()));
    std::fs::write(&file, text).expect("a file");
    file
}

#[test]
#[expect(clippy::disallowed_methods, reason = "processes take real time")]
fn an_agent_is_what_its_file_says_and_flags_win() {
    let attributes = file("attributes.toml", "[host]\nattributes = ['cores']\n");
    let named = attributes.file_name().expect("it has one").display();
    let text = format!(
        "name = '/eu/a'\nlisten = '127.0.0.1:0'\napi = '127.0.0.1:0'\nset = {{ role = 'db', rack = 7 }}\nattributes = '{named}'\n"
    );
    let config = file("agent.toml", &text);
    let mut agent = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"))
        .args(["agent", "--name", "/eu/b", "--set", "rack=8", "--attached", "--config"])
        .arg(&config)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let mut said = BufReader::new(agent.stdout.take().expect("piped"));
    said.read_line(&mut line).expect("it says where it is");
    let api = line.trim().strip_prefix("/eu/b at ").and_then(|rest| rest.split_once("http://"));
    let api = api.unwrap_or_else(|| panic!("{line}")).1;
    let words = format!("query --format csv --api {api} --zone /eu");
    let sql = "SELECT id, role, rack, cores > 0 AS cores, uptime";
    let right = "id,role,rack,cores,uptime\r\nb,db,8,1,\r\n";
    // What the host says comes soon after the agent.
    let end = Instant::now() + Duration::from_secs(60);
    let found = std::iter::repeat_with(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_gcs-monitor")).args(words.split(' ')).arg(sql).output();
        out(&output.expect("it runs"))
    });
    let last = found.take_while(|found| found != right && Instant::now() < end).last();
    assert!(Instant::now() < end, "{last:?}");
    // It ends with its input.
    drop(agent.stdin.take());
    assert!(agent.wait().expect("it ends").success());
    let wrong = file("wrong.toml", "name = '/eu/a'\nseeds = []\n");
    let output = run(&format!("agent --config {}", wrong.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("wrong.toml: line 2: unknown field `seeds`") && said.lines().count() == 1,
        "{said}"
    );
    [attributes, config, wrong].iter().for_each(|file| std::fs::remove_file(file).expect("it is there"));
}
