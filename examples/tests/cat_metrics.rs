//! `gcs-cat --metrics` asked by curl, as a Prometheus server would. Needs curl: skipped without, but not where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Start, free_addr, free_addrs};
use std::{collections::BTreeMap, net::Ipv4Addr, process::Command};

/// Every sample of a text for Prometheus, by name and labels. Panics about a line that is none.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|l| !l.starts_with("# "));
    lines
        .map(|l| {
            let (series, value) = l.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {l}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {l}")))
        })
        .collect()
}

fn has_curl() -> bool {
    let there = Command::new("curl").arg("--version").output().is_ok_and(|o| o.status.success());
    assert!(there || std::env::var("CI").as_deref() != Ok("true"), "curl is needed");
    if !there {
        eprintln!("SKIPPED, needs curl");
    }
    there
}

fn scrape(addr: &str) -> String {
    let out = Command::new("curl").args(["-sS", "-i", "-m", "10", addr]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_view_change_and_messages_show_in_the_metrics() {
    if !has_curl() {
        return;
    }
    let mut addrs = free_addrs::<3>();
    addrs.sort();
    let http = free_addr(Ipv4Addr::LOCALHOST.into()).to_string();
    let mut names = ["a", "b", "c"].into_iter();
    let mut cats = addrs.map(|addr| {
        let name = names.next().unwrap();
        let start = Start::new("m", name, addr).contacts(&addrs).expect(3);
        if name == "a" { start.with(&["--metrics", &http]) } else { start }.spawn()
    });
    for cat in &cats {
        cat.wait_view(&["a", "b", "c"]);
    }
    cats[0].send_lines(&["x".to_owned(), "yz".to_owned()]);
    cats[1].send("from b");
    cats.iter().for_each(|cat| cat.wait_messages("a", 2));
    cats[0].wait_messages("b", 1);
    cats[2].kill();
    cats[0].wait_view(&["a", "b"]);
    // Counters are handed on at most every 20 ms, and a group is never silent for longer than a heartbeat.
    let mut text = String::new();
    let up_to_date = (0..200).any(|_| {
        text = scrape(&format!("http://{http}/metrics"));
        text.contains("gcs_members{group=\"m\",member=\"a\"} 2")
    });
    assert!(up_to_date, "{text}");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    let all = samples(body);
    let value = |name: &str, more: &str| {
        let series = format!("{name}{{group=\"m\",member=\"a\"{more}}}");
        *all.get(&series).unwrap_or_else(|| panic!("no {series} in {body}"))
    };
    assert_eq!(value("gcs_messages_cast_total", ""), 2.0);
    assert_eq!(value("gcs_messages_delivered_total", ""), 3.0);
    assert_eq!(value("gcs_views_total", ",cause=\"founded\""), 1.0);
    assert_eq!(value("gcs_views_total", ",cause=\"gone\""), 1.0);
    assert_eq!(value("gcs_processes_gone_total", ""), 1.0);
    assert_eq!(value("gcs_view_change_seconds_count", ",cause=\"gone\""), 1.0);
    assert_eq!(value("gcs_view_change_seconds_bucket", ",cause=\"gone\",le=\"+Inf\""), 1.0);
    assert_eq!(value("gcs_blocked", ""), 0.0);
    assert_eq!(value("gcs_datagrams_dropped_total", ",reason=\"garbage\""), 0.0);
    for counts in ["gcs_frames_sent_total", "gcs_frames_received_total", "gcs_frame_bytes_sent_total"] {
        assert!(value(counts, "") > 0.0, "{counts}");
    }
    // Garbage is counted, too.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"nonsense", addrs[0]).unwrap();
    let garbage = "gcs_datagrams_dropped_total{group=\"m\",member=\"a\",reason=\"garbage\"} 1";
    assert!((0..200).any(|_| scrape(&format!("http://{http}/metrics")).contains(garbage)));
}

#[test]
fn every_metric_is_in_the_documentation() {
    let docs = include_str!("../../docs/metrics.md");
    let code = include_str!("../../gcs/src/runtime/metering.rs");
    let mut names: Vec<_> = code.split('"').filter(|w| w.starts_with("gcs_")).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(docs.contains(&format!("| `{name}` |")), "{name} is not in docs/metrics.md");
    }
}
