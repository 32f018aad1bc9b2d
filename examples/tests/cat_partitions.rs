//! A partitionable group of processes on hosts of their own, one of which is cut off and goes on. Needs root, iproute2 and
//! nftables: skipped without, but not where `CI=true`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod processes;

use processes::{Cat, Line, messages, net::Net, since_view};

/// The last view that was printed: whether it is primary, and who has met in it.
fn last(cat: &Cat) -> (Option<bool>, Vec<Vec<String>>) {
    let said = |l: &Line| match l {
        Line::View { primary, merged, .. } => Some((*primary, merged.clone())),
        _ => None,
    };
    cat.lines().iter().rev().find_map(said).unwrap()
}

#[test]
fn both_parts_go_on_and_meet_again() {
    let Some(net) = Net::new() else { return };
    let mut cats = net.three_with(&["--partitionable"]);
    cats[0].send("together");
    cats.iter().for_each(|cat| cat.wait_text("together"));

    net.unplug(2);
    cats[0].wait_view(&["a", "b"]);
    cats[2].wait_view(&["c"]);
    assert_eq!(last(&cats[0]), (Some(true), vec![]));
    assert_eq!(last(&cats[2]), (Some(false), vec![]));
    cats[0].send("of two");
    cats[2].send("of one");
    [&cats[0], &cats[1]].iter().for_each(|cat| cat.wait_text("of two"));
    cats[2].wait_text("of one");

    net.plug(2);
    let view = cats[0].wait_view(&["a", "b", "c"]);
    cats[2].wait_view(&["a", "b", "c"]);
    let (primary, merged) = last(&cats[2]);
    assert_eq!(primary, Some(true));
    assert_eq!(merged, [vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]]);
    cats[2].send("together again");
    for cat in &cats {
        cat.wait_text("together again");
        assert_eq!(messages(&since_view(&cat.lines(), &view)).len(), 1, "what each part said stays there");
    }
    assert!(cats[2].lines().iter().all(|l| !matches!(l, Line::Left { .. })));
    for cat in &mut cats {
        cat.leaves();
    }
}
