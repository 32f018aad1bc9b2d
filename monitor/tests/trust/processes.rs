//! Real agents with the files that `gcs-monitor ca` makes.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of keys, which goes when the test does.
struct Keys(PathBuf);

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Keys {
    fn new(name: &str) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("trust-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn ca(&self, line: &str) {
        let output = self.run(&[&["ca"], line.split(' ').collect::<Vec<_>>().as_slice()].concat());
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gcs-monitor")).args(words).current_dir(&self.0).output().unwrap()
    }

    /// An agent; with keys if there are words about them.
    fn agent(&self, name: &str, seed: Option<&str>, keys: &str) -> Agent<'_> {
        let file = self.0.join(format!("{}.err", name.replace('/', "-")));
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.current_dir(&self.0).args([
            "agent",
            "--name",
            name,
            "--listen",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
        ]);
        command.args(["--set", "load=1"]).args(keys.split_whitespace());
        command.args(seed.into_iter().flat_map(|seed| ["--seed", seed]));
        let err = File::create(&file).unwrap();
        let mut process = command.stdout(Stdio::piped()).stderr(err).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let rest = line.trim().strip_prefix(&format!("{name} at "));
        let Some((contact, api)) = rest.and_then(|rest| rest.split_once(", asked at http://")) else {
            panic!("{line}{}", fs::read_to_string(&file).unwrap())
        };
        Agent { keys: self, process, contact: contact.into(), api: api.into(), err: file, _out: out }
    }
}

/// An agent; it dies with the test.
struct Agent<'a> {
    keys: &'a Keys,
    process: Child,
    contact: String,
    api: String,
    err: PathBuf,
    _out: BufReader<ChildStdout>,
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent<'_> {
    fn run(&self, words: &[&str]) -> Output {
        self.keys.run(&[words, &["--api", &self.api]].concat())
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?} went through");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "processes take real time")]
    fn until(&self, words: &[&str], right: impl Fn(&str) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.run(words);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if right(&text) {
                return;
            }
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(Instant::now() < end, "{words:?} says {text}{why}; it was told {}", self.told());
            std::thread::yield_now();
        }
    }
}

const CLOSED: &str = "--authority root.pub --identity";

