//! Hostile input to component health: what clients, servers and the network may send to each other. Nothing panics, everything is bounded,
//! and who behaves is served meanwhile.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use children::{DEADLINE, Kid, Representatives, done};
use gcs_monitor::health::{
    desk::{ASKED_MAX, Desk, Next},
    state::State,
    wire::{LINE_MAX, Request, Say},
};
use proptest::{collection::vec, prelude::*, sample::Index};

#[path = "health_processes/children.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod children;

/// What clients say.
const ASKS: [&str; 9] = [
    r#"{"id":1,"ask":{"register":{"component":"shop","instance":"a","address":"10.0.1.1:80","supervisor":"host1","witnesses":2}}}"#,
    r#"{"id":2,"ask":{"deregister":{"component":"shop","instance":"a"}}}"#,
    r#"{"id":3,"ask":{"observe":{"component":"shop","instance":"a","observer":"h","serial":7,"finding":"down","evidence":"refused"}}}"#,
    r#"{"id":4,"ask":{"watch":{"who":"router","component":"shop","lease_ms":30000,"after":null}}}"#,
    r#"{"id":5,"ask":{"unwatch":{"component":"shop"}}}"#,
    r#"{"id":6,"ask":{"renew":{"lease_ms":30000}}}"#,
    r#"{"id":7,"ask":{"list":{"after":null}}}"#,
    r#"{"id":8,"ask":{"history":{"component":"shop"}}}"#,
    r#"{"id":9,"ask":{"forget":{"component":"shop"}}}"#,
];

/// A line as it should be, damaged, or of no sense at all.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let whole = (0..ASKS.len()).prop_map(|nth| ASKS[nth].as_bytes().to_vec());
    prop_oneof![2 => whole, 2 => damaged(), 1 => vec(any::<u8>(), 0..200)]
}

/// A line with some of its bytes changed, removed or doubled, and perhaps cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let line = (0..ASKS.len()).prop_map(|nth| ASKS[nth].as_bytes().to_vec());
    (line, vec((any::<Index>(), any::<u8>(), 0..4_u8), 0..6)).prop_map(|(mut line, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(line.len().max(1));
            match how {
                _ if line.is_empty() => line.push(byte),
                0 => line[at] = byte,
                1 => _ = line.remove(at),
                2 => line.insert(at, byte),
                _ => line.truncate(at),
            }
        }
        line
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_line_harms_a_desk(lines in vec(said(), 0..300), answers in any::<bool>()) {
        let (mut state, mut desk) = (State::new(), Desk::new());
        state.view_changed(1);
        let mut waiting = Vec::new();
        for (now_ms, line) in (1..).zip(lines) {
            let _ = serde_json::from_slice::<Say>(&line);
            let Ok(request) = serde_json::from_slice::<Request>(&line) else { continue };
            match desk.ask(&state, request) {
                Next::Cast(number, command) => {
                    let done = state.apply(command, now_ms).map_err(Into::into);
                    if answers { _ = desk.done(number, done); } else { waiting.push(number); }
                }
                Next::Say(say) => prop_assert!(serde_json::to_vec(&say).unwrap().len() < LINE_MAX),
            }
            prop_assert!(waiting.len() <= ASKED_MAX, "who answers nothing is not asked without an end");
            prop_assert!(desk.news(&state, Some(state.history()), 64).len() <= 65);
        }
    }

    #[cfg(feature = "dns")]
    #[test]
    fn no_datagram_harms_the_domain_name_system(
        noise in vec(any::<u8>(), 0..1300),
        changes in vec((any::<Index>(), any::<u8>()), 0..8),
        cut in any::<Index>(),
    ) {
        use gcs_monitor::health::dns::{UDP_MAX, Zone, answer};
        use hickory_proto::{op::{Message, Query}, rr::{Name, RecordType}};
        let (zone, mut state) = (Zone::new("example.org").unwrap(), State::new());
        state.view_changed(1);
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("shop.health.example.org.").unwrap(), RecordType::SRV));
        let mut query = query.to_vec().unwrap();
        changes.iter().for_each(|(at, byte)| { let at = at.index(query.len()); query[at] = *byte; });
        let cut = &query[..cut.index(query.len() + 1)];
        for bytes in [&noise[..], &query, cut] {
            if let Some(reply) = answer(bytes, &zone, Some(&state), Some(UDP_MAX)) {
                prop_assert!(bytes[2] & 0x80 == 0, "no answers to answers");
                prop_assert!(reply.len() <= UDP_MAX && reply[2] & 0x80 != 0 && reply[..2] == bytes[..2]);
            }
        }
    }
}

