//! `gcs-monitor top` in a terminal: tmux is the terminal, and is asked what stands on it.

use std::process::{Command, Output};

mod agent_processes;

use agent_processes::{Agent, agent, until};

/// A terminal of its own; it ends with the test.
struct Tmux(String);

impl Drop for Tmux {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

impl Tmux {
    /// A shell, and in it the command; what the shell says when it has ended stays on the screen.
    fn run(name: &str, command: &str) -> Self {
        let this = Self(format!("gcs-monitor-{name}-{}", std::process::id()));
        let shell = format!("stty -a > /dev/null; {command}; echo ended with $?; stty -a; exec cat");
        let output =
            this.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "sh", "-c", &shell]);
        assert!(output.status.success(), "tmux is needed: {}", String::from_utf8_lossy(&output.stderr));
        this
    }

    fn tmux(&self, words: &[&str]) -> Output {
        Command::new("tmux").args(["-L", &self.0]).args(words).output().expect("tmux is needed: install it")
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    fn press(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status.success());
    }

    fn shows(&self, parts: &[&str]) -> String {
        until(|| {
            let screen = self.screen();
            if parts.iter().all(|part| screen.contains(part)) { Ok(screen) } else { Err(screen) }
        })
    }

    /// The terminal is as it was: with lines and echo, and what was on it before.
    fn is_given_back(&self, how: &str) {
        let screen = self.shows(&[how, "echo"]);
        assert!(screen.contains(" icanon") && screen.contains(" echo "), "{screen}");
        assert!(!screen.contains("1 Table"), "{screen}");
        let modes = self.tmux(&["display", "-p", "#{alternate_on} #{cursor_flag}"]);
        assert_eq!(String::from_utf8_lossy(&modes.stdout), "0 1\n");
    }
}

fn top(name: &str, agent: &Agent) -> Tmux {
    Tmux::run(name, &format!("{} top --api {}", env!("CARGO_BIN_EXE_gcs-monitor"), agent.api))
}

#[test]
fn zones_are_looked_at_and_who_is_killed_is_missed() {
    let a = agent("/eu/a", &["--set", "load=5"]);
    let b = agent("/eu/b", &["--seed", &a.contact, "--set", "load=70"]);
    let _c = agent("/us/c", &["--seed", &a.contact, "--set", "load=9"]);
    a.until(&["zones"], |_, text| text.starts_with("/  3 agents"));
    let terminal = top("zones", &a);
    terminal.shows(&["/eu/a at ", "▸ eu ", "▸ us ", "3 of 3 agents"]);
    terminal.press(&["j", "Tab", "/", "7", "0", "Enter"]);
    terminal.shows(&["│ /eu   with “70”", "│ b "]);
    terminal.press(&["Escape"]);
    // Escape is waited for, because other keys begin with it.
    terminal.shows(&["│ a ", "│ b "]);
    drop(b);
    terminal.shows(&["│ b", "gone for ", "1 of 2 agents, 1 gone", "1/2"]);
    terminal.press(&["4"]);
    terminal.shows(&["changes since this began", "is gone"]);
    terminal.press(&["i", "SELECT SUN(load)", "Enter"]);
    terminal.shows(&["SUM was probably meant", "         ^"]);
    terminal.press(&["i", "C-u", "SELECT id, load FROM \"/us\"", "Enter"]);
    terminal.shows(&["│ id  load", "│ c      9", "1 of 1 agents in /us"]);
    // Another size.
    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    until(|| {
        let screen = terminal.screen();
        let fits = screen.lines().count() <= 12 && screen.contains("? help  q quit");
        if fits { Ok(()) } else { Err(screen) }
    });
    terminal.tmux(&["resize-window", "-x", "100", "-y", "30"]);
    terminal.press(&["q"]);
    terminal.is_given_back("ended with 0");
}

#[test]
fn an_agent_that_ends_is_said_and_waited_for() {
    let a = agent("/eu/a", &[]);
    let (api, terminal) = (a.api.clone(), top("waits", &a));
    terminal.shows(&["1 of 1 agents"]);
    drop(a);
    terminal.shows(&["no agent answers at http://", "trying again"]);
    let mut again = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"))
        .args(["agent", "--name", "/eu/again", "--listen", "127.0.0.1:0", "--api", &api])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    terminal.shows(&["/eu/again at ", "1 of 1 agents"]);
    let _ = again.kill();
    let _ = again.wait();
    terminal.press(&["C-c"]);
    terminal.is_given_back("ended with 0");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let a = agent("/eu/a", &[]);
    for signal in ["TERM", "INT", "HUP"] {
        let terminal = top(signal, &a);
        terminal.shows(&["1 of 1 agents"]);
        let shell = terminal.tmux(&["display", "-p", "#{pane_pid}"]);
        let shell = String::from_utf8_lossy(&shell.stdout).trim().to_owned();
        let children =
            std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("it lives");
        let killed =
            Command::new("kill").args(["-s", signal, children.trim()]).status().expect("kill is there");
        assert!(killed.success());
        terminal.is_given_back("ended with 0");
    }
}

#[test]
fn it_ends_with_its_terminal() {
    let a = agent("/eu/a", &[]);
    let terminal = top("ends", &a);
    terminal.shows(&["1 of 1 agents"]);
    let shell = terminal.tmux(&["display", "-p", "#{pane_pid}"]);
    let shell = String::from_utf8_lossy(&shell.stdout).trim().to_owned();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("it lives");
    let process = format!("/proc/{}/cmdline", children.trim());
    drop(terminal);
    until(|| match std::fs::read_to_string(&process) {
        Ok(words) if words.contains("gcs-monitor") => Err(words),
        _ => Ok(()),
    });
}

#[test]
fn without_a_terminal_it_says_what_else_there_is() {
    let output = Command::new(env!("CARGO_BIN_EXE_gcs-monitor")).arg("top").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("top needs a terminal"), "{said}");
}
