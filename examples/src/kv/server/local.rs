//! What a connection answers by itself: nothing here depends on the keyspace.

use crate::kv::store::reply::{self, Array};
use crate::kv::store::table::{self, COMMANDS, Command, Kind};
use crate::kv::store::{Fault, glob};
use bytes::Bytes;

/// The version of Redis whose behaviour this follows; clients look at it to see what they may use.
const REDIS_VERSION: &str = "7.0.15";

/// CONFIG GET's answers: nothing is on disk, and the defaults that clients ask for.
const CONFIG: [(&str, &str); 4] =
    [("appendonly", "no"), ("databases", "1"), ("maxmemory", "0"), ("save", "")];

/// Answers a command of kind [`Kind::Local`]. `info` gives the backend's sections for INFO.
pub(super) fn answer(command: &Command, args: &[&[u8]], id: u64, info: impl FnOnce() -> String) -> Bytes {
    let answer = match command.name {
        "ping" => ping(command, args),
        "echo" => Ok(reply::bulk(args[1])),
        "select" => select(args[1]),
        "quit" => Ok(reply::ok()),
        "hello" => hello(args, id),
        "info" => Ok(reply::bulk(info_text(&info()).as_bytes())),
        "client" => client(args, id),
        "config" => config(args),
        "command" => command_info(args),
        name => Err(format!("ERR the server does not answer '{name}'")),
    };
    answer.unwrap_or_else(|error| reply::error(&error))
}

type Answer = Result<Bytes, String>;

fn ping(command: &Command, args: &[&[u8]]) -> Answer {
    match args {
        [_] => Ok(reply::simple("PONG")),
        [_, text] => Ok(reply::bulk(text)),
        _ => Err(Fault::Arguments(command.name).to_string()),
    }
}

/// There is one database, number 0.
fn select(index: &[u8]) -> Answer {
    match str::from_utf8(index).ok().and_then(|text| text.parse::<i64>().ok()) {
        Some(0) => Ok(reply::ok()),
        Some(_) => Err("ERR DB index is out of range".to_owned()),
        None => Err(Fault::NotAnInteger.to_string()),
    }
}

/// `HELLO [2 [SETNAME name]]`. RESP3 is not spoken.
fn hello(args: &[&[u8]], id: u64) -> Answer {
    if let Some(version) = args.get(1) {
        match str::from_utf8(version).ok().and_then(|text| text.parse::<i64>().ok()) {
            Some(2) => {}
            Some(_) => return Err("NOPROTO unsupported protocol version".to_owned()),
            None => return Err("ERR Protocol version is not an integer or out of range".to_owned()),
        }
        match args.get(2..).unwrap_or_default() {
            [] => {}
            [option, _] if option.eq_ignore_ascii_case(b"SETNAME") => {}
            [option, ..] => {
                return Err(format!(
                    "ERR Syntax error in HELLO option '{}'",
                    String::from_utf8_lossy(option)
                ));
            }
        }
    }
    let array = Array::new(14).bulk(b"server").bulk(b"redis").bulk(b"version").bulk(REDIS_VERSION.as_bytes());
    let array = array.bulk(b"proto").integer(2).bulk(b"id").integer(id as i64);
    let array = array.bulk(b"mode").bulk(b"standalone").bulk(b"role").bulk(b"master");
    Ok(array.bulk(b"modules").element(b"*0\r\n").finish())
}

fn info_text(backend: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\ngcs_kv_version:{version}\r\nredis_mode:standalone\r\n\r\n{backend}"
    )
}

/// Names are accepted and forgotten: nothing shows them.
fn client(args: &[&[u8]], id: u64) -> Answer {
    match args[1].to_ascii_uppercase().as_slice() {
        b"SETNAME" | b"SETINFO" => Ok(reply::ok()),
        b"GETNAME" => Ok(reply::nil()),
        b"ID" => Ok(reply::integer(id as i64)),
        _ => Err(unknown_subcommand("CLIENT", args[1])),
    }
}

fn config(args: &[&[u8]]) -> Answer {
    if !args[1].eq_ignore_ascii_case(b"GET") {
        return Err(unknown_subcommand("CONFIG", args[1]));
    }
    let patterns = &args[2..];
    if patterns.is_empty() {
        return Err("ERR wrong number of arguments for 'config|get' command".to_owned());
    }
    let wanted = |name: &str| {
        patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let found: Vec<_> = CONFIG.iter().filter(|(name, _)| wanted(name)).collect();
    let array = Array::new(found.len() * 2);
    let array =
        found.iter().fold(array, |array, (name, value)| array.bulk(name.as_bytes()).bulk(value.as_bytes()));
    Ok(array.finish())
}

fn command_info(args: &[&[u8]]) -> Answer {
    let Some(subcommand) = args.get(1) else {
        let array = Array::new(COMMANDS.len());
        return Ok(COMMANDS.iter().fold(array, |array, command| array.element(&describe(command))).finish());
    };
    match subcommand.to_ascii_uppercase().as_slice() {
        b"COUNT" => Ok(reply::count(COMMANDS.len())),
        b"DOCS" => Ok(Array::new(0).finish()),
        b"LIST" => Ok(reply::bulks(COMMANDS.iter().map(|command| command.name.as_bytes()))),
        b"INFO" => {
            let names = &args[2..];
            let array = Array::new(names.len());
            let array = names.iter().fold(array, |array, name| match table::by_name(name) {
                Some(command) => array.element(&describe(command)),
                None => array.element(&reply::nil_array()),
            });
            Ok(array.finish())
        }
        _ => Err(unknown_subcommand("COMMAND", subcommand)),
    }
}

/// Name, arity, flags, first key, last key, step; then, as from Redis 7 on, what is told of none of them: ACL
/// categories, tips, key specifications, subcommands.
fn describe(command: &Command) -> Bytes {
    let flag: &[u8] = match command.kind() {
        Kind::Local => b"+fast",
        Kind::Read => b"+readonly",
        Kind::Write => b"+write",
    };
    let (first, last, step) = command.keys;
    let array = Array::new(10).bulk(command.name.as_bytes()).integer(command.arity.into());
    let array = array.element(&[b"*1\r\n", flag, b"\r\n"].concat());
    let array = array.integer(first.into()).integer(last.into()).integer(step.into());
    (0..4).fold(array, |array, _| array.element(b"*0\r\n")).finish()
}

fn unknown_subcommand(command: &str, subcommand: &[u8]) -> String {
    let shown = String::from_utf8_lossy(&subcommand[..subcommand.len().min(128)]);
    format!("ERR unknown subcommand '{shown}' of {command}: this server does not have it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_local_command_has_an_answer() {
        for command in COMMANDS.iter().filter(|command| command.kind() == Kind::Local) {
            let mut args = vec![command.name.as_bytes()];
            args.resize(command.arity.unsigned_abs() as usize, b"0");
            let answer = answer(command, &args, 1, String::new);
            assert!(!answer.starts_with(b"-ERR the server does not answer"), "{}", command.name);
        }
    }
}
