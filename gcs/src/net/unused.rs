//! Addresses for programs that start several members on one machine: demonstrations, measurements, tests.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the ports that systems give to outgoing connections (from 32768 on Linux, from 49152 elsewhere): one of those
/// may be taken by any connection between the probe and its use.
const FIRST: u16 = 12_000;
const PORTS: u16 = 20_000;

/// An address whose port nobody uses at present, neither with UDP nor with TCP; another at every call of this process.
/// Nothing reserves it: another program may take it.
///
/// A member that others need not know in advance binds to port 0 instead.
///
/// # Errors
/// This machine has no such interface, or none of the ports is free.
pub fn unused_addr(ip: IpAddr) -> io::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Programs that run side by side begin elsewhere.
    let base = (std::process::id() % 199) as u16 * 100;
    let mut failure = io::ErrorKind::AddrInUse.into();
    for _ in 0..PORTS {
        let offset = base.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) % PORTS;
        let addr = SocketAddr::new(ip, FIRST + offset);
        match UdpSocket::bind(addr).and_then(|_| TcpListener::bind(addr)) {
            Ok(_) => return Ok(addr),
            Err(e) if e.kind() == io::ErrorKind::AddrNotAvailable => return Err(e),
            Err(e) => failure = e,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn addresses_differ_and_can_be_bound() {
        let (a, b) = (unused_addr(Ipv4Addr::LOCALHOST.into()), unused_addr(Ipv4Addr::LOCALHOST.into()));
        let (a, b) = (a.expect("free"), b.expect("free"));
        assert_ne!(a, b);
        assert!((FIRST..FIRST + PORTS).contains(&a.port()));
        assert!(TcpListener::bind(a).is_ok());
        let elsewhere = unused_addr(Ipv4Addr::new(192, 0, 2, 1).into()).expect_err("not ours");
        assert_eq!(elsewhere.kind(), io::ErrorKind::AddrNotAvailable);
    }
}
