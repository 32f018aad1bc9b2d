//! Members on hosts of their own, whose cables are pulled. Needs root, iproute2 and nftables: skipped without, but not
//! where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Cat, Line, agree, last_view, net::Net, since_view};

/// A message that takes many frames of an Ethernet.
fn large(name: &str) -> String {
    format!("{name}{}", "x".repeat(200_000))
}

/// Waits until all are in one view of three that is later than `view`, and returns its name.
fn one_view_after(cats: &[Cat; 3], view: &str) -> String {
    let number = |id: &str| id.split_once('.').unwrap().1.parse::<u64>().unwrap();
    let mut least = number(view) + 1;
    loop {
        let ids = cats.each_ref().map(|cat| {
            cat.wait("all three in one view", |lines| {
                let (id, members) = last_view(lines)?;
                (members.len() == 3 && number(&id) >= least).then_some(id)
            })
        });
        if ids.iter().all(|id| *id == ids[0]) {
            return ids[0].clone();
        }
        // One more view has followed: all will get there.
        least = ids.iter().map(|id| number(id)).max().unwrap();
    }
}

fn blocked(cat: &Cat) {
    cat.wait("blocked", |lines| {
        lines
            .iter()
            .rfind(|l| matches!(l, Line::Blocked | Line::Resumed | Line::View { .. }))
            .filter(|l| matches!(l, Line::Blocked))
            .map(drop)
    });
}

#[test]
fn over_an_ethernet() {
    let Some(net) = Net::new() else { return };
    let mut cats = net.three();
    for cat in &cats {
        cat.send_lines(&(0..3000).map(|i| format!("{} {i}", cat.name)).collect::<Vec<_>>());
        cat.send(&large(&cat.name));
    }
    for cat in &cats {
        cats.iter().for_each(|from| cat.wait_messages(&from.name, 3001));
        assert_eq!(cat.texts_from("b")[3000], large("b"));
    }
    let all = cats[0].messages();
    assert!(cats.iter().all(|c| c.messages() == all), "the order differs");
    for cat in &mut cats {
        cat.leaves();
    }
}

#[test]
fn a_cut_cable_blocks_the_minority_until_it_is_mended() {
    let Some(net) = Net::new() else { return };
    let cats = net.three();
    let [a, b, c] = &cats;
    let loads = [a, b].map(|cat| cat.load(&format!("{}-", cat.name)));
    c.wait_messages("b", 100);
    net.unplug(2);
    let view = a.wait_view(&["a", "b"]);
    assert_eq!(b.wait_view(&["a", "b"]), view);
    blocked(c);
    a.wait_messages("b", b.texts_from("b").len() + 200);
    net.plug(2);
    let healed = one_view_after(&cats, &view);
    c.send("here again");
    cats.iter().for_each(|cat| cat.wait_text("here again"));
    let sent = loads.map(processes::Load::end);
    agree(&[a, b], &sent);
    c.wait_text("end");
    let after = |cat: &Cat| processes::messages(&since_view(&cat.lines(), &healed));
    assert!(after(c) == after(a), "since it is back it delivers what the others do");
}

#[test]
fn the_coordinator_is_cut_off() {
    let Some(net) = Net::new() else { return };
    let cats = net.three();
    let [a, b, c] = &cats;
    let loads = [b, c].map(|cat| cat.load(&format!("{}-", cat.name)));
    a.wait_messages("b", 100);
    net.unplug(0);
    let view = b.wait_view(&["b", "c"]);
    assert_eq!(c.wait_view(&["b", "c"]), view);
    blocked(a);
    net.plug(0);
    let healed = one_view_after(&cats, &view);
    a.send("here again");
    cats.iter().for_each(|cat| cat.wait_text("here again"));
    let sent = loads.map(processes::Load::end);
    agree(&[b, c], &sent);
    a.wait_text("end");
    let after = |cat: &Cat| processes::messages(&since_view(&cat.lines(), &healed));
    assert!(after(a) == after(b), "since it is back it delivers what the others do");
}

#[test]
fn a_small_mtu_on_the_way_is_found() {
    let Some(net) = Net::new() else { return };
    net.set_mtu(0, 1300);
    let path = std::env::temp_dir().join(format!("gcs-cat-mtu-{}", std::process::id()));
    let path = path.to_str().unwrap();
    let cats = [0, 1, 2].map(|i| {
        let start = net.start(i, ["a", "b", "c"][i]).expect(3);
        if i == 0 { start.with(&["--control", path]) } else { start }.spawn()
    });
    cats.iter().for_each(|cat| drop(cat.wait_view(&["a", "b", "c"])));
    let out =
        std::process::Command::new(env!("CARGO_BIN_EXE_gcs-cat")).args(["--probe", path]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("largest datagram: 1272\n"), "{text}");
}

// c hears nobody, or not a, so it has to go; whoever hears c echoes its heartbeats no more once it wants to replace it, or
// c's lease would never end.
#[test]
fn a_member_that_hears_nobody_is_excluded() {
    let Some(net) = Net::new() else { return };
    let cats = net.three();
    let [a, b, c] = &cats;
    net.deafen(2, &[0, 1]);
    let view = a.wait_view(&["a", "b"]);
    assert_eq!(b.wait_view(&["a", "b"]), view);
    blocked(c);
    let views = a.view_count();
    // Its knocking does not let it in, and does not disturb.
    for i in 0..100 {
        a.send(&format!("a{i}"));
        b.wait_text(&format!("a{i}"));
    }
    assert_eq!(a.view_count(), views);
    net.undeafen(2);
    one_view_after(&cats, &view);
    agree(&[a, b], &[]);
    c.wait_text("end");
}

#[test]
fn a_link_that_works_one_way_costs_one_member() {
    let Some(net) = Net::new() else { return };
    let cats = net.three();
    let [a, b, c] = &cats;
    // c does not hear a; all other directions work.
    net.deafen(2, &[0]);
    let (view, members) = b.wait("a view of two", |lines| last_view(lines).filter(|v| v.1.len() == 2));
    assert!(members.contains(&"b".to_owned()), "b hears everybody: {members:?}");
    let stays = if members.contains(&"a".to_owned()) { a } else { c };
    let views = b.view_count();
    for i in 0..100 {
        stays.send(&format!("s{i}"));
        b.wait_text(&format!("s{i}"));
    }
    assert_eq!(b.view_count(), views, "the group does not come to rest");
    net.undeafen(2);
    one_view_after(&cats, &view);
    c.send("heard");
    cats.iter().for_each(|cat| cat.wait_text("heard"));
}
