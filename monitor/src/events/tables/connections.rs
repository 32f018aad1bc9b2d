//! The table `connections`: what Linux says in `/proc/net/tcp` and `/proc/net/tcp6` (`proc_pid_net(5)`); empty elsewhere.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{ROWS_MAX, text};
use crate::{row::Row, value::Value};

/// Bytes of one of the files that are read.
const FILE_MAX: u64 = 8 << 20;
/// As numbered in the kernel, from 1.
const STATES: [&str; 12] = [
    "established",
    "syn_sent",
    "syn_received",
    "fin_wait_1",
    "fin_wait_2",
    "time_wait",
    "closed",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
    "new_syn_received",
];

/// One row a connection: `local`, `local_port`, `remote`, `remote_port`, `state`, `user` (number), `inode`.
pub(super) fn read() -> Vec<Row> {
    let files = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|path| File::open(path).ok());
    let lines =
        files.flat_map(|file| BufReader::new(file.take(FILE_MAX)).lines().skip(1).map_while(Result::ok));
    lines.filter_map(|line| row(&line)).take(ROWS_MAX).collect()
}

fn row(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let [_, local, remote, state, _, _, _, user, _, inode] = words[..] else { return None };
    let ((local, local_port), (remote, remote_port)) = (endpoint(local)?, endpoint(remote)?);
    let state = usize::from_str_radix(state, 16).ok()?.checked_sub(1).and_then(|nth| STATES.get(nth))?;
    Some(Row::new([
        ("local", text(local.to_string())),
        ("local_port", Value::Int(local_port.into())),
        ("remote", text(remote.to_string())),
        ("remote_port", Value::Int(remote_port.into())),
        ("state", text(state)),
        ("user", Value::Int(user.parse::<u32>().ok()?.into())),
        ("inode", Value::Int(inode.parse().ok()?)),
    ]))
}

/// `0100007F:12C5`: words of four bytes in the order of the machine, then the port.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word = |nth: usize| u32::from_str_radix(address.get(8 * nth..8 * nth + 8)?, 16).ok();
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (nth, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(nth)?.to_ne_bytes());
            }
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_listens_here_is_there() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            let own = listener.local_addr().unwrap();
            let is = |row: &Row| {
                row.get("local").as_text() == Some(&own.ip().to_string())
                    && row.get("local_port").as_int() == Some(own.port().into())
                    && row.get("state").as_text() == Some("listen")
            };
            assert!(read().iter().any(is), "{own}");
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_no_rows() {
        let right =
            "0: 0100007F:12C5 00000000:0000 0A 00000000:00000000 00:00000000 00000000 1000 0 4242 1 0";
        let shown = row(right).unwrap();
        assert_eq!((shown.get("local_port"), shown.get("inode")), (&Value::Int(4805), &Value::Int(4242)));
        for (from, to) in
            [("0100007F", "0100007"), ("12C5", "12C5F"), (" 0A ", " FF "), ("0100007F", "é00007F")]
        {
            assert!(row(&right.replace(from, to)).is_none(), "{to}");
        }
        assert!(row("").is_none() && row(&right[..60]).is_none());
    }
}
