//! Errors a command can answer, in Redis' words: clients match on some of them.

use super::reply;
use bytes::Bytes;

/// Why a command was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arguments(&'static str),
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    Unknown { name: String, args: String },
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR hash value is not an integer")]
    HashNotAnInteger,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR invalid expire time in '{0}' command")]
    ExpireTime(&'static str),
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireConditions,
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtLt,
    #[error("ERR Unsupported option {0}")]
    ExpireOption(String),
    #[error("ERR invalid cursor")]
    Cursor,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR '{0}' changes the state or is answered by the server itself: it cannot be a query")]
    NotAQuery(&'static str),
    #[error("ERR '{0}' is answered by the server itself: it cannot be replicated")]
    NotReplicated(&'static str),
    #[error("ERR the command cannot be decoded: {0}")]
    Undecodable(#[from] crate::kv::argv::ArgvError),
}

impl Fault {
    /// The unknown command's name and its first arguments, cut to 128 bytes as Redis does.
    pub(crate) fn unknown(argv: &[&[u8]]) -> Self {
        const SHOWN: usize = 128;
        let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]).into_owned();
        let mut args = String::new();
        for arg in argv.iter().skip(1) {
            if args.len() >= SHOWN {
                break;
            }
            let room = (SHOWN - args.len()).min(arg.len());
            args.push_str(&format!("'{}' ", show(&arg[..room])));
        }
        Self::Unknown { name: argv.first().map(|name| show(name)).unwrap_or_default(), args }
    }

    pub(crate) fn reply(&self) -> Bytes {
        reply::error(&self.to_string())
    }
}
