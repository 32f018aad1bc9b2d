//! An Ethernet that the host is on, beside the host's own use of it: a packet socket (`packet(7)`).
//!
//! The host must not have the virtual addresses itself, and should not forward packets (`net.ipv4.ip_forward`): it
//! would forward those for the virtual addresses back to their link. What the host itself sends does not come in
//! here.

use super::{
    error::Error,
    filter,
    interface::{Interface, Traffic},
    pool::{Pool, WINDOW},
    sys, vnet,
};
use crate::link::{Config, Frame, Mac, Medium, Received, solicited_node};
use smallvec::SmallVec;
use socket2::Socket;
use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

/// Frames that one system call receives.
const WINDOWS: usize = 16;

/// How an [`AfPacket`] is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Receive what is sent to any MAC, not only to those that the addresses need. For network cards whose list of
    /// MACs is short, virtual ones that ignore it, and those that drop frames of VLANs that the host does not use.
    pub promiscuous: bool,
    /// Leave segmentation and checksums to the system and the card. Without, they are done here.
    pub offload: bool,
    /// The socket's buffers in bytes. Beyond the system's limits it takes CAP_NET_ADMIN.
    pub buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { promiscuous: false, offload: true, buffer: 8 << 20 }
    }
}

/// The MAC of an Ethernet interface, for [`Config::ethernet`].
///
/// # Errors
/// There is no such interface, or it is not an Ethernet.
pub fn mac_of(name: &str) -> Result<Mac, Error> {
    facts(name).map(|f| Mac(f.mac))
}

fn facts(name: &str) -> Result<sys::Facts, Error> {
    let facts = sys::facts(name).map_err(|e| Error::of("asking for its properties", name, e, Error::raw))?;
    if facts.ethernet { Ok(facts) } else { Err(Error::NotEthernet { name: name.to_owned() }) }
}

/// One interface's packet socket.
pub struct AfPacket {
    name: String,
    socket: Socket,
    mac: Mac,
    mtu: usize,
    offload: bool,
    pool: Pool,
    traffic: Traffic,
}

impl AfPacket {
    /// Opens the interface `name` of the network namespace where this thread is; what is not for `config`'s addresses
    /// stays out. Its MACs are added to those that the card receives.
    ///
    /// # Errors
    /// It does not exist, is down, is no Ethernet; the host has one of the addresses itself; or the process has no
    /// CAP_NET_RAW.
    pub fn open(name: &str, config: &Config, options: Options) -> Result<Self, Error> {
        let facts = facts(name)?;
        if !facts.up {
            return Err(Error::Down { name: name.to_owned() });
        }
        if let Some(vip) = config.vips.iter().find(|v| host_has(v.ip)) {
            return Err(Error::HostHasAddress { ip: vip.ip });
        }
        let failed = |what| move |e| Error::of(what, name, e, Error::raw);
        let socket = sys::packet_socket().map_err(failed("opening a packet socket"))?;
        sys::set_packet_option(&socket, libc::PACKET_VNET_HDR, 1)
            .map_err(failed("asking for offload headers"))?;
        sys::set_packet_option(&socket, libc::PACKET_AUXDATA, 1).map_err(failed("asking for VLAN tags"))?;
        sys::set_packet_option(&socket, libc::PACKET_IGNORE_OUTGOING, 1)
            .map_err(failed("leaving out what this host sends"))?;
        sys::force_buffers(&socket, options.buffer);
        for mac in wanted_macs(config, Mac(facts.mac)) {
            sys::add_membership(&socket, facts.index, Some(mac.0)).map_err(failed("adding a MAC"))?;
        }
        if options.promiscuous {
            sys::add_membership(&socket, facts.index, None).map_err(failed("receiving all MACs"))?;
        }
        sys::bind(&socket, &filter::program(&config.vips), facts.index).map_err(failed("binding"))?;
        Ok(Self {
            name: name.to_owned(),
            socket,
            mac: Mac(facts.mac),
            mtu: facts.mtu,
            offload: options.offload,
            pool: Pool::new(WINDOWS),
            traffic: Traffic::default(),
        })
    }

