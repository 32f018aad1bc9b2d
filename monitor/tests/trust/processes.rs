//! Real agents with the files that `gcs-monitor ca` makes.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Lines},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use gcs_monitor::trust::{Document, Identity, RequestSeal};

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

/// A command that goes on; it dies with the test.
struct Follower {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Follower {
    fn line(&mut self) -> String {
        self.lines.next().expect("it goes on").expect("text")
    }
}

impl Agent<'_> {
    fn follow(&self, words: &[&str]) -> Follower {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command
            .current_dir(&self.keys.0)
            .args(["subscribe", "--format", "json", "--api", &self.api])
            .args(words);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Follower { process, lines }
    }

    fn curl(&self, words: &[&str], path: &str) -> String {
        let at = format!("http://{}{path}", self.api);
        let output = Command::new("curl").args(["-sS", "--max-time", "30"]).args(words).arg(at).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// Until the agents of a zone are asked so many standing queries, as this agent sees it: these, or if there are none, those that were last.
    #[expect(clippy::disallowed_methods, reason = "processes take real time")]
    fn until_asked(&self, zone: &str, right: usize) -> String {
        let (end, mut before) = (Instant::now() + PATIENCE, String::new());
        loop {
            let said = self.curl(&["-G", "--data-urlencode", &format!("zone={zone}")], "/v1/subscriptions");
            if said.matches("\"name\"").count() == right {
                return if right == 0 { before } else { said };
            }
            assert!(Instant::now() < end, "{said} instead of {right}");
            before = said;
            std::thread::yield_now();
        }
    }
}

#[test]
fn standing_queries_and_announcements_are_signed_where_agents_have_keys() {
    let keys = Keys::new("events");
    for line in [
        "new .",
        "agent /eu/a",
        "agent /eu/b",
        "agent /us/c",
        "client alice --zone / --may read,subscribe,announce",
        "client bob --zone /us --may subscribe",
        "client carol --zone / --may install",
    ] {
        keys.ca(line);
    }
    let a = keys.agent("/eu/a", None, &format!("{CLOSED} eu-a"));
    let seed = Some(a.contact.as_str());
    let b = keys.agent("/eu/b", seed, &format!("{CLOSED} eu-b"));
    let c = keys.agent("/us/c", seed, &format!("{CLOSED} us-c"));
    for agent in [&a, &b, &c] {
        agent.until(&["zones"], |text| text.starts_with("/  3 agents\n"));
    }
    // Without a key one sentence says what to do; who may something else may not this.
    let sql = "SELECT id, load FROM attributes WHERE load > 0";
    for (words, right) in [(vec!["subscribe", sql], "subscribe"), (vec!["announce", "hello"], "announce")] {
        let said = c.refuses(&words);
        assert!(said.contains("the agents here have keys: sign it with") && said.contains(right), "{said}");
        let said = c.refuses(&[words.as_slice(), &["--sign-with", "carol"]].concat());
        assert!(said.contains("client carol in / may not sign"), "{said}");
    }
    assert!(c.curl(&["-G", "--data-urlencode", &format!("sql={sql}")], "/v1/events").contains("have keys"));
    let said = c.refuses(&["subscribe", sql, "--zone", "/eu", "--sign-with", "bob"]);
    assert!(said.contains("client bob in /us may not sign standing queries for /eu"), "{said}");
    let said = c.refuses(&["subscribe", "SELECT pit( FROM log", "--sign-with", "alice"]);
    assert!(said.starts_with("gcs-monitor: line 1, column"), "{said}");

    // Asked in the own zone, and in another one.
    let mut all = a.follow(&[sql, "--sign-with", "alice"]);
    assert!(all.line().contains("\"subscribed\""));
    let mut told: Vec<String> = (0..3).map(|_| all.line()).collect();
    told.sort();
    for (line, name) in told.iter().zip(["/eu/a", "/eu/b", "/us/c"]) {
        assert!(line.contains(&format!("\"agent\":\"{name}\"")), "{told:?}");
    }
    let mut far = b.follow(&[sql, "--zone", "/us", "--sign-with", "bob"]);
    assert!(far.line().contains("\"subscribed\""));
    assert!(far.line().contains("\"agent\":\"/us/c\""));
    // Whoever reads is gone, without a word: what removes it was signed before.
    c.until_asked("/us", 1);
    drop(far);
    let last = c.until_asked("/us", 0);
    let left = last.split("\"expires_in_s\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
    assert!(
        left.is_none_or(|left| left.parse::<u64>().unwrap() > 10),
        "it has ended with its lease only: {last}"
    );
    // An agent does not take it away unsigned, and whoever may subscribe does.
    let listed = a.until_asked("/", 1);
    let name = listed.split("\"name\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(c.refuses(&["remove", name]).contains("is not signed"));
    assert!(c.refuses(&["remove", name, "--sign-with", "carol"]).contains("may not sign standing queries"));
    c.says(&["remove", name, "--sign-with", "alice"]);
    a.until_asked("/", 0);
    drop(all);

    // Announcements.
    let mut hears = c.follow(&["--announcements"]);
    let said = a.says(&["announce", "db1 goes away", "--sign-with", "alice"]);
    assert!(said.starts_with("announced in / for 5m as announcement-"), "{said}");
    assert!(hears.line().contains("db1 goes away"));

    // Her key is stolen: what stands does no longer, anywhere.
    let mut all = a.follow(&[sql, "--sign-with", "alice"]);
    assert!(all.line().contains("\"subscribed\""));
    b.until_asked("/", 1);
    keys.ca("revoke alice.cert");
    c.says(&["publish", "alice.revocation"]);
    for agent in [&a, &b, &c] {
        agent.until_asked("/", 0);
    }
    assert!(hears.line().contains("\"over\""));
    let said = b.refuses(&["subscribe", sql, "--sign-with", "alice"]);
    assert!(said.contains("client alice in / was revoked"), "{said}");
}

#[test]
fn who_has_no_right_to_write_changes_nothing_of_an_agent_that_asks_for_a_key() {
    let keys = Keys::new("write");
    for line in [
        "new .",
        "agent /eu/a",
        "client alice --zone /eu --may write:app_",
        "client bob --zone /us --may write",
        "client carol --zone / --may read,install,subscribe,announce",
        "client dave --zone / --may write",
    ] {
        keys.ca(line);
    }
    let a = keys.agent("/eu/a", None, &format!("{CLOSED} eu-a --api-needs-key"));
    let says = |sql: &str| a.says(&["query", &format!("SELECT {sql} FROM \"/eu\""), "--format", "csv"]);
    for (words, why) in [
        (vec!["app_x=1"], "the API of this agent needs a key"),
        (
            vec!["other=1", "--sign-with", "alice"],
            "client alice in /eu may not sign attribute \"other\" of /eu/a",
        ),
        (vec!["app_x=1", "other=1", "--sign-with", "alice"], "may not sign attribute \"other\""),
        (vec!["app_x=1", "--sign-with", "bob"], "client bob in /us may not sign"),
        (vec!["app_x=1", "--sign-with", "carol"], "client carol in / may not sign"),
        (vec!["--remove", "app_x"], "the API of this agent needs a key"),
    ] {
        let said = a.refuses(&[&["set"], words.as_slice()].concat());
        assert!(said.contains(why), "{words:?}: {said}");
    }
    let json = ["-H", "content-type: application/json", "-X", "PUT", "-d"];
    let put = |body: &str, path: &str| a.curl(&[&json[..], &[body]].concat(), path);
    for (body, path) in [("1", "/attributes/app_x"), ("[]", "/v1/tables/jobs"), ("{}", "/v1/nothing")] {
        assert!(put(body, path).contains("needs a key"), "{path}");
    }
    assert!(a.curl(&["-X", "DELETE"], "/v1/tables/jobs").contains("needs a key"));
    assert!(a.refuses(&["announce", "hello"]).contains("--may announce"));
    assert_eq!(a.says(&["set", "app_x=7", "--sign-with", "alice"]), "app_x: set for 5m\n");
    a.until(&["query", "SELECT app_x AS x FROM \"/eu\"", "--format", "csv"], |text| text == "x\r\n7\r\n");
    let said = a.refuses(&["set", "app_y.z=1", "--sign-with", "alice"]);
    assert!(said.contains("is no name for an attribute"), "{said}");
    a.says(&["set", "other=2", "--life", "1h", "--sign-with", "dave"]);
    assert!(a.refuses(&["set", "--remove", "other", "--sign-with", "alice"]).contains("may not sign"));
    a.says(&["set", "--remove", "app_x", "--sign-with", "alice"]);
    // Who only reads needs none.
    assert!(says("COUNT(*) AS n").contains('1'));

    // What was signed counts once, for what it was signed for, and for nothing else.
    let Document::SecretKey(key) = Document::load(&keys.0.join("alice.key")).unwrap() else { panic!() };
    let Document::Chain(chain) = Document::load(&keys.0.join("alice.cert")).unwrap() else { panic!() };
    let (alice, here) = (Identity::new(key, chain).unwrap(), "/eu/a".parse().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the agent's clock is the real one")]
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let seal = |nonce, at_s| {
        let request = ("PUT /attributes/app_y", "3".as_bytes());
        format!("gcs-signed: {}", RequestSeal::sign(&alice, &here, request, at_s, nonce).to_text())
    };
    let send =
        |seal: &str, body: &str, path: &str| a.curl(&[&["-H", seal], &json[..], &[body]].concat(), path);
    let right = seal(1, now_s);
    assert!(send(&right, "4", "/attributes/app_y").contains("the signature of the request"));
    assert!(send(&right, "3", "/attributes/app_z").contains("the signature of the request"));
    assert!(send(&right, "3", "/attributes/app_y?life=1h").contains("the signature of the request"));
    assert_eq!(send(&right, "3", "/attributes/app_y"), "");
    assert!(send(&right, "3", "/attributes/app_y").contains("has been made before"));
    assert!(send(&seal(2, now_s - 1000), "3", "/attributes/app_y").contains("away from now"));
    assert!(send("gcs-signed: 0g", "3", "/attributes/app_y").contains("not what gcs-monitor signs"));
    let elsewhere =
        RequestSeal::sign(&alice, &"/eu/b".parse().unwrap(), ("PUT /attributes/app_y", b"3"), now_s, 3);
    let elsewhere = format!("gcs-signed: {}", elsewhere.to_text());
    assert!(send(&elsewhere, "3", "/attributes/app_y").contains("the signature of the request"));
    keys.ca("revoke alice.cert");
    a.says(&["publish", "alice.revocation"]);
    assert!(a.refuses(&["set", "app_x=1", "--sign-with", "alice"]).contains("was revoked"));
    let alone = keys.run(&["agent", "--name", "/eu/a", "--api-needs-key"]);
    assert!(String::from_utf8_lossy(&alone.stderr).contains("--api-needs-key without --identity"));
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
