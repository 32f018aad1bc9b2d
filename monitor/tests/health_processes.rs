//! Component health with real processes: three representatives, processes that are observed and killed, watchers. `cargo test --test
//! health_processes -- --ignored --nocapture` measures how soon who knows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{collections::BTreeMap, time::Duration};

use children::{Kid, Representatives, done, run, sleeper};
use gcs_monitor::health::{
    verdict::{Health, Verdict},
    wire::Told,
};

#[path = "health_processes/children.rs"]
mod children;

/// A watcher, and what it was told.
struct Watcher {
    kid: Kid,
    seq: u64,
    verdicts: BTreeMap<u64, Verdict>,
}

impl Watcher {
    /// Told how the component is.
    fn start(at: &str, name: &str) -> Self {
        let kid = Kid::start(&format!("watch shop --json --at {at} --who {name}"));
        let (_, first) = kid.until(|_| true);
        let Told::Snapshot { position, .. } = serde_json::from_str(&first).unwrap() else {
            panic!("{first}")
        };
        Self { kid, seq: position.seq, verdicts: BTreeMap::new() }
    }

    /// Reads on until an instance is so. Every verdict is the one behind the last.
    #[track_caller]
    fn until(&mut self, instance: &str, health: Health) -> std::time::Instant {
        loop {
            let (at, line) = self.kid.until(|_| true);
            let Told::Verdict { verdict, .. } = serde_json::from_str(&line).unwrap() else {
                panic!("not a verdict: {line}")
            };
            assert_eq!(verdict.seq, self.seq + 1, "{line}");
            self.seq = verdict.seq;
            let is_it = verdict.instance.as_str() == instance && verdict.health == health;
            self.verdicts.insert(verdict.seq, verdict);
            if is_it {
                return at;
            }
        }
    }
}

/// An instance, its process, and who observes it.
fn instance(at: &str, name: &str) -> (Kid, Kid) {
    done(&format!("register shop {name} --supervisor sup-{name} --at {at}"));
    let process = sleeper();
    let words = format!("probe shop {name} --pid {} --who sup-{name} --at {at}", process.child.id());
    (process, Kid::start(&words))
}

#[test]
fn watchers_go_on_without_a_gap_when_a_representative_is_killed() {
    let mut representatives = Representatives::start("gap");
    done(&format!("register shop zero --at {}", representatives.from(0)));
    // Each has its own representative first; which one it takes is its choice.
    let mut watchers: Vec<_> =
        (0..4).map(|n| Watcher::start(&representatives.from(n % 3), &format!("w{n}"))).collect();
    let mut killed = Vec::new();
    for (round, name) in ["a", "b", "c"].into_iter().enumerate() {
        let (mut process, probe) = instance(&representatives.from(round), name);
        watchers.iter_mut().for_each(|watcher| _ = watcher.until(name, Health::Up));
        representatives.kill(round);
        process.kill();
        watchers.iter_mut().for_each(|watcher| _ = watcher.until(name, Health::Down));
        representatives.restart(round);
        killed.push(probe);
    }
    // Told over other representatives, they are the same.
    let first = &watchers[0].verdicts;
    assert!(watchers.iter().all(|watcher| watcher.verdicts == *first), "{first:#?}");
    let history = done(&format!("history shop --json --at {}", representatives.from(0)));
    let history: Vec<Verdict> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for verdict in &history[1..] {
        assert_eq!(Some(verdict), first.get(&verdict.seq));
    }
    let last = history.last().unwrap();
    assert_eq!((last.instance.as_str(), last.health), ("c", Health::Down));
    assert_eq!(last.witnesses[0].observer.as_str(), "sup-c");
}

