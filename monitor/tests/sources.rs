//! Sources over real files, sockets and processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod sources_common;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use gcs_monitor::{sources::Handle, value::Value};
use sources_common::{Folder, PATIENCE, Row, toml};

const QUICK: &str = "every = '100ms'\ntimeout = '200ms'\n";

#[tokio::test(flavor = "current_thread")]
async fn the_host_says_how_it_fares() {
    let mut row = Row::start_all("[host]\nevery = '300ms'").await;
    let all = ["cpu", "cores", "load1", "mem_total", "mem_used", "net_rx", "net_tx", "processes", "kernel"];
    row.until("all are there", |row| all.iter().all(|name| row.contains_key(*name))).await;
    let number = |name: &str| row.attributes[name].as_f64().unwrap();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total: f64 = meminfo.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(number("mem_total"), (total / 1024.0).floor());
    assert!((1.0..number("mem_total")).contains(&number("mem_used")));
    assert!((0.0..=100.0).contains(&number("cpu")));
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(row.attributes["hostname"].as_text(), Some(hostname.trim()));
    assert!(number("processes") >= 1.0 && number("cores") >= 1.0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_that_is_replaced_torn_and_gone() {
    let folder = Folder::new("file");
    folder.write("stats.json", r#"{"queue": {"length": 3}}"#);
    let path = toml(&folder.path("stats.json"));
    let config = format!("[[file]]\nname = 'queue'\npath = {path}\npointer = '/queue/length'\n{QUICK}");
    let mut row = Row::start(&config).await;
    row.until_is("queue", 3i64).await;
    folder.replace("stats.json", r#"{"queue": {"length": 4}}"#);
    row.until_is("queue", 4i64).await;
    folder.write("stats.json", r#"{"queue": {"len"#);
    row.until_error("file queue", "not JSON").await;
    row.until_absent("queue").await;
    folder.replace("stats.json", r#"{"queue": {"length": 5}}"#);
    row.until_is("queue", 5i64).await;
    std::fs::remove_file(folder.path("stats.json")).unwrap();
    row.until_absent("queue").await;
    folder.write("stats.json", r#"{"queue": {"length": "many"}}"#);
    row.until_is("queue", "many").await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_end_of_a_log_that_is_rotated() {
    let folder = Folder::new("log");
    let mut log = File::create(folder.path("log")).unwrap();
    writeln!(log, "took 5 ms").unwrap();
    let path = toml(&folder.path("log"));
    let config = format!("[[file]]\nname = 'took'\npath = {path}\npattern = 'took ([0-9]+) ms'\n{QUICK}");
    let mut row = Row::start(&config).await;
    row.until_is("took", 5i64).await;
    log.write_all(&b"something else\xff\n".repeat(20_000)).unwrap();
    writeln!(log, "took 7 ms").unwrap();
    row.until_is("took", 7i64).await;
    std::fs::rename(folder.path("log"), folder.path("log.1")).unwrap();
    folder.write("log", "took 9 ms\n");
    row.until_is("took", 9i64).await;
}

/// A pipe without a writer holds up who opens it, a directory is no file, and endless files have no end.
#[tokio::test(flavor = "current_thread")]
async fn what_is_no_file_holds_up_nobody() {
    let folder = Folder::new("pipe");
    assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
    folder.write("good", "1\n");
    folder.write("large", &"x".repeat((1 << 20) + 1));
    let file = |name: &str, path: &str| format!("[[file]]\nname = '{name}'\npath = {path}\n{QUICK}");
    let at = |name: &str| toml(&folder.path(name));
    let config = [
        file("pipe", &at("pipe")),
        file("folder", &at("")),
        file("zero", "'/dev/zero'"),
        file("large", &at("large")),
        file("good", &at("good")),
    ];
    let mut row = Row::start(&config.concat()).await;
    row.until_is("good", 1i64).await;
    for (source, words) in [
        ("file pipe", "not a regular file"),
        ("file folder", "not a regular file"),
        ("file zero", "not a regular file"),
        ("file large", "more than 1048576 bytes"),
    ] {
        row.until_error(source, words).await;
    }
    folder.replace("good", "2\n");
    row.until_is("good", 2i64).await;
    assert_eq!(row.attributes.len(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn a_directory_of_text_files() {
    let folder = Folder::new("textfile");
    folder
        .write("backup.prom", "# TYPE backup_seconds gauge\nbackup_seconds 12.5\nbackup_ok{disk=\"a\"} 1\n");
    folder.write("torn.prom", "torn 1");
    folder.write("app.json", r#"{"release": "2.7", "up": true}"#);
    folder.write("ignored.txt", "ignored 1\n");
    let config = format!(
        "[textfile]\ndirectory = {}\nlife = '1h'\nevery = '100ms'\ntimeout = '1s'\n",
        toml(&folder.path(""))
    );
    let mut row = Row::start(&config).await;
    row.until_is("backup_seconds", 12.5).await;
    row.until_is("release", "2.7").await;
    row.until_is("up", 1i64).await;
    row.until_error("textfile", "torn.prom does not end in a line feed").await;
    folder.replace("torn.prom", "torn 12\n");
    row.until_is("torn", 12i64).await;
    // Nobody has written it for an hour: nobody knows.
    folder.write("new", "backup_seconds 13\n");
    let file = File::options().write(true).open(folder.path("new")).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_secs(3_600)).unwrap();
    std::fs::rename(folder.path("new"), folder.path("backup.prom")).unwrap();
    // Files are read in the order of their names.
    folder.write("later.prom", "later 1\n");
    row.until_is("later", 1i64).await;
    assert_eq!(row.attributes["backup_seconds"], Value::float(12.5));
    assert!(!row.attributes.contains_key("ignored"));
}

#[tokio::test(flavor = "current_thread")]
async fn text_files_grow_old() {
    let folder = Folder::new("old");
    folder.write("a.prom", "a 1\n");
    let config = format!(
        "[textfile]\ndirectory = {}\nlife = '2s'\nevery = '100ms'\ntimeout = '1s'\n",
        toml(&folder.path(""))
    );
    let mut row = Row::start(&config).await;
    row.until_is("a", 1i64).await;
    row.until_absent("a").await;
    folder.replace("a.prom", "a 1\n");
    row.until_is("a", 1i64).await;
}

#[tokio::test(flavor = "current_thread")]
async fn statsd_datagrams_become_attributes() {
    let config = "[statsd]\nlisten = '127.0.0.1:0'\nevery = '100ms'\nlife = '2s'\n";
    let mut row = Row::start(config).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(row.sources.statsd_addr().unwrap()).unwrap();
    socket.send(b"app.queue:5|g\napp.took:10|ms\nhits:3|c|@0.5\nusers:ann|s").unwrap();
    row.until_is("app_queue", 5.0).await;
    row.until_is("app_took_p99", 10.0).await;
    row.until_is("users_distinct", 1i64).await;
    row.until("hits are counted", |row| row.contains_key("hits_per_s")).await;
    row.until_absent("app_took_p99").await;
    socket.send(&[0xff; 100]).unwrap();
    socket.send(&vec![b'x'; 20_000]).unwrap();
    socket.send(b"id:1|g\nnonsense").unwrap();
    row.until_absent("app_queue").await;
    assert!(row.refused("statsd").0 >= 4, "{:?}", row.refused("statsd"));
}

#[tokio::test(flavor = "current_thread")]
async fn floods_of_datagrams_are_left_to_the_system() {
    let config = "[statsd]\nlisten = '127.0.0.1:0'\nevery = '100ms'\n";
    let mut row = Row::start(config).await;
    let address = row.sources.statsd_addr().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    let flood = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        while !end.load(Ordering::Relaxed) {
            let _ = socket.send_to(b"hits:1|c", address);
        }
    });
    let bounded = async {
        while !row.refused("statsd").1.contains("the system drops what is more") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, bounded).await;
    ended.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    outcome.unwrap();
    row.until("what was read counts", |row| row.contains_key("hits_per_s")).await;
    let names: String = (0..200).map(|n| format!("n{n}:1|c\n")).collect();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // What is sent while the flood is still in the socket's buffer is lost.
    let again = async {
        loop {
            socket.send_to(names.as_bytes(), address).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = again => {}
        () = row.until("names are bounded, and so is the row", |row| row.len() == 64) => {}
    }
}

/// Asks with curl while the runtime goes on; the status and the content of the answer. `None` without curl.
async fn curl(words: &[&str]) -> Option<(u16, String)> {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let command =
        move || Command::new("curl").args(["-sS", "-m", "30", "-w", "\n%{http_code}"]).args(words).output();
    let output = tokio::task::spawn_blocking(command).await.unwrap();
    let Ok(output) = output else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "curl is needed");
        eprintln!("SKIPPED, needs curl");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (content, status) = text.rsplit_once('\n').unwrap();
    Some((status.parse().unwrap(), content.to_owned()))
}

const JSON: [&str; 2] = ["-H", "Content-Type: application/json"];

#[tokio::test(flavor = "current_thread")]
async fn applications_say_attributes_over_http() {
    let mut row = Row::start("[http]\nlisten = '127.0.0.1:0'\nlife = '1h'\n").await;
    let address: SocketAddr = row.sources.http_addr().unwrap();
    let url = |path: &str| format!("http://{address}{path}");
    let put = |path: &str, content: &str| {
        let (url, content) = (url(path), content.to_owned());
        async move { curl(&[JSON[0], JSON[1], "-X", "PUT", "-d", &content, &url]).await }
    };
    let Some(first) = put("/attributes/queue", "5").await else { return };
    assert_eq!(first, (204, String::new()));
    row.until_is("queue", 5i64).await;
    assert_eq!(put("/attributes", r#"{"release": "2.7", "up": true, "queue": 6}"#).await.unwrap().0, 204);
    row.until_is("queue", 6i64).await;
    row.until_is("release", "2.7").await;
    assert_eq!(put("/attributes/brief?life=1s", "1").await.unwrap().0, 204);
    row.until_is("brief", 1i64).await;
    row.until_absent("brief").await;
    let delete = curl(&["-X", "DELETE", &url("/attributes/queue")]).await.unwrap();
    assert_eq!(delete.0, 204);
    row.until_absent("queue").await;
    assert_eq!(curl(&["-X", "DELETE", &url("/attributes/queue")]).await.unwrap().0, 404);

    for (path, content, status, words) in [
        ("/attributes/id", "1", 400, "set by the zones"),
        ("/attributes/Queue", "1", 400, "is no name"),
        ("/attributes/q", "{}", 400, "no object"),
        ("/attributes/q", "{", 400, "not JSON"),
        ("/attributes/q?life=soon", "1", 400, "life is no time"),
        ("/attributes/q?x=1", "1", 400, "no option but life"),
        ("/attributes", "[]", 400, "no object"),
        ("/attributes/q", &format!("\"{}\"", "x".repeat(600)), 507, "there is room for 512"),
        ("/attributes/q", &format!("\"{}\"", "x".repeat(17 << 10)), 413, "at most 16384 bytes"),
        ("/attributes", r#"{"fine": 1, "select": 1}"#, 400, "a word of SQL"),
    ] {
        let answer = put(path, content).await.unwrap();
        assert_eq!(answer.0, status, "{path} {content}: {}", answer.1);
        assert!(answer.1.contains(words), "{path} {content}: {}", answer.1);
    }
    row.until_is("fine", 1i64).await;
    row.sources.handle().set("own", 1i64).unwrap();
    assert_eq!(put("/attributes/own", "2").await.unwrap().0, 409);
    let shown = curl(&[&url("/attributes")]).await.unwrap().1;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let own = shown["attributes"].as_array().unwrap().iter().find(|a| a["name"] == "own").unwrap();
    assert_eq!((own["source"].as_str(), own["value"].as_i64()), (Some("program"), Some(1)));
}

#[tokio::test(flavor = "current_thread")]
async fn pages_in_browsers_say_nothing() {
    let row = Row::start("[http]\nlisten = '127.0.0.1:0'\n").await;
    let address = row.sources.http_addr().unwrap();
    let url = format!("http://{address}/attributes/q");
    let put = ["-X", "PUT", "-d", "1", &url];
    let with = |headers: &[&'static str]| {
        let words: Vec<String> =
            headers.iter().flat_map(|h| ["-H", h]).chain(put).map(ToOwned::to_owned).collect();
        async move { curl(&words.iter().map(String::as_str).collect::<Vec<_>>()).await.map(|answer| answer.0) }
    };
    let json = "Content-Type: application/json";
    let Some(good) = with(&[json]).await else { return };
    assert_eq!(good, 204);
    assert_eq!(with(&["Content-Type: text/plain"]).await, Some(415));
    assert_eq!(with(&[]).await, Some(415), "a form");
    assert_eq!(with(&[json, "Origin: http://evil.example"]).await, Some(403));
    assert_eq!(with(&[json, "Origin: null"]).await, Some(403));
    assert_eq!(with(&[json, "Host: evil.example"]).await, Some(421), "a name made to mean 127.0.0.1");
    assert_eq!(with(&[json, "Host: localhost"]).await, Some(204));
    let read = curl(&["-H", "Host: evil.example", &format!("http://{address}/attributes")]).await.unwrap();
    assert_eq!(read.0, 421);
}

/// Clients that send nothing take all places, and lose them.
#[tokio::test(flavor = "current_thread")]
async fn silent_clients_do_not_keep_others_out_for_ever() {
    let mut row = Row::start("[http]\nlisten = '127.0.0.1:0'\n").await;
    let address = row.sources.http_addr().unwrap();
    let silent: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
    let url = format!("http://{address}/attributes/q");
    let Some(answer) = curl(&[JSON[0], JSON[1], "-X", "PUT", "-d", "1", &url]).await else { return };
    assert_eq!(answer.0, 204);
    row.until_is("q", 1i64).await;
    drop(silent);
}

/// A server that says metrics, and then something else.
fn metrics_server(answers: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let last = *answers.last().unwrap();
        for answer in answers.into_iter().chain(std::iter::repeat(last)) {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            assert!(request.starts_with(b"GET /metrics HTTP/1.1\r\n"));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[tokio::test(flavor = "current_thread")]
async fn metrics_of_group_members() {
    let good = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\
        gcs_members{group=\"kv\",member=\"a\"} 3\ngcs_view_number{group=\"kv\",member=\"a\"} 17\n\
        gcs_blocked{group=\"kv\",member=\"a\"} 0\ngcs_pending_bytes{group=\"kv\",member=\"a\"} 1024.5\n";
    let address = metrics_server(vec![good, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]);
    let config = format!(
        "[[prometheus]]\nurl = 'http://{address}/metrics'\n{QUICK}[prometheus.attributes]\nkv_members = 'gcs_members{{group=\"kv\"}}'\nkv_view = 'gcs_view_number'\nkv_blocked = 'gcs_blocked'\nkv_pending = 'gcs_pending_bytes'\n"
    );
    let mut row = Row::start(&config).await;
    row.until_is("kv_members", 3i64).await;
    assert_eq!(row.attributes["kv_view"], Value::Int(17));
    assert_eq!(row.attributes["kv_blocked"], Value::Int(0));
    assert_eq!(row.attributes["kv_pending"], Value::float(1024.0), "four digits");
    row.until_error(&format!("prometheus http://{address}/metrics"), "answers 500").await;
    row.until_absent("kv_blocked").await;
}

#[tokio::test(flavor = "current_thread")]
async fn servers_that_hang_and_that_never_end() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endless = TcpListener::bind("127.0.0.1:0").unwrap();
    let (hangs, floods) = (silent.local_addr().unwrap(), endless.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in endless.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        }
    });
    let table = |address, name| {
        format!(
            "[[prometheus]]\nurl = 'http://{address}/'\nevery = '100ms'\ntimeout = '2s'\nattributes = {{ {name} = 'x' }}\n"
        )
    };
    let mut row = Row::start(&(table(hangs, "a") + &table(floods, "b"))).await;
    row.until_error(&format!("prometheus http://{hangs}/"), "no answer within 2s").await;
    row.until_error(&format!("prometheus http://{floods}/"), "cannot be asked").await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_receiver_may_be_slow() {
    let mut row = Row::start("").await;
    let handle: Handle = row.sources.handle();
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                for n in 0..=10_000i64 {
                    handle.set(&format!("own{t}"), n).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let updates = tokio::time::timeout(PATIENCE, row.sources.next()).await.unwrap();
    assert_eq!(updates.len(), 4);
    assert!(updates.iter().all(|update| update.value == Value::Int(10_000)));
    // Woken by another thread.
    let other = handle.clone();
    std::thread::spawn(move || other.set("late", "now").unwrap());
    row.until_is("late", "now").await;
    handle.set("late", Value::Null).unwrap();
    row.until_absent("late").await;
}

/// Not a test but a measurement: `cargo test -p gcs-monitor --test sources -- --ignored --exact what_sampling_the_host_costs --nocapture`.
#[tokio::test(flavor = "current_thread")]
#[ignore = "a measurement, which has to be alone in its process"]
async fn what_sampling_the_host_costs() {
    const SAMPLES: u32 = 200;
    let used = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
        10.0 * (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap())
    };
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned()
    };
    let empty = resident();
    let config =
        "[host]\nevery = '100ms'\n[http]\nlisten = '127.0.0.1:0'\n[statsd]\nlisten = '127.0.0.1:0'\n";
    let mut row = Row::start_all(config).await;
    row.until("it has begun", |row| row.contains_key("cpu")).await;
    let (before, mut reports) = (used(), 0);
    let listen = async {
        loop {
            row.more().await;
            reports += 1;
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(100) * SAMPLES, listen).await;
    let each = (used() - before) / f64::from(SAMPLES);
    println!("{each:.2} ms of a processor for a sample: every 10 s, {:.4} % of a core", each / 100.0);
    println!("{reports} reports; resident: {empty} before, {} after", resident());
}
