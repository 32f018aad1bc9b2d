use super::*;
use crate::blocks::wire::whole;

/// Appends commands to a log; replies with its length and the time.
#[derive(Default)]
struct Log(Vec<u8>);

impl StateMachine for Log {
    fn apply(&mut self, command: &[u8], at: AgreedTime) -> Bytes {
        self.0.extend_from_slice(command);
        Bytes::from(format!("{}@{}", self.0.len(), at.0))
    }
    fn query(&self, _: &[u8], _: AgreedTime) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
    fn snapshot(&self) -> Arc<dyn Snapshot> {
        whole(self.0.clone())
    }
    fn reset(&mut self) {
        self.0.clear();
    }
    fn restore(&mut self, chunk: &[u8]) -> Result<(), RestoreError> {
        self.0.extend_from_slice(chunk);
        Ok(())
    }
}

fn message(counter: u64, stamp_ms: u64, command: &'static str) -> Vec<u8> {
    codec::encode(OpId { client: 1, counter }, 0, stamp_ms, Some(&[Bytes::from(command)]))
}

fn reply(applied: Option<Applied>) -> Bytes {
    match applied {
        Some(Applied::Commands(_, Some(r))) => r[0].clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeated_operation_is_answered_and_not_applied() {
    let mut r = Replica::new(Log::default());
    let first = reply(r.deliver(&message(1, 5, "ab")));
    assert_eq!(first, "2@5");
    assert_eq!(reply(r.deliver(&message(1, 9, "ab"))), first);
    assert_eq!(r.machine.0, b"ab");
}

#[test]
fn agreed_time_never_runs_backwards() {
    let mut r = Replica::new(Log::default());
    assert_eq!(reply(r.deliver(&message(1, 50, "a"))), "1@50");
    assert_eq!(reply(r.deliver(&message(2, 40, "b"))), "2@50");
    r.deliver(&codec::encode(OpId { client: 1, counter: 3 }, 0, 70, None));
    assert_eq!(reply(r.deliver(&message(4, 60, "c"))), "3@70");
}

#[test]
fn a_joiner_continues_where_the_donor_was() {
    let mut donor = Replica::new(Log::default());
    // Enough replies for a header of several chunks.
    for i in 0..800 {
        let big = Bytes::from(vec![b'x'; 1000]);
        let id = OpId { client: 1, counter: i };
        donor.deliver(&codec::encode(id, 0, 50, Some(&[big])));
        donor.sessions.record(id, 0, vec![Bytes::from(vec![1; 1000])]);
    }
    let snapshot = donor.snapshot();
    assert!(snapshot.chunks() > 2);
    let mut joiner = Replica::new(Log::default());
    joiner.deliver(&message(77, 999, "something to forget"));
    for i in 0..snapshot.chunks() {
        joiner.restore(i, &snapshot.chunk(i)).unwrap();
    }
    assert!(joiner.machine.0 == donor.machine.0, "the same log");
    assert!(joiner.sessions == donor.sessions, "the same table");
    let m = message(900, 10, "y");
    assert_eq!(joiner.deliver(&m), donor.deliver(&m));
}

#[test]
fn nonsense_is_counted_and_a_broken_snapshot_is_refused() {
    let mut r = Replica::new(Log::default());
    assert_eq!(r.deliver(b"nonsense"), None);
    assert_eq!(r.malformed, 1);
    assert!(r.restore(0, b"").is_err());
    assert!(r.restore(0, &[1, 0, 0, 0, 0, 0, 0, 0, 9]).is_err());
}
