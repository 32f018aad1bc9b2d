//! The server against real clients: redis-cli, redis-benchmark, and the same commands through a real redis-server.
//!
//! Without those programs the tests say so and pass; with CI=true they fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use gcs_examples::kv::server::Limits;
use redis_protocol::resp2::types::OwnedFrame;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use support::{Client, available, start};

fn redis_cli(address: SocketAddr, args: &[&str]) -> String {
    let port = address.port().to_string();
    let output =
        Command::new("redis-cli").args(["-h", "127.0.0.1", "-p", &port]).args(args).output().unwrap();
    assert!(output.status.success(), "redis-cli {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn redis_cli_works() {
    if !available("redis-cli") {
        return;
    }
    let server = start(Limits::default());
    let cli = |args: &[&str]| redis_cli(server.address, args);
    assert_eq!(cli(&["PING"]), "PONG");
    assert_eq!(cli(&["SET", "greeting", "hello world", "EX", "100"]), "OK");
    assert_eq!(cli(&["GET", "greeting"]), "hello world");
    assert_eq!(cli(&["TTL", "greeting"]), "100");
    assert_eq!(cli(&["--no-raw", "INCR", "n"]), "(integer) 1");
    assert_eq!(cli(&["--no-raw", "GET", "none"]), "(nil)");
    assert_eq!(cli(&["HSET", "h", "a", "1", "b", "2"]), "2");
    assert_eq!(cli(&["HGETALL", "h"]), "a\n1\nb\n2");
    assert_eq!(cli(&["-n", "0", "DBSIZE"]), "3");
    assert!(cli(&["-n", "1", "PING"]).contains("PONG"), "a refused SELECT is told and survived");
    assert!(cli(&["GET"]).contains("ERR wrong number of arguments for 'get' command"));
    assert!(cli(&["INFO"]).contains("db0:keys=3"));
    assert_eq!(cli(&["CONFIG", "GET", "save"]), "save");
    assert_eq!(cli(&["COMMAND", "DOCS", "get"]), "");
    assert!(cli(&["COMMAND"]).contains("hgetall"));
    for number in 0..100 {
        server_set(&server, number);
    }
    assert_eq!(cli(&["--scan", "--pattern", "k:*"]).lines().count(), 100);
    assert!(cli(&["--bigkeys"]).contains("Sampled 103 keys"));
}

fn server_set(server: &support::Running, number: u32) {
    let reply = Client::connect(server.address).ask(&[b"SET", format!("k:{number}").as_bytes(), b"v"]);
    assert_eq!(reply, OwnedFrame::SimpleString("OK".into()));
}

#[test]
fn redis_cli_reads_commands_and_mass_insertion_from_its_input() {
    if !available("redis-cli") {
        return;
    }
    let server = start(Limits::default());
    let run = |args: &[&str], input: &[u8]| {
        let port = server.address.port().to_string();
        let mut command = Command::new("redis-cli");
        command
            .args(["-h", "127.0.0.1", "-p", &port])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(run(&[], b"SET a 1\nINCR a\nGET a\n"), "OK\n2\n2\n");
    let mut many = String::new();
    (0..20_000)
        .for_each(|number| write!(many, "*3\r\n$3\r\nSET\r\n$5\r\n{number:05}\r\n$1\r\nv\r\n").unwrap());
    assert!(run(&["--pipe"], many.as_bytes()).contains("errors: 0, replies: 20000"));
    assert_eq!(redis_cli(server.address, &["DBSIZE"]), "20001");
}

#[test]
fn redis_benchmark_runs_through() {
    if !available("redis-benchmark") {
        return;
    }
    let server = start(Limits::default());
    let port = server.address.port().to_string();
    let tests = "set,get,incr,lpush,hset,mset";
    let output = Command::new("redis-benchmark")
        .args(["-h", "127.0.0.1", "-p", &port, "-P", "64", "-n", "20000", "-r", "1000", "-q", "-t", tests])
        .output()
        .unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    assert!(!errors.to_lowercase().contains("warn") && !told.contains("Error"), "{told}\n{errors}");
    for test in ["SET", "GET", "INCR", "LPUSH", "HSET", "MSET"] {
        let line =
            told.split(['\r', '\n']).find(|line| line.starts_with(test) && line.contains("per second"));
        println!("{}", line.unwrap_or_else(|| panic!("no result for {test}: {told}")));
    }
    let length = Client::connect(server.address).ask(&[b"LLEN", b"mylist"]);
    assert!(matches!(length, OwnedFrame::Integer(20_000..)), "{length:?}");
}

/// A real server on a port of its own, with nothing on disk.
struct RedisServer(Child, SocketAddr);

impl RedisServer {
    fn start() -> Self {
        let address = gcs::net::unused_addr(Ipv4Addr::LOCALHOST.into()).unwrap();
        let port = address.port().to_string();
        let mut child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = log.any(|line| line.is_ok_and(|line| line.contains("Ready to accept connections")));
        assert!(ready && TcpStream::connect(address).is_ok(), "redis-server did not start");
        Self(child, address)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether two replies say the same. Remaining times may differ by a second: the two are not asked at the same moment.
fn same(name: &str, theirs: &OwnedFrame, mine: &OwnedFrame) -> bool {
    match (name, theirs, mine) {
        ("TTL", OwnedFrame::Integer(theirs @ 1..), OwnedFrame::Integer(mine @ 1..)) => {
            (theirs - mine).abs() <= 1
        }
        ("PTTL", OwnedFrame::Integer(theirs @ 1..), OwnedFrame::Integer(mine @ 1..)) => {
            (theirs - mine).abs() <= 1000
        }
        _ => theirs == mine,
    }
}

/// Replies whose order Redis leaves open are sorted.
fn comparable(name: &str, reply: OwnedFrame) -> OwnedFrame {
    match (name, reply) {
        ("KEYS" | "SMEMBERS" | "HKEYS" | "HVALS", OwnedFrame::Array(mut elements)) => {
            elements.sort_by_key(|element| format!("{element:?}"));
            OwnedFrame::Array(elements)
        }
        ("HGETALL", OwnedFrame::Array(elements)) => {
            let mut pairs: Vec<_> = elements.chunks(2).map(<[_]>::to_vec).collect();
            pairs.sort_by_key(|pair| format!("{pair:?}"));
            OwnedFrame::Array(pairs.concat())
        }
        ("SCAN", OwnedFrame::Array(mut parts)) => {
            let keys = parts.pop().map(|keys| comparable("KEYS", keys));
            OwnedFrame::Array(parts.into_iter().chain(keys).collect())
        }
        (_, reply) => reply,
    }
}

/// Asks both servers the same; appends to `different` what they do not agree about.
fn compare(real: &mut Client, ours: &mut Client, line: &str, different: &mut String) {
    let args: Vec<Vec<u8>> = line.split(' ').map(|word| word.replace("<>", "").into_bytes()).collect();
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let name = line.split(' ').next().unwrap().to_uppercase();
    let (theirs, mine) = (comparable(&name, real.ask(&args)), comparable(&name, ours.ask(&args)));
    if !same(&name, &theirs, &mine) {
        writeln!(different, "{line}\n  redis: {theirs:?}\n  ours:  {mine:?}").unwrap();
    }
}

#[test]
fn replies_equal_those_of_a_real_redis_server() {
    if !available("redis-server") {
        return;
    }
    let real = RedisServer::start();
    let ours = start(Limits::default());
    let (mut real, mut ours) = (Client::connect(real.1), Client::connect(ours.address));
    let script = include_str!("support/same_as_redis.txt");
    let mut different = String::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        compare(&mut real, &mut ours, line, &mut different);
    }
    assert!(different.is_empty(), "{different}");
}

/// Commands over a few keys, so that types and leftovers meet as no script would have it. Deadlines that are compared
/// are absolute: with relative ones the outcome hangs on which millisecond each server is asked in.
const TEMPLATES: &[&str] = &[
    "SET K V",
    "SET K V NX",
    "SET K V XX GET",
    "SET K N",
    "GET K",
    "GETSET K V",
    "GETDEL K",
    "SETNX K V",
    "APPEND K V",
    "STRLEN K",
    "MSET K V K N",
    "MGET K K K",
    "INCR K",
    "DECR K",
    "INCRBY K N",
    "DECRBY K N",
    "DEL K K",
    "EXISTS K K",
    "TYPE K",
    "HSET K V N",
    "HSET K V N N V",
    "HGET K V",
    "HDEL K V N",
    "HGETALL K",
    "HLEN K",
    "HEXISTS K V",
    "HINCRBY K V N",
    "HMGET K V N",
    "HKEYS K",
    "HVALS K",
    "LPUSH K V N",
    "RPUSH K N V",
    "LPOP K",
    "RPOP K",
    "LPOP K N",
    "RPOP K N",
    "LRANGE K N -N",
    "LRANGE K -N N",
    "LINDEX K N",
    "LINDEX K -N",
    "LLEN K",
    "SADD K V N",
    "SREM K V N",
    "SMEMBERS K",
    "SISMEMBER K V",
    "SCARD K",
    "EXPIREAT K 4102445000",
    "EXPIREAT K 4102446000 GT",
    "EXPIREAT K 4102444500 LT",
    "EXPIREAT K 4102444900 NX",
    "PERSIST K",
    "TTL K",
    "EXPIRE K -1",
    "KEYS *",
    "KEYS k[1-3]",
    "DBSIZE",
    "SCAN 0 COUNT 10000",
    "HINCRBY K V V",
    "SET K V EX 100",
    "SET K V KEEPTTL",
    "LPOP K -N",
    "INCRBY K V",
    "LRANGE K V N",
    "HSET K V",
    "FLUSHALL",
];

#[test]
fn any_mix_of_commands_is_answered_as_by_a_real_redis_server() {
    if !available("redis-server") {
        return;
    }
    let real = RedisServer::start();
    let ours = start(Limits::default());
    let (mut real, mut ours) = (Client::connect(real.1), Client::connect(ours.address));
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % bound
    };
    let mut different = String::new();
    for _ in 0..20_000 {
        let template = TEMPLATES[below(TEMPLATES.len() as u64) as usize];
        // Forgetting everything each time it comes up would leave too little to meet.
        if template == "FLUSHALL" && below(20) > 0 {
            continue;
        }
        let words = template.split(' ').map(|word| match word {
            "K" => format!("k{}", below(8)),
            "V" => format!("v{}", below(6)),
            "N" => below(9).to_string(),
            "-N" => format!("-{}", below(9) + 1),
            word => word.to_owned(),
        });
        let line = words.collect::<Vec<_>>().join(" ");
        compare(&mut real, &mut ours, &line, &mut different);
    }
    assert!(different.is_empty(), "{different}");
}
