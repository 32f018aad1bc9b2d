//! Real servers and clients on the host `client` of a cluster. A program that is missing is said aloud; under `CI=true` that is a failure.
#![expect(clippy::disallowed_methods, reason = "real processes have real deadlines")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{
    fs::Permissions,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use crate::{PATIENCE, cluster::Cluster};

/// Whether a program can be run here.
pub(crate) fn is_there(program: &str) -> bool {
    let found = find(program).is_some();
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is needed: .ci/run installs it");
        eprintln!("SKIPPED in part, {program} is not installed");
    }
    found
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = path.split(':').map(PathBuf::from).chain(debian.map(|d| d.path().join("bin")));
    folders.chain(["/usr/sbin".into()]).map(|f| f.join(program)).find(|p| p.is_file())
}

fn path_of(program: &str) -> String {
    text_of(&find(program).unwrap_or_else(|| panic!("{program} is not installed")))
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path").to_owned()
}

/// Runs something that has to work.
fn must(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A server. Killed when dropped.
pub(crate) struct Server {
    process: Child,
    at: String,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(cluster: &Cluster, at: &str, port: u16, words: &[&str]) -> Self {
        let (program, words) = words.split_first().expect("a program");
        let mut command = cluster.on("client", program);
        let process = command.args(words).stdout(Stdio::null()).spawn().expect("ip is there");
        let server = Self { process, at: at.to_owned(), port };
        server.wait(cluster);
        server
    }

    /// Waits until it can be connected to.
    pub(crate) fn wait(&self, cluster: &Cluster) {
        let deadline = Instant::now() + PATIENCE;
        let try_it = format!("exec 3<>/dev/tcp/{}/{}", self.at, self.port);
        while !cluster.on("client", "bash").args(["-c", &try_it]).output().expect("bash").status.success() {
            assert!(Instant::now() < deadline, "nobody listens at {}:{}", self.at, self.port);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn redis(cluster: &Cluster, at: &str) -> Self {
        let words = ["redis-server", "--bind", at, "--save", "", "--protected-mode", "no"];
        Self::start(cluster, at, 6379, &words)
    }

    /// Does not run as root: as `nobody`.
    pub(crate) fn postgres(cluster: &Cluster, at: &str, folder: &Path) -> Self {
        let data = folder.join("postgres");
        std::fs::create_dir(&data).expect("a folder");
        must(Command::new("chown").args(["65534:65534", &text_of(&data)]));
        let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
        let data = text_of(&data);
        let (initdb, postgres) = (path_of("initdb"), path_of("postgres"));
        must(
            Command::new("setpriv")
                .args(nobody)
                .args([&initdb, "-D", &data, "-U", "nobody", "-A", "trust", "-N"]),
        );
        let hba = format!("{data}/pg_hba.conf");
        std::fs::write(&hba, "host all all 10.9.0.0/24 trust\n").expect("a file");
        let mut words = vec!["setpriv"];
        words.extend(nobody);
        words.extend([
            &postgres,
            "-D",
            &data,
            "-h",
            at,
            "-k",
            &data,
            "-c",
            "fsync=off",
            "-c",
            "log_min_messages=fatal",
        ]);
        Self::start(cluster, at, 5432, &words)
    }

    pub(crate) fn sshd(cluster: &Cluster, at: &str, folder: &Path) -> Self {
        let (host_key, key) = (text_of(&folder.join("host_key")), text_of(&folder.join("key")));
        for key in [&host_key, &key] {
            must(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]));
        }
        let authorized = format!("{key}.pub");
        std::fs::create_dir_all("/run/sshd").expect("root may");
        let sshd = path_of("sshd");
        let listen = format!("ListenAddress={at}");
        let (host_key, authorized) =
            (format!("HostKey={host_key}"), format!("AuthorizedKeysFile={authorized}"));
        let mut words = vec![&sshd[..], "-D", "-e", "-f", "/dev/null"];
        for option in [
            &listen,
            &host_key,
            &authorized,
            "StrictModes=no",
            "PermitRootLogin=yes",
            "LogLevel=ERROR",
            "PidFile=none",
        ] {
            words.extend(["-o", option]);
        }
        Self::start(cluster, at, 22, &words)
    }

    /// Serves `folder` over TLS; at port 444 it says who the PROXY protocol says the client is.
    pub(crate) fn nginx(cluster: &Cluster, at: &str, folder: &Path) -> Self {
        let at_folder = text_of(folder);
        let (key, certificate) = (format!("{at_folder}/tls.key"), format!("{at_folder}/tls.pem"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
        must(openssl.args(["-subj", "/CN=proxy", "-keyout", &key, "-out", &certificate]));
        std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("it is ours");
        let config = format!(
            "daemon off; master_process off; user root; pid {at_folder}/nginx.pid; error_log {at_folder}/nginx.log; events {{}}
            http {{
              access_log off; ssl_certificate {certificate}; ssl_certificate_key {key};
              server {{ listen {at}:443 ssl; root {at_folder}; }}
              server {{ listen {at}:444 ssl proxy_protocol; return 200 $proxy_protocol_addr; }}
            }}"
        );
        let file = format!("{at_folder}/nginx.conf");
        std::fs::write(&file, config).expect("a file");
        Self::start(cluster, at, 443, &[&path_of("nginx"), "-c", &file])
    }
}

/// A client that answers each line with one.
pub(crate) struct Talk {
    pub(crate) name: &'static str,
    process: Child,
    to: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Talk {
    pub(crate) fn start(name: &'static str, mut command: Command, words: &[&str]) -> Self {
        let mut process =
            command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ip is there");
        let to = process.stdin.take().expect("piped");
        let from = BufReader::new(process.stdout.take().expect("piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || from.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { name, process, to, lines }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.to, "{line}").unwrap_or_else(|e| panic!("{} is gone: {e}", self.name));
    }

    pub(crate) fn hear(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{} does not answer: {e}", self.name))
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }
}
