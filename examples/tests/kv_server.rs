//! The server over a loopback socket: pipelines, order, bounds, and what clients are told when there is no answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use gcs_examples::kv::server::{BackendError, Limits};
use redis_protocol::resp2::types::OwnedFrame;
use support::{Client, request, start};

fn error_of(reply: Option<OwnedFrame>) -> String {
    match reply {
        Some(OwnedFrame::Error(text)) => text,
        other => panic!("an error, not {other:?}"),
    }
}

fn text(text: &str) -> OwnedFrame {
    OwnedFrame::SimpleString(text.into())
}

fn bulk(text: &str) -> OwnedFrame {
    OwnedFrame::BulkString(text.into())
}

#[test]
fn a_pipeline_is_answered_in_order_and_by_few_calls() {
    let server = start(Limits::default());
    let mut client = Client::connect(server.address);
    let mut bytes = Vec::new();
    for number in 0..5000 {
        bytes.extend(request(&[b"SET", b"key", number.to_string().as_bytes()]));
        bytes.extend(b"PING\r\n");
        bytes.extend(request(&[b"GET", b"key"]));
        bytes.extend(request(&[b"NONESUCH"]));
    }
    client.send(&bytes);
    for number in 0..5000 {
        assert_eq!(client.receive(), Some(text("OK")));
        assert_eq!(client.receive(), Some(text("PONG")));
        assert_eq!(client.receive(), Some(bulk(&number.to_string())), "a read sees the write before it");
        assert!(error_of(client.receive()).starts_with("ERR unknown command 'NONESUCH'"));
    }
    let calls = &server.backend.script.lock().unwrap().calls;
    assert_eq!(calls.iter().map(|(_, commands)| commands).sum::<usize>(), 10_000);
    assert!(calls.iter().all(|(write, commands)| *write && *commands <= 1024));
    assert!(calls.len() < 500, "{} calls", calls.len());
}

#[test]
fn reads_alone_are_reads() {
    let server = start(Limits::default());
    let mut client = Client::connect(server.address);
    client.send(b"GET a\r\nMGET a b\r\nPING\r\n");
    (0..3).for_each(|_| drop(client.receive()));
    client.send(b"GET a\r\nSET a b\r\n");
    (0..2).for_each(|_| drop(client.receive()));
    let calls = server.backend.script.lock().unwrap().calls.clone();
    let (last, before) = calls.split_last().unwrap();
    assert!(last.0, "with a write, all are writes");
    assert_eq!(
        before.iter().map(|(write, commands)| usize::from(!write) * commands).sum::<usize>() + last.1,
        4
    );
}

#[test]
fn each_command_of_a_failed_batch_is_told_why() {
    let server = start(Limits::default());
    let mut client = Client::connect(server.address);
    let mut fail = |error: BackendError| {
        server.backend.script.lock().unwrap().error = Some(error);
        client
            .send(&[request(&[b"SET", b"a", b"1"]), b"PING\r\n".to_vec(), request(&[b"GET", b"a"])].concat());
        let first = error_of(client.receive());
        assert_eq!(client.receive(), Some(text("PONG")), "the server itself goes on");
        assert_eq!(error_of(client.receive()), first);
        first
    };
    let why = "1 of 3 members\r\nis reachable".to_owned();
    assert_eq!(
        fail(BackendError::NoQuorum { why: why.clone() }),
        "CLUSTERDOWN no quorum: 1 of 3 members  is reachable; nothing was applied, try again or at another replica"
    );
    assert!(fail(BackendError::Busy { why: why.clone() }).starts_with("TRYAGAIN too busy: 1 of 3"));
    assert!(
        fail(BackendError::OutcomeUnknown { why })
            .starts_with("UNKNOWN the write may or may not have been applied: 1 of 3")
    );
}

#[test]
fn what_is_not_resp_is_refused_after_what_came_before_it() {
    let server = start(Limits { max_request_bytes: 1000, ..Limits::default() });
    for (garbage, told) in [
        (&b"*1\r\n*1\r\n"[..], "ERR Protocol error: expected '$', got '*'"),
        (b"*2\r\n$3\r\nGET\r\n$1001\r\n", "ERR Protocol error: invalid bulk length"),
        (b"GET \"a\r\n", "ERR Protocol error: unbalanced quotes in request"),
        (&[b'x'; 1 << 20], "ERR Protocol error: too big inline request"),
    ] {
        let mut client = Client::connect(server.address);
        client.send(&[b"SET a b\r\n", garbage].concat());
        assert_eq!(client.receive(), Some(text("OK")));
        assert_eq!(error_of(client.receive()), told);
        assert_eq!(client.receive(), None, "and the connection is closed");
    }
    assert_eq!(Client::connect(server.address).ask(&[b"GET", b"a"]), bulk("b"), "others are not concerned");
}

#[test]
fn quit_is_answered_and_what_follows_it_is_not() {
    let server = start(Limits::default());
    let mut client = Client::connect(server.address);
    client.send(b"SET a b\r\nQUIT\r\nSET a c\r\n");
    assert_eq!(
        [client.receive(), client.receive(), client.receive()],
        [Some(text("OK")), Some(text("OK")), None]
    );
    assert_eq!(Client::connect(server.address).ask(&[b"GET", b"a"]), bulk("b"));
}

#[test]
fn one_connection_too_many_is_told_so() {
    let server = start(Limits { max_connections: 2, ..Limits::default() });
    let mut first = Client::connect(server.address);
    let mut second = Client::connect(server.address);
    assert_eq!([first.ask(&[b"PING"]), second.ask(&[b"PING"])], [text("PONG"), text("PONG")]);
    let mut third = Client::connect(server.address);
    assert_eq!(error_of(third.receive()), "ERR max number of clients reached");
    assert_eq!(third.receive(), None);
    first.send(b"QUIT\r\n");
    assert_eq!([first.receive(), first.receive()], [Some(text("OK")), None]);
    // The place is free once the server noticed; until then newcomers are told there is none.
    let deadline = std::iter::repeat_with(|| {
        let mut next = Client::connect(server.address);
        next.send(b"PING\r\n");
        next.receive() == Some(text("PONG"))
    });
    assert!(deadline.take(1000).any(|served| served));
}

#[test]
fn large_values_and_replies_pass() {
    let server = start(Limits::default());
    let mut client = Client::connect(server.address);
    let value = vec![b'x'; 8 << 20];
    assert_eq!(client.ask(&[b"SET", b"large", &value]), text("OK"));
    client.send(&request(&[b"GET", b"large"]).repeat(8));
    for _ in 0..8 {
        assert_eq!(client.receive(), Some(OwnedFrame::BulkString(value.clone())));
    }
}