#[test]
fn observers_disagree_until_enough_agree() {
    let representatives = Representatives::start("agree");
    let at = representatives.from(0);
    done(&format!("register shop a --address 10.0.0.1:80 --at {at}"));
    for observer in ["x", "y", "z"] {
        done(&format!("report shop a up --who {observer} --at {at}"));
    }
    let mut watcher = Watcher::start(&at, "w");
    done(&format!("report shop a down --who x --evidence refused --at {at}"));
    done(&format!("report shop a sluggish --who z --at {at}"));
    let list = done(&format!("list --at {at}"));
    assert!(list.contains("shop a up since") && list.contains("x down (refused)"), "{list}");
    assert!(list.contains("z sluggish ()"), "{list}");
    done(&format!("report shop a down --who y --at {at}"));
    watcher.until("a", Health::Down);
    assert_eq!(watcher.verdicts.len(), 1, "one opinion is no verdict");
    let output = run(&format!("report shop nobody up --at {at}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.trim(), "gcs-monitor: shop has no instance nobody: register it");
    assert!(!output.status.success());
}

#[test]
fn without_a_majority_nothing_is_agreed_and_it_goes_on_when_it_is_back() {
    let mut representatives = Representatives::start("majority");
    let at = representatives.from(0);
    done(&format!("register shop a --at {at}"));
    let mut watcher = Watcher::start(&at, "w");
    done(&format!("report shop a up --who x --at {at}"));
    watcher.until("a", Health::Up);
    representatives.kill(1);
    representatives.kill(2);
    let output = run(&format!("report shop a down --who x --at {at}"));
    assert!(!output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("no representative has answered"), "{output:?}");
    assert_eq!(watcher.verdicts.len(), 1);
}

#[cfg(feature = "dns")]
#[test]
fn the_domain_name_system_knows() {
    use hickory_proto::{
        op::{Message, Query, ResponseCode},
        rr::{Name, RecordType},
    };
    use std::{
        io::{Read as _, Write as _},
        net::{TcpStream, UdpSocket},
    };

    let query = |kind| {
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("shop.health.example.org.").unwrap(), kind));
        query.to_vec().unwrap()
    };
    let over_udp = |at: std::net::SocketAddr, kind| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(children::DEADLINE)).unwrap();
        socket.send_to(&query(kind), at).unwrap();
        let mut reply = [0; 1232];
        let len = socket.recv(&mut reply).unwrap();
        Message::from_vec(&reply[..len]).unwrap()
    };
    let over_tcp = |at: std::net::SocketAddr, kind| {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(children::DEADLINE)).unwrap();
        let query = query(kind);
        stream.write_all(&u16::try_from(query.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&query).unwrap();
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).unwrap();
        Message::from_vec(&reply).unwrap()
    };
    let representatives = Representatives::start("dns");
    let (at, dns) = (representatives.from(0), representatives.dns[0]);
    assert_eq!(over_udp(dns, RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    done(&format!("register shop a --address 10.1.2.3:80 --at {at}"));
    // This representative has heard of it when the watcher of it has.
    let mut watcher = Watcher::start(&representatives.at[0].to_string(), "w");
    done(&format!("report shop a up --who x --at {at}"));
    watcher.until("a", Health::Up);
    let reply = over_udp(dns, RecordType::A);
    assert_eq!(reply.answers[0].data.to_string(), "10.1.2.3");
    assert_eq!(
        over_tcp(dns, RecordType::SRV).answers[0].data.to_string(),
        "0 1 80 a.shop.health.example.org."
    );
    done(&format!("report shop a down --who x --at {at}"));
    watcher.until("a", Health::Down);
    assert!(over_udp(dns, RecordType::A).answers.is_empty());
    let text = over_tcp(dns, RecordType::TXT).answers[0].data.to_string();
    assert!(text.starts_with("instance=a health=down since="), "{text}");
}

fn percentiles(mut all: Vec<Duration>) -> String {
    all.sort();
    let at = |per_cent: usize| all[(all.len() * per_cent / 100).min(all.len() - 1)].as_micros() as f64 / 1e3;
    format!("median {:.1} ms, 90 % {:.1} ms, longest {:.1} ms", at(50), at(90), at(100))
}

#[test]
#[ignore = "measures"]
fn how_soon_who_knows() {
    const ROUNDS: usize = 30;
    const WATCHERS: usize = 12;
    let representatives = Representatives::start("measure");
    done(&format!("register shop zero --at {}", representatives.from(0)));
    let mut watchers: Vec<_> =
        (0..WATCHERS).map(|n| Watcher::start(&representatives.from(n % 3), &format!("w{n}"))).collect();
    let (mut first, mut last, mut spread) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let name = format!("i{round}");
        let (mut process, _probe) = instance(&representatives.from(round % 3), &name);
        watchers.iter_mut().for_each(|watcher| _ = watcher.until(&name, Health::Up));
        let killed = process.kill();
        let told: Vec<_> = watchers.iter_mut().map(|w| w.until(&name, Health::Down) - killed).collect();
        let (least, most) = (*told.iter().min().unwrap(), *told.iter().max().unwrap());
        first.push(least);
        last.push(most);
        spread.push(most - least);
    }
    println!("{ROUNDS} processes killed, {WATCHERS} watchers");
    println!("from SIGKILL to the first watcher: {}", percentiles(first));
    println!("from SIGKILL to the last watcher: {}", percentiles(last));
    println!("from the first watcher to the last: {}", percentiles(spread));
}

