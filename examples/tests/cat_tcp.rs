//! Members on hosts whose firewalls drop UDP. Needs root, iproute2 and nftables: skipped without, but not where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Cat, agree, free_addrs, net::Net};
use std::process::Command;

/// What a process says of itself.
fn probe(path: &str) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_gcs-cat")).args(["--probe", path]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// One is killed under load; the two others agree on everything, and a new one joins them.
fn killed_and_replaced(mut cats: [Cat; 3], another: impl FnOnce() -> Cat) {
    let loads = cats.each_ref().map(|cat| cat.load(&format!("{}-", cat.name)));
    cats[2].wait_messages("a", 500);
    cats[0].kill();
    let view = cats[1].wait_view(&["b", "c"]);
    assert_eq!(cats[2].wait_view(&["b", "c"]), view);
    cats[1].wait_messages("c", cats[1].texts_from("c").len() + 200);
    let d = another();
    let view = d.wait_view(&["b", "c", "d"]);
    d.send("d is here");
    let [_, b, c] = &cats;
    for cat in [b, c, &d] {
        cat.wait_text("d is here");
        assert_eq!(cat.wait_view(&["b", "c", "d"]), view);
    }
    let [_, of_b, of_c] = loads.map(processes::Load::end);
    agree(&[b, c], &[of_b, of_c]);
    d.wait_text("end");
    let since = |cat: &Cat| processes::messages(&processes::since_view(&cat.lines(), &view));
    assert!(since(&d) == since(b), "since it is there it delivers what the others do");
}

#[test]
fn where_udp_is_dropped_a_group_works_over_tcp() {
    let Some(net) = Net::new() else { return };
    (0..3).for_each(|i| net.drop_udp(i));
    let tcp = ["--transport", "tcp"];
    let cats = net.three_with(&tcp);
    let long = "x".repeat(300_000);
    cats[0].send(&long);
    cats.iter().for_each(|cat| cat.wait_text(&long));
    killed_and_replaced(cats, || net.start(0, "d").with(&tcp).spawn());
    for i in 0..3 {
        assert_eq!(net.dropped(i), 0, "nobody even tries UDP");
    }
}

#[test]
fn a_group_of_which_one_member_has_no_udp() {
    let Some(net) = Net::new() else { return };
    net.drop_udp(2);
    let both = ["--transport", "both"];
    let cats = net.three_with(&both);
    killed_and_replaced(cats, || net.start(0, "d").with(&both).spawn());
    assert!(net.dropped(2) > 0, "UDP was tried");
}

#[test]
fn udp_that_is_dropped_later_is_replaced_by_tcp_and_comes_back() {
    let Some(net) = Net::new() else { return };
    let path = std::env::temp_dir().join(format!("gcs-cat-tcp-{}", std::process::id()));
    let path = path.to_str().unwrap();
    let cats = [0, 1, 2].map(|i| {
        let start = net.start(i, ["a", "b", "c"][i]).expect(3).with(&["--transport", "both"]);
        if i == 0 { start.with(&["--control", path]) } else { start }.spawn()
    });
    cats.iter().for_each(|cat| drop(cat.wait_view(&["a", "b", "c"])));
    let over_tcp = |wanted: &str| {
        let mut last = String::new();
        let found = (0..400).any(|i| {
            cats[0].send(&format!("{wanted} {i}"));
            cats[2].wait_text(&format!("{wanted} {i}"));
            last = probe(path);
            last.contains(&format!("addresses sent to over TCP: {wanted}"))
        });
        assert!(found, "{last}");
    };
    over_tcp("0");
    net.drop_udp(2);
    over_tcp("1");
    net.undeafen(2);
    over_tcp("0");
    let [a, b, c] = &cats;
    b.send("all");
    [a, b, c].iter().for_each(|cat| cat.wait_text("all"));
}

#[test]
fn over_tcp_on_loopback_members_leave_as_they_should() {
    let mut addrs = free_addrs::<3>();
    addrs.sort();
    let mut names = ["a", "b", "c"].into_iter();
    let mut cats = addrs.map(|addr| {
        let start = processes::Start::new("tcp", names.next().unwrap(), addr).contacts(&addrs).expect(3);
        start.with(&["--transport", "tcp"]).spawn()
    });
    for cat in &cats {
        cat.wait_view(&["a", "b", "c"]);
        cat.send_lines(&(0..2000).map(|i| format!("{} {i}", cat.name)).collect::<Vec<_>>());
    }
    for cat in &cats {
        cats.iter().for_each(|from| cat.wait_messages(&from.name, 2000));
    }
    let all = cats[0].messages();
    assert!(cats.iter().all(|c| c.messages() == all), "the order differs");
    cats.iter_mut().for_each(Cat::leaves);
}
