//! What operators say, one line each, on connections to a port of their own. It comes in batches like all bytes, so all replicas do it at the same
//! point.
//!
//! ```text
//!   drain 10.0.0.21:5432      no new sessions for this back end, of any listener; those that it has go on      → ok
//!   resume 10.0.0.21:5432     new sessions again                                                               → ok
//!   status                    → a line for each back end: port, address, up or down, open or drained, sessions; then ok
//! ```

use std::net::SocketAddr;

/// Longest line, and how much is read at once, in bytes.
pub(super) const LINE: usize = 1024;
/// Operators that are connected at a time.
pub(super) const OPERATORS: usize = 16;

/// An order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Drain(SocketAddr),
    Resume(SocketAddr),
    Status,
}

/// What to answer when a line is no order.
pub(super) const UNKNOWN: &str = "error: say `drain ADDR:PORT`, `resume ADDR:PORT` or `status`\n";

/// Reads a line.
pub(super) fn parse(line: &[u8]) -> Option<Order> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let order = match words.next()? {
        "drain" => Order::Drain(words.next()?.parse().ok()?),
        "resume" => Order::Resume(words.next()?.parse().ok()?),
        "status" => Order::Status,
        _ => return None,
    };
    words.next().is_none().then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        let address = "10.0.0.21:80".parse().unwrap();
        assert_eq!(parse(b"drain 10.0.0.21:80\r"), Some(Order::Drain(address)));
        assert_eq!(parse(b" resume  10.0.0.21:80"), Some(Order::Resume(address)));
        assert_eq!(parse(b"status"), Some(Order::Status));
        for wrong in [&b""[..], b"drain", b"drain x", b"status now", b"\xff\xff", b"Drain 10.0.0.21:80"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }
}