/// Which of these addresses somebody on this machine is connected to; the watcher is the only one.
fn connected_to(all: &[std::net::SocketAddr]) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remotes: Vec<&str> = table
        .lines()
        .filter_map(|line| match line.split_whitespace().take(4).collect::<Vec<_>>()[..] {
            [_, _, remote, "01"] => Some(remote),
            _ => None,
        })
        .collect();
    all.iter().position(|at| remotes.contains(&format!("0100007F:{:04X}", at.port()).as_str()))
}

#[test]
#[ignore = "measures"]
fn how_soon_a_watcher_is_told_by_the_next_representative() {
    const KILLS: usize = 24;
    let mut representatives = Representatives::start("failover");
    done(&format!("register shop a --address 10.0.0.1:1 --at {}", representatives.from(0)));
    let mut watcher = Watcher::start(&representatives.from(0), "w");
    let (began, mut took) = (watcher.seq, Vec::new());
    for round in 0..KILLS {
        let n = loop {
            match connected_to(&representatives.at) {
                Some(n) => break n,
                None => std::thread::yield_now(),
            }
        };
        let kid = representatives.kids[n].as_mut().unwrap();
        let killed = kid.kill();
        // The verdict is made while the watcher looks for somebody else.
        let others = representatives.from((n + 1) % 3);
        done(&format!("register shop a --address 10.0.0.1:{} --at {others}", round + 2));
        let (at, line) = watcher.kid.until(|_| true);
        let Told::Verdict { verdict, .. } = serde_json::from_str(&line).unwrap() else {
            panic!("not a verdict: {line}")
        };
        assert_eq!(verdict.seq, watcher.seq + 1, "none is missed, told twice or out of order");
        assert_eq!(verdict.address.map(|a| usize::from(a.port())), Some(round + 2));
        watcher.seq = verdict.seq;
        watcher.verdicts.insert(verdict.seq, verdict);
        took.push(at - killed);
        representatives.restart(n);
    }
    assert_eq!(watcher.seq, began + KILLS as u64);
    let history = done(&format!("history shop --json --at {}", representatives.from(0)));
    let agreed: BTreeMap<u64, Verdict> = history
        .lines()
        .map(|line| serde_json::from_str::<Verdict>(line).unwrap())
        .map(|verdict| (verdict.seq, verdict))
        .filter(|(seq, _)| *seq > began)
        .collect();
    assert_eq!(agreed, watcher.verdicts);
    println!("{KILLS} kills of the representative that a watcher is connected to, each with a new verdict");
    println!("from SIGKILL to that verdict at the watcher: {}", percentiles(took));
}
