//! `gcs-monitor ca` as its user runs it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output},
};

/// A directory of a test, which goes when the test does.
struct Keys(PathBuf);

impl Keys {
    fn new(name: &str) -> Self {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ca-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gcs-monitor"));
        command.arg("ca").args(words).current_dir(&self.0).output().unwrap()
    }

    fn said(&self, line: &str) -> String {
        let output = self.run(&line.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, line: &str) -> String {
        let output = self.run(&line.split(' ').collect::<Vec<_>>());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{line} went through");
        said
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.0.join(file)).unwrap().permissions().mode() & 0o777
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_example_of_the_help_does_what_it_says() {
    let keys = Keys::new("example");
    let help = keys.said("--help");
    assert!(help.contains("gcs-monitor ca new keys"), "{help}");
    let lines = help.lines().map(str::trim).filter_map(|line| line.strip_prefix("gcs-monitor ca "));
    let mut ran = 0;
    for line in lines {
        // Comments stand far to the right.
        let line = line.split("    ").next().unwrap().trim_end();
        if line.contains("--public") {
            keys.said("key h1");
            fs::remove_file(keys.0.join("keys/eu-ams-h1.cert")).unwrap();
        }
        let words: Vec<String> = match line.split_once('\'') {
            Some((before, rest)) => {
                let (quoted, after) = rest.split_once('\'').unwrap();
                let before = before.split_whitespace().map(str::to_owned);
                before.chain([quoted.to_owned()]).chain(after.split_whitespace().map(str::to_owned)).collect()
            }
            None => line.split_whitespace().map(str::to_owned).collect(),
        };
        let output = keys.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        ran += 1;
    }
    assert_eq!(ran, 8);
    for file in ["root.pub", "eu.cert", "eu-ams-h1.cert", "load.function", "alice.revocation"] {
        let text = fs::read_to_string(keys.0.join("keys").join(file)).unwrap();
        assert!(text.starts_with("-----BEGIN GCS "), "{file}: {text}");
    }
    assert_eq!((keys.mode("keys"), keys.mode("keys/root.key"), keys.mode("h1.key")), (0o700, 0o600, 0o600));
}

#[test]
fn what_a_file_has_is_shown() {
    let keys = Keys::new("show");
    keys.said("new .");
    keys.said("zone /eu");
    keys.said("client alice --zone /eu/ams --may install,write:app.,read --by eu --days 30");
    let shown = keys.said("show alice.cert --authority root.pub");
    for part in
        ["client", "alice", "/eu/ams", "read,write:app.,install", "days left", "issued by", "zone authority"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.trim_end().ends_with("it follows from the authority of /"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&keys.said("show alice.cert --json")).unwrap();
    assert_eq!((&json["of"], &json["zone"]), (&"client".into(), &"/eu/ams".into()));
    assert!([29, 30].contains(&json["days_left"].as_i64().unwrap()), "{json}");
    assert_eq!(json["issued_by"][0]["zone"], "/eu");
    assert_eq!(json["key"].as_str().unwrap().len(), 64);
    // A secret key shows by what it is recognised, and nothing else.
    let secret: serde_json::Value = serde_json::from_str(&keys.said("show alice.key --json")).unwrap();
    assert_eq!(secret["public_key"], json["key"]);
    assert_eq!(secret.as_object().unwrap().len(), 2);
    // That of somebody else's authority is not ours.
    keys.said("new other");
    let refused = keys.refused("show alice.cert --authority other/root.pub");
    assert!(
        refused.starts_with("gcs-monitor: the signature of the certificate of the authority of /eu"),
        "{refused}"
    );
}

#[test]
fn a_function_is_signed_removed_and_shown() {
    let keys = Keys::new("function");
    keys.said("new .");
    fs::write(keys.0.join("load.sql"), "SELECT MAX(load) AS load,\n  SUM(n) AS n\n").unwrap();
    keys.said("sign-function load --zone /eu --file load.sql --strong");
    let shown = keys.said("show load.function --authority root.pub");
    assert!(shown.contains("SELECT MAX(load) AS load,   SUM(n) AS n\n"), "{shown}");
    assert!(shown.contains("strength     strong"), "{shown}");
    keys.said("remove-function load.function");
    let shown = keys.said("show load.removal.function --authority root.pub");
    assert!(shown.contains("removed      true"), "{shown}");
}

#[test]
fn what_is_wrong_is_one_sentence() {
    let keys = Keys::new("wrong");
    keys.said("new .");
    keys.said("zone /eu --days 100");
    keys.said("agent /eu/h1 --by eu");
    keys.said("client bob --zone /eu --may read --by eu");
    fs::write(
        keys.0.join("nonsense.cert"),
        "-----BEGIN GCS CERTIFICATE-----\nAAAA\n-----END GCS CERTIFICATE-----\n",
    )
    .unwrap();
    fs::write(keys.0.join("good.sql"), "SELECT MAX(load) AS load").unwrap();
    fs::write(keys.0.join("binary.cert"), [0xff, 0xfe]).unwrap();
    for (line, says) in [
        ("new .", "./root.key is there already; move it away"),
        ("zone /eu", "./eu.key is there already"),
        ("zone /us --by eu --out us", "the authority of /eu does not reach the authority of /us; ask"),
        ("agent /eu/h2 --by eu-h1", "agent /eu/h1 is no authority and cannot issue agent /eu/h2"),
        ("agent / --out x", "`/` cannot be a name here"),
        ("agent /eu/h2 --by nobody", "./nobody.key cannot be read: No such file"),
        ("agent /eu/h2 --by eu --days 101", "the authority of /eu ends in "),
        ("agent /eu/h2 --public eu.cert", "eu.cert is not a public key; look at it"),
        ("sign-function f --zone /eu --sql SELECT", "function f: "),
        (
            "sign-function f --zone /eu --file good.sql --by bob",
            "client bob in /eu may not sign functions for /eu",
        ),
        ("sign-function f --zone /eu --file absent.sql", "absent.sql cannot be read: No such file"),
        ("remove-function eu.cert", "eu.cert is not a function; look"),
        ("revoke eu.cert --by eu-h1", "agent /eu/h1 may not sign revocations in /eu"),
        ("revoke root.pub", "root.pub is not a certificate"),
        ("show nonsense.cert", "nonsense.cert has no key or certificate of gcs-monitor"),
        ("show binary.cert", "binary.cert has no key or certificate of gcs-monitor"),
        ("show absent", "absent cannot be read"),
        ("show eu.cert --authority eu.cert", "eu.cert is not an authority"),
    ] {
        let said = keys.refused(line);
        assert!(
            said.starts_with(&format!("gcs-monitor: {says}")) && said.lines().count() == 1,
            "{line}: {said}"
        );
    }
    assert!(keys.refused("client eve --zone /eu --may rule").contains("nothing that a client may do"));
    assert!(keys.refused("zone eu").contains("is not the path of a zone"));
    assert!(!keys.0.join("f.function").exists());
}

#[test]
fn a_secret_that_others_may_read_is_not_used() {
    let keys = Keys::new("exposed");
    keys.said("new .");
    for mode in [0o640, 0o604, 0o620, 0o610] {
        fs::set_permissions(keys.0.join("root.key"), fs::Permissions::from_mode(mode)).unwrap();
        let said = keys.refused("zone /eu");
        assert_eq!(
            said,
            format!(
                "gcs-monitor: ./root.key is a secret key that others may read (mode {mode:03o}); run `chmod 600` on it\n"
            )
        );
        assert!(!keys.0.join("eu.key").exists());
    }
    fs::set_permissions(keys.0.join("root.key"), fs::Permissions::from_mode(0o400)).unwrap();
    keys.said("zone /eu");
}
