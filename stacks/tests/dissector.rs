//! The Wireshark dissector in `docs/wireshark` understands what a group says: real endpoints over real sockets, everything
//! that they send is written to a capture file, and tshark reads it. Skipped without tshark, but not where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test panics where something is wrong")]

use gcs::{
    endpoint::{Datagram, Event, Transmit},
    group::Group,
    guard::Keys,
    keys::PreShared,
    net::{Transport, TransportStats, udp::Udp},
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

/// A capture file of bare IPv4 packets.
#[derive(Default)]
struct Capture(Vec<u8>);

impl Capture {
    fn new() -> Self {
        let mut file = Self::default();
        // Magic number, version 2.4, no time zone, no accuracy, packets as a whole, IPv4 or IPv6 without a link layer.
        file.0.extend(0xa1b2_c3d4_u32.to_le_bytes());
        file.0.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.0.extend(262_144_u32.to_le_bytes());
        file.0.extend(101_u32.to_le_bytes());
        file
    }

    fn packet(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let (SocketAddr::V4(from), SocketAddr::V4(to)) = (from, to) else { return };
        let udp = u16::try_from(8 + payload.len()).unwrap();
        let len = 20 + u32::from(udp);
        self.0.extend([0; 8]);
        self.0.extend(len.to_le_bytes());
        self.0.extend(len.to_le_bytes());
        self.0.extend([0x45, 0]);
        self.0.extend((20 + udp).to_be_bytes());
        self.0.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        self.0.extend(from.ip().octets());
        self.0.extend(to.ip().octets());
        self.0.extend(from.port().to_be_bytes());
        self.0.extend(to.port().to_be_bytes());
        self.0.extend(udp.to_be_bytes());
        self.0.extend([0, 0]);
        self.0.extend(payload);
    }
}

/// UDP, with a record of what is sent.
struct Recorded(Udp, Arc<Mutex<Capture>>);

impl Transport for Recorded {
    fn start(&mut self) -> io::Result<()> {
        self.0.start()
    }
    fn send(&mut self, batch: &mut Vec<Transmit>) {
        let mut capture = self.1.lock().unwrap();
        for t in batch.iter() {
            let payload: Vec<u8> = t.payload.parts().flatten().copied().collect();
            t.to.iter().for_each(|to| capture.packet(self.0.local_addr(), *to, &payload));
        }
        drop(capture);
        self.0.send(batch);
    }
    fn poll_recv(&mut self, cx: &mut Context<'_>, batch: &mut Vec<Datagram>) -> Poll<()> {
        self.0.poll_recv(cx, batch)
    }
    fn try_recv(&mut self, batch: &mut Vec<Datagram>) {
        self.0.try_recv(batch);
    }
    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }
    fn mtu(&self) -> usize {
        1472
    }
    fn stats(&self) -> TransportStats {
        self.0.stats()
    }
}

/// Three members find each other, and cast; one leaves.
async fn a_group(stack: &str, capture: &Arc<Mutex<Capture>>) {
    // Wireshark takes what goes to those ports for traceroute's, too, and says so.
    let traceroute = 33_434..33_535_u16;
    let udp = std::iter::repeat_with(|| Udp::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap());
    let sockets: Vec<_> = udp.filter(|u| !traceroute.contains(&u.local_addr().port())).take(3).collect();
    let addrs: Vec<_> = sockets.iter().map(Udp::local_addr).collect();
    let mut members = Vec::new();
    for (i, udp) in sockets.into_iter().enumerate() {
        let builder =
            Group::builder("watched").member_name(["a", "b", "c"][i]).contacts(addrs.iter().copied());
        let keys = stack.contains("encrypted").then(|| PreShared::new(&[7; 32]).unwrap());
        let keys = keys.map(|k| Arc::new(k) as Arc<dyn Keys>);
        let builder = builder.expect(3).keys(keys).stack(gcs_stacks::named(stack).unwrap());
        members.push(builder.transport(Recorded(udp, Arc::clone(capture))).start().await.unwrap());
    }
    for (i, (group, _)) in members.iter().enumerate() {
        group.cast(&[i as u8; 100]).await.unwrap();
        group.cast(&[i as u8; 5000]).await.unwrap();
    }
    for (_, events) in &mut members {
        let mut got = 0;
        while got < 6 {
            if let Event::Messages(m) = events.next().await.unwrap() {
                got += m.count;
            }
        }
    }
    members[2].0.leave().await.unwrap();
}