fn connected(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What comes until the other side ends it, in whichever way.
fn until_cut_off(mut stream: TcpStream) -> String {
    let (mut said, mut room) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut room) {
            Ok(n @ 1..) => said.extend_from_slice(&room[..n]),
            Ok(_) => break,
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break,
            Err(e) => panic!("it is not cut off: {e}"),
        }
        // Beats go on, one a second: these are of more than a minute.
        assert!(said.len() < 2048, "it goes on for ever");
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Resident memory of a process, in KiB.
fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_representative_serves_who_behaves_while_others_do_not() {
    let representatives = Representatives::start("hostile");
    let (first, at) = (representatives.at[0], representatives.at[0].to_string());
    done(&format!("register shop a --address 10.0.0.1:80 --at {at}"));
    let before = resident_kib(representatives.kids[0].as_ref().unwrap().child.id());
    // Nonsense, each told so and cut off.
    let nonsense = [
        b"\0\xff\xfe\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"[".repeat(100_000),
        b"{}\n".to_vec(),
    ];
    for bytes in nonsense {
        let mut stream = connected(first);
        // It may be cut off before all is written.
        let _ = stream.write_all(&bytes).and_then(|()| stream.write_all(b"\n"));
        let said = until_cut_off(stream);
        assert!(said.contains("malformed") || said.is_empty(), "{said}");
    }
    // A line without an end.
    let mut endless = connected(first);
    let _ = endless.write_all(&vec![b'x'; LINE_MAX + 1]);
    until_cut_off(endless);
    // Half a request, and then nothing; and nothing at all, from many.
    let mut open: Vec<TcpStream> = (0..200).map(|_| connected(first)).collect();
    open.iter_mut().take(100).for_each(|stream| stream.write_all(&ASKS[0].as_bytes()[..40]).unwrap());
    // Who asks and asks, and reads nothing: the questions stay in its own buffers, and then it is cut off.
    let mut slow: Vec<TcpStream> = (0..8).map(|_| connected(first)).collect();
    for stream in &mut slow {
        stream.set_nonblocking(true).unwrap();
        let line = format!("{}\n", ASKS[6]).repeat(2_000);
        let _ = stream.write(line.as_bytes());
    }
    // Many requests at once: 64 wait, others are told that they are too many, and none is lost without a word.
    let mut busy = connected(first);
    let line = r#"{"id":7,"ask":{"forget":{"component":"none"}}}"#;
    busy.write_all(format!("{line}\n").repeat(500).as_bytes()).unwrap();
    let mut answers = 0;
    let mut lines = BufReader::new(&busy).lines();
    while answers < 500 {
        let line = lines.next().unwrap().unwrap();
        answers += usize::from(line.contains("\"answer\""));
    }
    // Who behaves.
    let watcher = Kid::start(&format!("watch shop --json --at {at}"));
    watcher.until(|line| line.contains("snapshot"));
    for round in 0..10 {
        done(&format!("register shop a --address 10.0.0.1:{} --at {at}", 1000 + round));
        watcher.until(|line| line.contains(&format!("10.0.0.1:{}", 1000 + round)));
    }
    let process = representatives.kids[0].as_ref().unwrap().child.id();
    let after = resident_kib(process);
    println!("resident before {before} KiB, after {after} KiB");
    assert!(after < before + (64 << 10), "{before} KiB, then {after} KiB");
    drop(open);
}

/// Somebody who says he is a representative, and answers with these bytes, again and again if `endless`; and how many have come to him.
fn liar(says: Vec<u8>, endless: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let came = Arc::new(AtomicUsize::new(0));
    let counts = came.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let says = says.clone();
            counts.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || {
                while stream.write_all(&says).is_ok() && endless {}
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    (at, came)
}

#[test]
fn a_client_goes_on_from_liars_to_a_representative() {
    let representatives = Representatives::start("liars");
    let liars = [
        liar(b"\xff\xfe\0\n".to_vec(), false),
        liar(vec![b'['; 100_000], true),
        liar(br#"{"beat":{"ready":true}}"#.to_vec(), true),
        liar(format!("{}\n", r#"{"answer":{"id":1,"outcome":{"Err":"busy"}}}"#).into_bytes(), true),
        // It is there, and never ready.
        liar(format!("{}\n", r#"{"beat":{"ready":false}}"#).into_bytes(), true),
        // Nothing at all.
        liar(Vec::new(), false),
    ];
    let truth = representatives.from(0);
    done(&format!("register shop a --address 10.0.0.1:80 --at {truth}"));
    for (liar, came) in liars {
        // With whom it begins is its own choice: until it was the liar.
        while came.load(Ordering::Relaxed) == 0 {
            let watcher = Kid::start(&format!("watch shop --json --at {liar},{}", representatives.at[0]));
            let (_, line) = watcher.until(|_| true);
            assert!(line.contains("snapshot") && line.contains("10.0.0.1:80"), "{line}");
            done(&format!("list --at {liar},{}", representatives.at[0]));
        }
    }
}

#[cfg(feature = "dns")]
mod dns {
    use std::{net::UdpSocket, process::Command};

    use super::*;

    /// What `dig` says. None if it is not here, which is said aloud, and is a failure where `CI=true`.
    fn dig(at: SocketAddr, words: &[&str]) -> Option<String> {
        let mut command = Command::new("dig");
        command.args([&format!("@{}", at.ip()), "-p", &at.port().to_string(), "+time=10", "+tries=3"]);
        match command.args(words).output() {
            Ok(output) => Some(String::from_utf8(output.stdout).unwrap()),
            Err(e) => {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "dig is needed (package bind9-dnsutils): {e}"
                );
                eprintln!("SKIPPED, needs dig (package bind9-dnsutils)");
                None
            }
        }
    }

    #[test]
    fn dig_is_answered_over_udp_and_tcp_also_behind_nonsense() {
        let representatives = Representatives::start("dig");
        let (dns, at) = (representatives.dns[0], representatives.at[0].to_string());
        for (instance, address) in [("a", "10.1.2.3:80"), ("b", "[fd00::7]:81"), ("c", "10.1.2.4:82")] {
            done(&format!("register shop {instance} --address {address} --at {at}"));
            let finding = if instance == "c" { "down" } else { "up" };
            done(&format!("report shop {instance} {finding} --who x --at {at}"));
        }
        // This representative knows all of it when one who watches here has been told.
        let watcher = Kid::start(&format!("watch shop --json --at {at}"));
        watcher.until(|line| line.contains("\"down\""));
        let nonsense = UdpSocket::bind("127.0.0.1:0").unwrap();
        let open: Vec<_> = (0..40).map(|_| connected(dns)).collect();
        for n in 0..2_000_u32 {
            let bytes: Vec<u8> = (0..n % 600).map(|i| (i.wrapping_mul(n) >> 3) as u8).collect();
            nonsense.send_to(&bytes, dns).unwrap();
        }
        for bytes in [&b"\0\0"[..], b"\xff\xff\x12", b"\0\x05hello", b"\0\x0cxxxxxxxxxxxx"] {
            let mut stream = connected(dns);
            stream.write_all(bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            until_cut_off(stream);
        }
        let name = "shop.health.example.org";
        for transport in ["+notcp", "+tcp"] {
            let Some(a) = dig(dns, &[transport, "+short", name, "A"]) else { return };
            assert_eq!(a, "10.1.2.3\n", "{transport}");
            let say = |words: &[&str]| dig(dns, &[&[transport], words].concat()).unwrap();
            assert_eq!(say(&["+short", name, "AAAA"]), "fd00::7\n");
            let srv = say(&["+short", name, "SRV"]);
            let mut srv: Vec<&str> = srv.lines().collect();
            srv.sort_unstable();
            assert_eq!(srv, ["0 1 80 a.shop.health.example.org.", "0 1 81 b.shop.health.example.org."]);
            let txt = say(&["+short", name, "TXT"]);
            assert_eq!(txt.lines().count(), 3);
            assert!(txt.contains("\"instance=c health=down since="), "{txt}");
            assert_eq!(say(&["+short", &format!("c.{name}"), "A"]), "10.1.2.4\n");
            let gone = say(&["nobody.health.example.org", "A"]);
            assert!(
                gone.contains("status: NXDOMAIN") && gone.contains("flags: qr aa") && gone.contains("SOA"),
                "{gone}"
            );
            let nothing = say(&[name, "MX"]);
            assert!(
                nothing.contains("status: NOERROR")
                    && nothing.contains("ANSWER: 0")
                    && nothing.contains("SOA"),
                "{nothing}"
            );
            assert!(say(&["example.net", "A"]).contains("status: REFUSED"));
            assert!(say(&["+opcode=NOTIFY", name, "SOA"]).contains("status: NOTIMP"));
        }
        drop(open);
    }
}
