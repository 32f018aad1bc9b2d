//! `gcs-monitor` as its user runs it.

use std::process::{Command, Output};

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