    fn send_batch(
        &mut self,
        batch: &[([u8; vnet::LEN], Frame)],
        may: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let pieces: Vec<_> = batch.iter().map(|(header, frame)| vnet::pieces(header, frame)).collect();
        let messages: Vec<&[IoSlice<'_>]> = pieces.iter().map(|p| &p[..]).collect();
        let mut left = &messages[..];
        while !left.is_empty() {
            self.traffic.calls.1 += 1;
            match sys::send(&self.socket, left, may) {
                Ok(0) => {
                    self.traffic.fenced += left.len() as u64;
                    return Ok(());
                }
                Ok(n) => {
                    self.traffic.sent += n as u64;
                    left = &left[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.traffic.full += left.len() as u64;
                    return Ok(());
                }
                Err(e) => {
                    match e.raw_os_error() {
                        Some(libc::ENOBUFS | libc::ENOMEM) => self.traffic.full += 1,
                        Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                            return Err(Error::of("sending", &self.name, e, Error::raw));
                        }
                        _ => self.traffic.refused += 1,
                    }
                    left = &left[1..];
                }
            }
        }
        Ok(())
    }
}

/// Whether an address is this host's: only to its own it would send from there.
fn host_has(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let own = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Nothing is sent.
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    own.is_ok_and(|own| own.ip() == ip)
}

/// The MACs, besides the interface's own, that the addresses are found at: stations and groups.
fn wanted_macs(config: &Config, own: Mac) -> Vec<Mac> {
    let mut macs = Vec::new();
    if let Medium::Ethernet { source, advertised, .. } = config.medium {
        macs.extend([source, advertised]);
    }
    for vip in &config.vips {
        if let IpAddr::V6(ip) = vip.ip {
            let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            macs.extend([Mac::of_group(solicited_node(ip)), Mac::of_group(all_nodes)]);
        }
    }
    macs.sort();
    macs.dedup();
    macs.retain(|mac| *mac != own);
    macs
}

impl Interface for AfPacket {
    fn poll_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn mac(&self) -> Option<Mac> {
        Some(self.mac)
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn offload(&self) -> bool {
        self.offload
    }

    fn recv(&mut self, into: &mut Vec<Received>) -> Result<bool, Error> {
        let mut arrived = [sys::Arrived::default(); sys::BATCH];
        self.traffic.calls.0 += 1;
        let received = {
            let mut windows: SmallVec<[&mut [u8]; WINDOWS]> = self.pool.windows().collect();
            sys::receive(&self.socket, &mut windows, &mut arrived)
        };
        let n = match received {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(e) => return Err(Error::of("receiving", &self.name, e, Error::raw)),
        };
        for (i, frame) in arrived[..n].iter().enumerate() {
            if frame.len > WINDOW {
                self.traffic.truncated += 1;
                continue;
            }
            self.traffic.received += 1;
            let bytes = self.pool.take(i, frame.len);
            into.push(Received { bytes, vlan: frame.vlan, meta: vnet::read(frame.vnet) });
        }
        Ok(n == WINDOWS)
    }

    fn send(&mut self, frames: &mut Vec<Frame>, may: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut frames = std::mem::take(frames).into_iter();
        let mut batch = Vec::with_capacity(sys::BATCH);
        loop {
            batch.clear();
            while batch.len() < sys::BATCH
                && let Some(frame) = frames.next()
            {
                let before = batch.len();
                vnet::prepare(frame, self.offload, &mut batch);
                self.traffic.refused += u64::from(batch.len() == before);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.send_batch(&batch, may)?;
        }
    }

    fn traffic(&mut self) -> Traffic {
        self.traffic.overrun += sys::overrun(&self.socket);
        self.traffic
    }
}
