//! Every command: its name, how many arguments it takes, who answers it, and how.

use super::commands::{Call, expiry, hashes, keys, lists, numbers, scan, sets, strings};
use super::fault::Fault;
use super::keyspace::Keyspace;
use bytes::Bytes;

/// Who answers a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The connection; it does not touch the keyspace.
    Local,
    /// A replica's state, which it does not change.
    Read,
    /// Every replica, in the agreed order.
    Write,
}

#[derive(Clone, Copy)]
pub(crate) enum Handler {
    Local,
    Read(fn(&Keyspace, &Call<'_>) -> Result<Bytes, Fault>),
    Write(fn(&mut Keyspace, &Call<'_>) -> Result<Bytes, Fault>),
}

/// A command in the table.
pub struct Command {
    /// In lower case.
    pub name: &'static str,
    /// How many arguments it takes, its name included; negative: at least that many.
    pub arity: i32,
    /// Where the keys are among the arguments: the first, the last (negative: from the end), the step between them.
    /// All 0 without keys.
    pub keys: (i32, i32, i32),
    pub(crate) handler: Handler,
}

impl Command {
    /// Who answers it.
    pub fn kind(&self) -> Kind {
        match self.handler {
            Handler::Local => Kind::Local,
            Handler::Read(_) => Kind::Read,
            Handler::Write(_) => Kind::Write,
        }
    }
}

const NONE: (i32, i32, i32) = (0, 0, 0);
const ONE: (i32, i32, i32) = (1, 1, 1);
const ALL: (i32, i32, i32) = (1, -1, 1);
const PAIRS: (i32, i32, i32) = (1, -1, 2);

type Read = fn(&Keyspace, &Call<'_>) -> Result<Bytes, Fault>;
type Write = fn(&mut Keyspace, &Call<'_>) -> Result<Bytes, Fault>;

const fn local(name: &'static str, arity: i32) -> Command {
    Command { name, arity, keys: NONE, handler: Handler::Local }
}

const fn read(name: &'static str, arity: i32, keys: (i32, i32, i32), handler: Read) -> Command {
    Command { name, arity, keys, handler: Handler::Read(handler) }
}

const fn write(name: &'static str, arity: i32, keys: (i32, i32, i32), handler: Write) -> Command {
    Command { name, arity, keys, handler: Handler::Write(handler) }
}

/// All commands, sorted by name.
pub static COMMANDS: &[Command] = &[
    write("append", 3, ONE, strings::append),
    local("client", -2),
    local("command", -1),
    local("config", -2),
    read("dbsize", 1, NONE, keys::dbsize),
    write("decr", 2, ONE, numbers::decr),
    write("decrby", 3, ONE, numbers::decrby),
    write("del", -2, ALL, keys::del),
    local("echo", 2),
    read("exists", -2, ALL, keys::exists),
    write("expire", -3, ONE, expiry::expire),
    write("expireat", -3, ONE, expiry::expireat),
    write("flushall", -1, NONE, keys::flush),
    write("flushdb", -1, NONE, keys::flush),
    read("get", 2, ONE, strings::get),
    write("getdel", 2, ONE, strings::getdel),
    write("getset", 3, ONE, strings::getset),
    write("hdel", -3, ONE, hashes::hdel),
    local("hello", -1),
    read("hexists", 3, ONE, hashes::hexists),
    read("hget", 3, ONE, hashes::hget),
    read("hgetall", 2, ONE, hashes::hgetall),
    write("hincrby", 4, ONE, numbers::hincrby),
    read("hkeys", 2, ONE, hashes::hkeys),
    read("hlen", 2, ONE, hashes::hlen),
    read("hmget", -3, ONE, hashes::hmget),
    write("hset", -4, ONE, hashes::hset),
    read("hvals", 2, ONE, hashes::hvals),
    write("incr", 2, ONE, numbers::incr),
    write("incrby", 3, ONE, numbers::incrby),
    local("info", -1),
    read("keys", 2, NONE, scan::keys),
    read("lindex", 3, ONE, lists::lindex),
    read("llen", 2, ONE, lists::llen),
    write("lpop", -2, ONE, lists::lpop),
    write("lpush", -3, ONE, lists::lpush),
    read("lrange", 4, ONE, lists::lrange),
    read("mget", -2, ALL, strings::mget),
    write("mset", -3, PAIRS, strings::mset),
    write("persist", 2, ONE, expiry::persist),
    write("pexpire", -3, ONE, expiry::pexpire),
    write("pexpireat", -3, ONE, expiry::pexpireat),
    local("ping", -1),
    write("psetex", 4, ONE, strings::psetex),
    read("pttl", 2, ONE, expiry::pttl),
    local("quit", -1),
    write("rpop", -2, ONE, lists::rpop),
    write("rpush", -3, ONE, lists::rpush),
    write("sadd", -3, ONE, sets::sadd),
    read("scan", -2, NONE, scan::scan),
    read("scard", 2, ONE, sets::scard),
    local("select", 2),
    write("set", -3, ONE, strings::set),
    write("setex", 4, ONE, strings::setex),
    write("setnx", 3, ONE, strings::setnx),
    read("sismember", 3, ONE, sets::sismember),
    read("smembers", 2, ONE, sets::smembers),
    write("srem", -3, ONE, sets::srem),
    read("strlen", 2, ONE, strings::strlen),
    read("ttl", 2, ONE, expiry::ttl),
    read("type", 2, ONE, keys::type_of),
    write("unlink", -2, ALL, keys::del),
];

/// The command of a name in any case.
pub fn by_name(name: &[u8]) -> Option<&'static Command> {
    // No name is longer.
    let mut lower = [0; 16];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let place = COMMANDS.binary_search_by(|command| command.name.as_bytes().cmp(lower)).ok()?;
    Some(&COMMANDS[place])
}

/// The command of these arguments, if there is one and it takes that many.
pub(crate) fn find(argv: &[&[u8]]) -> Result<&'static Command, Fault> {
    let command = argv.first().and_then(|name| by_name(name)).ok_or_else(|| Fault::unknown(argv))?;
    let wanted = command.arity.unsigned_abs() as usize;
    let fits = if command.arity < 0 { argv.len() >= wanted } else { argv.len() == wanted };
    if fits { Ok(command) } else { Err(Fault::Arguments(command.name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_found() {
        assert!(COMMANDS.is_sorted_by(|one, next| one.name < next.name));
        for command in COMMANDS {
            assert_eq!(by_name(command.name.to_uppercase().as_bytes()).map(|c| c.name), Some(command.name));
        }
        assert!(by_name(b"nonesuch").is_none());
        assert!(by_name(b"").is_none());
        assert!(by_name(&[b'x'; 100]).is_none());
    }
}
