//! Sources over real commands and databases.

mod sources_common;

use std::path::Path;

use sources_common::{Folder, PATIENCE, Row};

const ALLOWED: &str = "[commands]\nallowed = true\n";

fn command(name: &str, run: &[&str], timeout: &str) -> String {
    format!("[[command]]\nname = '{name}'\nrun = {run:?}\nevery = '200ms'\ntimeout = '{timeout}'\n")
}

/// Whether a process runs: it is there, and is not just waiting to be reaped.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

async fn until_ended(file: &Path) {
    let waits = async {
        let pid = loop {
            let pid = std::fs::read_to_string(file).unwrap_or_default();
            if pid.ends_with('\n') {
                break pid.trim().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        while runs(&pid) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("{} runs on", file.display()));
}

#[tokio::test(flavor = "current_thread")]
async fn commands_say_attributes_without_a_shell() {
    let config = [
        ALLOWED,
        &command("plain", &["echo", "42"], "5s"),
        &command("words", &["echo", "$HOME; *"], "5s"),
        &command("bare", &["env"], "5s"),
        "pattern = '^CARGO'\n",
        &command("fails", &["sh", "-c", "echo 1; exit 3"], "5s"),
        &command("missing", &["/nonexistent/program"], "5s"),
        &command("slow", &["sh", "-c", "printf 1; sleep 0.3; echo 2"], "20s"),
    ];
    let mut row = Row::start(&config.concat()).await;
    row.until_is("plain", 42i64).await;
    row.until_is("words", "$HOME; *").await;
    row.until_is("slow", 12i64).await;
    row.until_error("command bare", "nothing matches").await;
    row.until_error("command fails", "exit status: 3").await;
    row.until_error("command missing", "cannot be run").await;
    assert!(!row.attributes.contains_key("fails"));
}

#[tokio::test(flavor = "current_thread")]
async fn commands_that_hang_are_killed_with_what_they_started() {
    let folder = Folder::new("hang");
    let pid = folder.path("pid");
    let script = format!("sleep 1000 & echo $! > {}; sleep 1000", pid.display());
    let mut row = Row::start(&[ALLOWED, &command("hangs", &["sh", "-c", &script], "1s")].concat()).await;
    row.until_error("command hangs", "no answer within 1s").await;
    until_ended(&pid).await;
}

/// It ends well, and has left something that holds its output: that is killed, and what was said counts.
#[tokio::test(flavor = "current_thread")]
async fn commands_that_leave_something_behind() {
    let folder = Folder::new("fork");
    let pid = folder.path("pid");
    let script = format!("sleep 1000 & echo $! > {}; echo 7", pid.display());
    let mut row = Row::start(&[ALLOWED, &command("forks", &["sh", "-c", &script], "30s")].concat()).await;
    row.until_is("forks", 7i64).await;
    until_ended(&pid).await;
}

#[tokio::test(flavor = "current_thread")]
async fn commands_that_flood_are_killed() {
    let folder = Folder::new("flood");
    let pid = folder.path("pid");
    let script = format!("echo $$ > {}; exec yes", pid.display());
    let mut row = Row::start(&[ALLOWED, &command("floods", &["sh", "-c", &script], "60s")].concat()).await;
    row.until_error("command floods", "more than 1048576 bytes").await;
    drop(row);
    until_ended(&pid).await;
}

#[tokio::test(flavor = "current_thread")]
async fn running_commands_end_with_the_sources() {
    let folder = Folder::new("end");
    let pid = folder.path("pid");
    let script = format!("sleep 1000 & echo $! > {}; sleep 1000", pid.display());
    let row = Row::start(&[ALLOWED, &command("long", &["sh", "-c", &script], "1h")].concat()).await;
    while !pid.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    drop(row);
    until_ended(&pid).await;
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use rusqlite::Connection;

    use super::{sources_common::toml, *};

    fn table(path: &Path, attributes: &str, query: &str) -> String {
        let path = toml(path);
        format!(
            "[[sqlite]]\nattributes = [{attributes}]\npath = {path}\nquery = {query:?}\nevery = '100ms'\ntimeout = '300ms'\n"
        )
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_query_of_a_file_that_others_write() {
        let folder = Folder::new("sqlite");
        let path = folder.path("jobs.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("CREATE TABLE jobs (age REAL); INSERT INTO jobs VALUES (1.5), (2.5)").unwrap();
        let query = "SELECT count(*), max(age) FROM jobs";
        let mut row = Row::start(&table(&path, "'jobs', 'oldest_job'", query)).await;
        row.until_is("jobs", 2i64).await;
        row.until_is("oldest_job", 2.5).await;
        writer.execute_batch("DELETE FROM jobs").unwrap();
        row.until_is("jobs", 0i64).await;
        row.until_absent("oldest_job").await;
        writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
        row.until_error(&format!("sqlite {}", path.display()), "").await;
        row.until_absent("jobs").await;
        writer.execute_batch("INSERT INTO jobs VALUES (9); COMMIT").unwrap();
        row.until_is("jobs", 1i64).await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn queries_that_do_not_end_that_write_and_that_are_wrong() {
        let folder = Folder::new("sqlite-bad");
        let paths: Vec<_> = (0..5).map(|n| folder.path(&format!("{n}.db"))).collect();
        for path in &paths {
            Connection::open(path)
                .unwrap()
                .execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (5)")
                .unwrap();
        }
        let endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r";
        let other = folder.path("other.db");
        let attach = format!("ATTACH '{}' AS x", other.display());
        let config = [
            table(&paths[0], "'endless'", endless),
            table(&paths[1], "'writes'", "DELETE FROM t RETURNING n"),
            table(&paths[2], "'columns'", "SELECT 1, 2"),
            table(&paths[3], "'huge'", "SELECT zeroblob(100000000)"),
            table(&paths[4], "'good'", "SELECT n FROM t"),
        ];
        let mut row = Row::start(&config.concat()).await;
        row.until_is("good", 5i64).await;
        let label = |n: usize| format!("sqlite {}", paths[n].display());
        row.until_error(&label(0), "interrupted").await;
        row.until_error(&label(1), "readonly").await;
        row.until_error(&label(2), "2 columns, and 1 attributes").await;
        row.until_error(&label(3), "too big").await;
        assert_eq!(row.attributes.len(), 1);
        let kept: i64 = Connection::open(&paths[1])
            .unwrap()
            .query_row("SELECT count(*) FROM t", [], |r| r.get(0))
            .unwrap();
        assert_eq!(kept, 1, "nothing was deleted");
        drop(row);
        let mut row = Row::start(&table(&paths[4], "'attached'", &attach)).await;
        row.until_error(&label(4), "").await;
        assert!(!other.exists());
    }
}

#[cfg(feature = "postgres")]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
mod postgres {
    use std::{
        net::{TcpListener, TcpStream},
        path::PathBuf,
        process::{Child, Command, Stdio},
    };

    use super::{sources_common::toml, *};

    fn find(program: &str) -> Option<PathBuf> {
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut folders = debian.map(|d| d.path().join("bin")).chain(path.split(':').map(PathBuf::from));
        folders.find_map(|folder| Some(folder.join(program)).filter(|p| p.is_file()))
    }

    /// A server in a folder. Ended when dropped.
    struct Server {
        process: Child,
        port: u16,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            // At once, and with all of its own.
            let _ = Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status();
            let _ = self.process.wait();
        }
    }

    /// A command as somebody who is not root, which the server does not run as.
    fn as_nobody(program: &Path) -> Command {
        let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0;
        if !root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
        command
    }

    impl Server {
        /// `None` if there is no PostgreSQL here, which is said aloud, and is a failure where `CI=true`.
        async fn start(folder: &Folder) -> Option<Self> {
            let (Some(initdb), Some(postgres)) = (find("initdb"), find("postgres")) else {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "postgresql is needed");
                eprintln!("SKIPPED, needs initdb and postgres");
                return None;
            };
            let data = folder.path("data");
            std::fs::create_dir(&data).unwrap();
            let _ = Command::new("chown").arg("65534:65534").arg(&data).status();
            let password = folder.path("superuser");
            std::fs::write(&password, "geheim\n").unwrap();
            let mut init = as_nobody(&initdb);
            init.arg("-D").arg(&data).args(["-U", "monitor", "-A", "scram-sha-256", "-N", "--pwfile"]);
            let done = init.arg(&password).current_dir("/").output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let process = as_nobody(&postgres)
                .arg("-D")
                .arg(&data)
                .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-c", "fsync=off", "-k"])
                .arg(&data)
                .current_dir("/")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let server = Self { process, port };
            let waits = async {
                while TcpStream::connect(("127.0.0.1", port)).is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(PATIENCE, waits).await.expect("it listens");
            Some(server)
        }

        fn table(&self, password: &Path, attributes: &str, query: &str, timeout: &str) -> String {
            format!(
                "[[postgres]]\nattributes = [{attributes}]\nconnect = 'host=127.0.0.1 port={} user=monitor dbname=postgres'\npassword_file = {}\nquery = {query:?}\nevery = '200ms'\ntimeout = '{timeout}'\n",
                self.port,
                toml(password)
            )
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn queries_of_a_real_server() {
        let folder = Folder::new("postgres");
        let Some(server) = Server::start(&folder).await else { return };
        let (good, bad) = (folder.path("superuser"), folder.path("bad"));
        std::fs::write(&bad, "falsch").unwrap();
        let kinds = "SELECT 42::int2, 2.5::float4, 12.5::numeric(10,2), 'text'::varchar, true, NULL::int8";
        let names = "'small', 'single', 'exact', 'word', 'truth', 'nothing'";
        let config = [
            server.table(&good, names, kinds, "5s"),
            server.table(&good, "'writes'", "CREATE TABLE t (n int)", "5s"),
            server.table(&good, "'writing'", "WITH d AS (DELETE FROM pg_description RETURNING 1) SELECT count(*) FROM d", "5s"),
            server.table(&good, "'sleeps'", "SELECT 1 FROM pg_sleep(1000)", "1s"),
            server.table(&bad, "'refused'", "SELECT 1", "5s"),
            server.table(&good, "'odd'", "SELECT now()", "5s"),
            server.table(&good, "'two'", "SELECT 1, 2", "5s"),
            server.table(&good, "'none'", "SELECT 1 WHERE false", "5s"),
            server.table(&good, "'several'", "SELECT 1; SELECT 2", "5s"),
            server.table(&good, "'many'", "SELECT n FROM generate_series(1, 100000) n", "5s"),
            server.table(
                &good,
                "'sleepers'",
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1000)' AND state = 'active'",
                "5s",
            ),
        ];
        let mut row = Row::start(&config.concat()).await;
        row.until_is("small", 42i64).await;
        row.until_is("many", 1i64).await;
        row.until("numbers are there", |row| row.contains_key("exact")).await;
        let of = |name: &str| row.attributes[name].to_string();
        let all = ["single", "exact", "word", "truth"].map(of);
        assert_eq!(all, ["2.5", "12.5", "text", "1"]);
        row.until_error("postgres writes", "0 columns, and 1 attributes").await;
        row.until_error("postgres writing", "read-only transaction").await;
        row.until_error("postgres sleeps", "").await;
        row.until_error("postgres refused", "password authentication failed").await;
        row.until_error("postgres odd", "cast it to text").await;
        row.until_error("postgres two", "2 columns, and 1 attributes").await;
        row.until_error("postgres several", "multiple commands").await;
        for absent in ["nothing", "none", "writes", "writing", "sleeps", "refused", "odd", "two", "several"] {
            assert!(!row.attributes.contains_key(absent), "{absent}");
        }
        // The server ends what takes too long, so that it does not pile up: readings go on, and one or none sleeps.
        row.until("sleepers are counted", |row| row.contains_key("sleepers")).await;
        let sleepers = row.attributes["sleepers"].as_int();
        assert!(sleepers.is_some_and(|n| n <= 2), "{sleepers:?}");
        drop(server);
        row.until_absent("small").await;
        assert!(!format!("{:?}", row.sources.handle().status()).contains("geheim"));
    }
}