/// What tshark says of each packet: a line of these fields.
fn tshark(file: &Path, stack: &str, fields: &[&str]) -> Option<Vec<String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wireshark/gcs.lua");
    let mut command = Command::new("tshark");
    command.args(["-X", &format!("lua_script:{script}"), "-r"]).arg(file).args(["-T", "fields"]);
    command.args(["-o", &format!("gcs.stack:{stack}"), "-E", "separator=|"]);
    command.args(fields.iter().flat_map(|f| ["-e", f]));
    let out = match command.output() {
        Ok(out) => out,
        Err(e) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "tshark is needed: {e}");
            eprintln!("SKIPPED, needs tshark: {e}");
            return None;
        }
    };
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && !errors.contains("Lua: Error"), "{errors}");
    Some(String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// In a closed group the dissector shows who talks, and nobody what is said.
#[test]
fn what_a_closed_group_says_is_hidden() {
    let capture = Arc::new(Mutex::new(Capture::new()));
    let stack = "total+uniform+encrypted";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(30), a_group(stack, &capture)).await.unwrap();
    });
    let bytes = capture.lock().unwrap().0.clone();
    for i in 0..3_u8 {
        // Messages of member 0 are zeros, as are unused header fields elsewhere.
        assert!(i == 0 || !bytes.windows(50).any(|w| w == [i; 50]), "what member {i} has cast can be read");
    }
    assert!(!bytes.windows(9).any(|w| w == b"heartbeat"), "the joiners' stack can be read");
    let name = format!("hidden-{}.pcap", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, &bytes).unwrap();
    let Some(lines) = tshark(&file, stack, &["_ws.col.Info", "gcs.seal.counter", "_ws.expert.message"])
    else {
        return;
    };
    fs::remove_file(&file).unwrap();
    for what in ["INTRODUCTION|", "SEALED|", "sealed, of rank 2, view 1|"] {
        assert!(lines.iter().any(|l| l.contains(what)), "no {what} among\n{}", lines.join("\n"));
    }
    assert!(lines.iter().all(|l| l.ends_with('|')), "nothing to complain of");
}

#[test]
fn what_a_group_says_is_understood() {
    for (stack, order) in [
        ("total+uniform", "ORDER"),
        ("total-slots+uniform", "messages of rank 1"),
        ("fifo+fec", "PARITY 1 of"),
        ("fifo+lateral", "REPAIR of"),
    ] {
        let capture = Arc::new(Mutex::new(Capture::new()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), a_group(stack, &capture)).await.unwrap();
        });
        let name = format!("watched-{}.pcap", std::process::id());
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&file, &capture.lock().unwrap().0).unwrap();
        let fields = [
            "_ws.col.Info",
            "gcs.control.message",
            "gcs.frame.layer",
            "gcs.reliable.seq",
            "gcs.frame.header",
            "_ws.expert.message",
        ];
        let Some(lines) = tshark(&file, stack, &fields) else { return };
        fs::remove_file(&file).unwrap();
        assert!(lines.len() > 20, "{stack}: {} packets", lines.len());
        for line in &lines {
            assert!(
                line.split('|').count() == 6 && line.ends_with('|'),
                "{stack}: nothing to complain of: {line}"
            );
        }
        let has = |what: &str| lines.iter().any(|l| l.contains(what));
        for what in [
            "JOIN|",
            "DECIDE|",
            "PREPARE|",
            "PROMISE|",
            "ACCEPT|",
            "LEAVE|",
            "BEAT|",
            "messages of rank 2",
            order,
        ] {
            assert!(has(what), "{stack}: no {what} among\n{}", lines.join("\n"));
        }
        // Version 2: every frame says how long its header is.
        let frames = lines.iter().filter(|l| l.contains("messages of rank"));
        assert!(
            frames.clone().count() > 0 && frames.clone().all(|l| l.split('|').nth(4) != Some("")),
            "{stack}"
        );
        // Messages are numbered frames; the two of a sender take five at least.
        let numbers =
            lines.iter().filter(|l| l.contains("messages of rank 2")).filter_map(|l| l.split('|').nth(3));
        let highest = numbers.filter_map(|n| n.parse::<u64>().ok()).max();
        assert!(highest.is_some_and(|n| n >= 5), "{stack}: {highest:?}");
    }
}
