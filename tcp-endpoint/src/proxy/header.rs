//! The PROXY protocol, version 2 (HAProxy, `proxy-protocol.txt`, section 2.2): who the client is, before its first byte.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// Address family and transport: TCP over IPv4, TCP over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header for a connection of `client` to our `local`; both are of one family.
pub(super) fn header(client: SocketAddr, local: SocketAddr) -> Bytes {
    let mut addresses = Vec::with_capacity(36);
    for ip in [client.ip(), local.ip()] {
        match ip {
            IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
        }
    }
    for port in [client.port(), local.port()] {
        addresses.extend_from_slice(&port.to_be_bytes());
    }
    let kind = if client.is_ipv4() { TCP4 } else { TCP6 };
    let len = if client.is_ipv4() { 12_u16 } else { 36 };
    [&SIGNATURE[..], &[PROXY, kind], &len.to_be_bytes(), &addresses].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_specification_has_it() {
        let four = header("192.0.2.1:4660".parse().unwrap(), "192.0.2.10:80".parse().unwrap());
        let expected = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c\
            \xc0\x00\x02\x01\xc0\x00\x02\x0a\x12\x34\x00\x50";
        assert_eq!(&four[..], expected);
        let six = header("[2001:db8::1]:4660".parse().unwrap(), "[2001:db8::10]:80".parse().unwrap());
        assert_eq!((six.len(), &six[12..16]), (52, &b"\x21\x21\x00\x24"[..]));
        assert_eq!((&six[16..18], &six[47..]), (&b"\x20\x01"[..], &b"\x10\x12\x34\x00\x50"[..]));
    }
}
