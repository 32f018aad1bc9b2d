//! Ports for connections of our own do not run out because old ones are remembered.

use gcs::time::Time;
use gcs_tcp_endpoint::tcp::{Config, Event, Host, Id, Reason};

/// Segments go to and fro until there are none.
fn settle(now: Time, ours: &mut Host, theirs: &mut Host) -> Vec<Event> {
    let (mut events, mut to_them) = (Vec::new(), Vec::new());
    ours.finish(&mut to_them);
    while !to_them.is_empty() {
        let mut to_us = Vec::new();
        theirs.begin(now);
        to_them.drain(..).for_each(|s| theirs.segment(&s));
        while let Some(event) = theirs.event() {
            if let Event::Finished(id) = event {
                theirs.shutdown(id);
            }
        }
        theirs.finish(&mut to_us);
        ours.begin(now);
        to_us.iter().for_each(|s| ours.segment(s));
        events.extend(std::iter::from_fn(|| ours.event()));
        ours.finish(&mut to_them);
    }
    events
}

#[test]
fn more_connections_than_ports_within_the_time_of_remembering() {
    let server = "10.0.0.21:80".parse().expect("an address");
    let (mut ours, mut theirs) =
        (Host::new(Config::default(), [1; 32]), Host::new(Config::default(), [2; 32]));
    theirs.listen(server);
    let mut now = Time::from_ms(1);
    let mut once = |ours: &mut Host, ms: u64| -> Option<Id> {
        now = Time(now.0 + ms * 1_000_000);
        ours.begin(now);
        let id = ours.connect([10, 0, 0, 100].into(), server).ok()?;
        assert_eq!(settle(now, ours, &mut theirs), [Event::Connected(id)]);
        ours.begin(now);
        ours.shutdown(id);
        let ended = [Event::Finished(id), Event::Gone(id, Reason::Ended)];
        assert_eq!(settle(now, ours, &mut theirs), ended, "we ended first, and remember it");
        Some(id)
    };
    for n in 0..20_000 {
        assert!(once(&mut ours, 1).is_some(), "no port for connection {n}");
    }
    assert!(ours.remembered() > 16_000);
    // Within a second the peer's clock may not have ticked.
    assert!((0..16_384).any(|_| once(&mut ours, 0).is_none()), "one that ended just now was taken");
}
