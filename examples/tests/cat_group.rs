//! Members come, go, die, stop and come back: real processes on one machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Cat, Line, Start, agree, check_output, free_addrs, last_view, messages, since_view, three};

fn numbered(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}{i}")).collect()
}

#[test]
fn all_print_the_same_and_leave_at_the_end_of_input() {
    let mut cats = three("order", &free_addrs());
    for cat in &cats {
        cat.send_lines(&numbered(&format!("{}-", cat.name), 500));
    }
    for cat in &cats {
        for from in ["a", "b", "c"] {
            cat.wait_messages(from, 500);
        }
        check_output(&cat.lines());
        for from in ["a", "b", "c"] {
            assert_eq!(cat.texts_from(from), numbered(&format!("{from}-"), 500));
        }
    }
    let all = cats[0].messages();
    assert_eq!(all.len(), 1500);
    assert!(all == cats[1].messages() && all == cats[2].messages(), "the order differs");
    let [a, b, c] = &mut cats;
    a.leaves();
    b.wait_view(&["b", "c"]);
    c.leaves();
    b.wait_view(&["b"]);
    b.leaves();
}

#[test]
fn what_was_sent_is_delivered_before_leaving() {
    let mut cats = three("eof", &free_addrs());
    for cat in &cats {
        cat.send_lines(&numbered(&format!("{}-", cat.name), 5000));
        cat.close();
    }
    for cat in &mut cats {
        cat.leaves();
        check_output(&cat.lines());
        assert_eq!(cat.texts_from(&cat.name).len(), 5000);
    }
}

#[test]
fn the_coordinator_is_killed_under_load() {
    let [mut a, b, c] = three("kill", &free_addrs());
    let loads = [&a, &b, &c].map(|cat| cat.load(&format!("{}-", cat.name)));
    c.wait_messages("a", 500);
    a.kill();
    let views = [&b, &c].map(|cat| cat.wait_view(&["b", "c"]));
    assert_eq!(views[0], views[1]);
    b.wait_messages("c", c.texts_from("c").len() + 500);
    let [_, of_b, of_c] = loads.map(processes::Load::end);
    agree(&[&b, &c], &[of_b, of_c]);
    let (dead, alive) = (a.messages(), b.messages());
    assert!(alive.starts_with(&dead), "what the killed one delivered, the survivors did, in that order");
}

#[test]
fn a_stopped_member_is_excluded_and_comes_back() {
    let [a, b, c] = three("stop", &free_addrs());
    let loads = [&a, &b].map(|cat| cat.load(&format!("{}-", cat.name)));
    c.wait_messages("a", 200);
    c.signal("STOP");
    let views = [&a, &b].map(|cat| cat.wait_view(&["a", "b"]));
    assert_eq!(views[0], views[1]);
    a.wait_messages("b", b.texts_from("b").len() + 200);
    c.signal("CONT");
    let back = a.wait("c in a later view", |lines| {
        let (id, members) = last_view(&since_view(lines, &views[0]))?;
        (members.len() == 3).then_some(id)
    });
    b.wait_view(&["a", "b", "c"]);
    let reborn = c.wait("the view with its new incarnation", |lines| {
        lines.iter().find(|l| matches!(l, Line::View { id, .. } if *id == back)).cloned()
    });
    assert!(matches!(reborn, Line::View { came_with, .. } if came_with == ["c"]));
    c.send("here again");
    [&a, &b, &c].iter().for_each(|cat| cat.wait_text("here again"));
    let sent = loads.map(processes::Load::end);
    agree(&[&a, &b], &sent);
    c.wait_text("end");
    let after = |cat: &Cat| messages(&since_view(&cat.lines(), &back));
    check_output(&c.lines());
    assert!(after(&c) == after(&a), "since it is back it delivers what the others do");
}

#[test]
fn a_killed_member_is_restarted() {
    let addrs = free_addrs();
    let [a, b, mut c] = three("restart", &addrs);
    let at = *addrs.iter().max().unwrap();
    let load = a.load("a-");
    c.kill();
    b.wait_view(&["a", "b"]);
    let mut c = Start::new("restart", "c", at).contacts(&addrs).spawn();
    let view = c.wait_view(&["a", "b", "c"]);
    assert_eq!(a.wait_view(&["a", "b", "c"]), view);
    // And again, without waiting for the others to notice.
    c.kill();
    let mut c = Start::new("restart", "c", at).contacts(&addrs).spawn();
    let later = c.wait_view(&["a", "b", "c"]);
    assert_ne!(view, later);
    for cat in [&a, &b] {
        cat.wait("the same view", |lines| (last_view(lines)?.0 == later).then_some(()));
    }
    c.send("back");
    [&a, &b, &c].iter().for_each(|cat| cat.wait_text("back"));
    agree(&[&a, &b], &[load.end(), Vec::new()]);
    c.leaves();
}

fn pair(group: &str) -> [Cat; 2] {
    let mut addrs = free_addrs::<2>();
    addrs.sort();
    let mut names = ["old", "young"].into_iter();
    let cats =
        addrs.map(|addr| Start::new(group, names.next().unwrap(), addr).contacts(&addrs).expect(2).spawn());
    for cat in &cats {
        cat.wait_view(&["old", "young"]);
    }
    let (_, members) = last_view(&cats[0].lines()).unwrap();
    assert_eq!(members, ["old", "young"], "the lowest address is the founder");
    cats
}

#[test]
fn of_a_pair_the_older_goes_on() {
    let [mut old, mut young] = pair("younger-dies");
    young.kill();
    old.wait_view(&["old"]);
    old.send("alone");
    old.wait_text("alone");
    old.leaves();
}

#[test]
fn of_a_pair_the_younger_is_blocked() {
    let [mut old, mut young] = pair("older-dies");
    old.kill();
    young.send("not to be delivered");
    young.wait("blocked", |lines| lines.contains(&Line::Blocked).then_some(()));
    young.signal("TERM");
    let (code, complaint) = young.ended();
    assert_eq!(code, Some(1), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(young.messages().is_empty());
    assert_eq!(young.view_count(), 1);
}

#[test]
fn all_leave_at_once() {
    for round in 0..10 {
        let [a, b, c] = three(&format!("exodus{round}"), &free_addrs());
        for cat in [&a, &b, &c] {
            cat.close();
        }
        for mut cat in [a, b, c] {
            cat.leaves();
        }
    }
}

#[test]
fn a_signal_makes_it_leave() {
    let [mut a, b, c] = three("signal", &free_addrs());
    a.send("last words");
    a.wait_text("last words");
    a.signal("INT");
    assert_eq!(a.ended(), (Some(0), String::new()));
    for cat in [&b, &c] {
        cat.wait_view(&["b", "c"]);
        cat.wait_text("last words");
    }
}
