//! Closed groups: who has no key, another one, or a certificate that is not accepted, is told so and kept out.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod processes;

use processes::{Cat, Start, free_addrs};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf};

/// A file of this test, readable by its owner only.
fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a process says that cannot get in.
fn refused(start: Start) -> String {
    let (code, said) = start.with(&["--join-timeout", "2"]).spawn().ended();
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn pair(group: &str, addrs: &[SocketAddr], words: [&[&str]; 2]) -> [Cat; 2] {
    let start = |i: usize| {
        Start::new(group, ["a", "b"][i], addrs[i]).contacts(&addrs[..2]).expect(2).with(words[i]).spawn()
    };
    [start(0), start(1)]
}

#[test]
fn only_who_has_the_key_is_let_in() {
    let addrs: [_; 4] = free_addrs();
    let key = file("key", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n");
    let other = file("other", "another key, which is as long as it has to be for a group, and no longer");
    let [a, mut b] = pair("closed", &addrs, [&["--key-file", &key]; 2]);
    a.wait_view(&["a", "b"]);
    b.send("sealed");
    a.wait_text("sealed");
    let stranger = |i: usize| Start::new("closed", "x", addrs[i]).contacts(&addrs[..2]);
    let said = refused(stranger(2));
    assert!(
        said.contains("refused by") && said.contains("the group has keys, the joiner has none"),
        "{said}"
    );
    let said = refused(stranger(3).with(&["--key-file", &other]));
    assert!(said.contains("refused by") && said.contains("its key is another one"), "{said}");
    // The group goes on: the key lets in who has it, and a death is survived.
    let c = Start::new("closed", "c", addrs[2]).contacts(&addrs[..1]).with(&["--key-file", &key]).spawn();
    a.wait_view(&["a", "b", "c"]);
    b.kill();
    a.wait_view(&["a", "c"]);
    c.send("after");
    a.wait_text("after");
}

#[test]
fn an_open_group_tells_who_comes_with_keys() {
    let addrs: [_; 3] = free_addrs();
    let key = file("useless", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n");
    let [a, _b] = pair("open", &addrs, [&[]; 2]);
    a.wait_view(&["a", "b"]);
    let said = refused(Start::new("open", "x", addrs[2]).contacts(&addrs[..2]).with(&["--key-file", &key]));
    assert!(said.contains("refused by") && said.contains("it has no key"), "{said}");
}

#[test]
fn a_short_key_is_refused_at_once() {
    let [addr] = free_addrs();
    let key = file("short", "secret\n");
    let said = refused(Start::new("short", "x", addr).with(&["--found", "--key-file", &key]));
    assert!(said.contains("a pre-shared key must have 32 to 1024 bytes"), "{said}");
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    path: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let path = file(name, &issuer.pem());
        Self { issuer, path }
    }

    /// Options for a process of this name; the certificate expires with the beginning of that year.
    fn options(&self, name: &str, until: i32) -> Vec<String> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let tag = format!("{name}-{until}-{}", self.path.len());
        let (c, k) =
            (file(&format!("{tag}.pem"), &certificate), file(&format!("{tag}.key"), &key.serialize_pem()));
        ["--certificate", &c, "--private-key", &k, "--authority", &self.path].map(str::to_owned).into()
    }
}

#[test]
fn certificates_let_in_who_has_one_of_the_same_authority() {
    let addrs: [_; 5] = free_addrs();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("their-authority"));
    let options = |authority: &Authority, name: &str, until: i32| authority.options(name, until);
    let words: Vec<_> = ["a", "b"].iter().map(|n| options(&ours, n, 2200)).collect();
    let words: Vec<Vec<&str>> = words.iter().map(|w| w.iter().map(String::as_str).collect()).collect();
    let [a, b] = pair("certified", &addrs, [&words[0], &words[1]]);
    a.wait_view(&["a", "b"]);
    b.send("signed");
    a.wait_text("signed");
    let try_with = |name: &str, at: usize, words: Vec<String>| {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        refused(Start::new("certified", name, addrs[at]).contacts(&addrs[..2]).with(&words))
    };
    let said = try_with("x", 2, options(&theirs, "x", 2200));
    assert!(said.contains("another authority has signed it"), "{said}");
    let said = try_with("x", 3, options(&ours, "x", 2020));
    assert!(said.contains("of itself: its certificate is not accepted: it has expired"), "{said}");
    let said = try_with("z", 4, options(&ours, "x", 2200));
    assert!(said.contains("the certificate is not for this process's name"), "{said}");
    b.send("still here");
    a.wait_text("still here");
}

/// Three processes sign what they say; one dies, one joins; who does not sign is told that the group does.
#[test]
fn a_group_signs_everything() {
    let addrs: [_; 4] = free_addrs();
    let ours = Authority::new("signing");
    let start = |name: &str, at: usize, more: &[&str]| {
        let words = ours.options(name, 2200);
        let words: Vec<_> = words.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Start::new("signed", name, addrs[at]).contacts(&addrs[..2]).with(&words)
    };
    let [a, mut b] = [("a", 0), ("b", 1)].map(|(name, at)| start(name, at, &["--sign"]).expect(2).spawn());
    let c = start("c", 2, &["--sign"]).spawn();
    a.wait_view(&["a", "b", "c"]);
    c.send("signed by c");
    b.wait_text("signed by c");
    b.kill();
    a.wait_view(&["a", "c"]);
    a.send("signed by a");
    c.wait_text("signed by a");
    let said = refused(start("d", 3, &[]));
    assert!(said.contains("the group's stack is") && said.contains("sign/1"), "{said}");
}