#[test]
fn who_has_keys_of_the_tree_is_in_it_and_nobody_else() {
    let keys = Keys::new("fleet");
    for line in [
        "new .",
        "zone /eu",
        "agent /eu/a --by eu",
        "agent /eu/b --by eu",
        "agent /us/c",
        "client alice --zone / --may read,install",
        "client bob --zone /us --may install",
        "new foreign",
        "-d foreign agent /eu/d",
    ] {
        keys.ca(line);
    }
    let a = keys.agent("/eu/a", None, &format!("{CLOSED} eu-a.cert"));
    let seed = Some(a.contact.as_str());
    let b = keys.agent("/eu/b", seed, &format!("{CLOSED} eu-b.key"));
    let c = keys.agent("/us/c", seed, &format!("{CLOSED} us-c"));
    let d = keys.agent("/eu/d", seed, "--authority foreign/root.pub --identity foreign/eu-d");
    let e = keys.agent("/eu/e", seed, "");
    for agent in [&a, &b, &c] {
        agent.until(&["zones"], |text| text.starts_with("/  3 agents\n"));
        assert!(!agent.told().contains("open:"), "{}", agent.told());
    }
    assert!(e.told().starts_with("open: there are no keys"), "{}", e.told());

    // Functions: unsigned, by whoever may not, and right.
    let sql = "SELECT SUM(load) AS load";
    let said = c.refuses(&["install", "load", sql]);
    assert!(said.contains("is not signed") && said.contains("--sign-with"), "{said}");
    for words in [vec!["subscribe", "SELECT pid FROM processes"], vec!["announce", "hello"]] {
        let said = c.refuses(&words);
        assert!(said.contains("the agents here have keys"), "{words:?}: {said}");
    }
    let said = c.refuses(&["install", "load", sql, "--sign-with", "bob.key"]);
    assert!(said.starts_with("gcs-monitor: client bob in /us may not sign functions for /"), "{said}");
    let said = c.refuses(&["install", "load", "SELECT SUN(load) AS load", "--sign-with", "alice.key"]);
    assert!(said.starts_with("gcs-monitor: line 1"), "{said}");
    let said = c.says(&["install", "load", sql, "--sign-with", "alice.key"]);
    assert!(said.starts_with("load is installed for / until 30 days from now"), "{said}");
    for agent in [&a, &b, &c] {
        agent.until(&["list"], |text| text.contains("load = 3\n  3 of 3 agents in /"));
    }
    c.says(&["install", "load", "SELECT MAX(load) AS load", "--zone", "/us", "--sign-with", "bob"]);
    c.says(&["install", "eu", "SELECT MIN(load) AS least", "--zone", "/eu", "--sign-with", "alice"]);
    assert!(c.refuses(&["remove", "load"]).contains("is not signed"));
    c.says(&["remove", "load", "--sign-with", "alice.cert"]);
    a.until(&["list"], |text| text.contains("has no functions"));
    assert!(a.refuses(&["query", "--everywhere", sql]).contains("--sign-with"));
    let asked = ["query", "--everywhere", sql, "--format", "csv", "--sign-with", "alice"];
    assert_eq!(a.says(&asked), "load\r\n3\r\n");
    fs::write(keys.0.join("worst.sql"), "SELECT MAX(load) AS worst").unwrap();
    keys.ca("sign-function worst --zone / --file worst.sql --days 9");
    a.says(&["publish", "worst.function"]);
    b.until(&["list"], |text| text.contains("worst = 1\n  3 of 3 agents in /"));
    keys.ca("remove-function worst.function");
    b.says(&["publish", "worst.removal.function"]);
    c.until(&["list"], |text| text.contains("has no functions"));

    // The two strangers were heard, and why they are refused is said once each.
    let told = a.told();
    for why in [
        "is not signed: whoever says so runs without keys",
        "the signature of the certificate of agent /eu/d",
    ] {
        assert_eq!(told.matches(why).count(), 1, "{told}");
    }
    d.until(&["zones"], |text| text.starts_with("/  1 agent\n") || text.starts_with("/  1 agents\n"));

    // A key is stolen.
    keys.ca("revoke eu-b.cert");
    let said = c.says(&["publish", "eu-b.revocation"]);
    assert!(said.starts_with("eu-b.revocation: the revocation is with all agents soon"), "{said}");
    for agent in [&a, &c] {
        agent.until(&["zones"], |text| text.starts_with("/  2 agents\n"));
    }
    assert!(a.refuses(&["publish", "eu-a.cert"]).contains("is not a function or a revocation"));
}

#[test]
fn keys_that_nobody_would_believe_are_said_at_start() {
    let keys = Keys::new("wrong");
    for line in ["new .", "zone /eu", "agent /eu/a --by eu", "new foreign"] {
        keys.ca(line);
    }
    for (words, says) in [
        (
            "--name /eu/b --authority root.pub --identity eu-a",
            "this secret key does not belong to agent /eu/b",
        ),
        ("--name /eu/a --authority foreign/root.pub --identity eu-a", "--identity eu-a: the signature of"),
        (
            "--name /eu --authority root.pub --identity eu",
            "--identity eu: the authority of /eu may not sign rows",
        ),
        ("--name /eu/a --authority eu-a.cert --identity eu-a", "eu-a.cert is not an authority"),
        ("--name /eu/a --authority root.pub --identity absent", "absent.key cannot be read"),
    ] {
        let words: Vec<&str> = ["agent", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
            .into_iter()
            .chain(words.split(' '))
            .collect();
        let output = keys.run(&words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.starts_with(&format!("gcs-monitor: {says}")),
            "{words:?}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let alone = keys.run(&["agent", "--name", "/eu/a", "--identity", "eu-a"]);
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--authority"));
}
