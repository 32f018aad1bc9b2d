//! The host's own network: a TUN (packets) or TAP (frames) interface, with this endpoint at its other end
//! (Linux `Documentation/networking/tuntap`).
//!
//! The host reaches a virtual address by a route to the TUN (`ip route add VIP dev NAME`), and forwards to it for
//! others; a TAP is put on a bridge, or has an address of the same link.

use super::{
    error::Error,
    interface::{Interface, Traffic},
    pool::{Pool, WINDOW},
    sys, vnet,
};
use crate::link::{Frame, Mac, Received};
use std::{
    fs::File,
    io::{self, IoSliceMut, Read, Write},
    os::fd::{AsFd, BorrowedFd},
};

/// Frames that one [`Interface::recv`] receives.
const MOST: usize = 32;

/// An interface that carries IP packets.
pub struct Tun(Device);

/// An interface that carries Ethernet frames.
pub struct Tap(Device);

struct Device {
    name: String,
    file: File,
    /// Of this end.
    mac: Option<Mac>,
    mtu: usize,
    offload: bool,
    pool: Pool,
    traffic: Traffic,
}

impl Tun {
    /// Makes the interface `name` (or takes the one that was made for this user), gives it `mtu`, and brings it up. It
    /// goes with this value.
    ///
    /// # Errors
    /// There is no /dev/net/tun, the process has no CAP_NET_ADMIN, or somebody else has the interface.
    pub fn open(name: &str, mtu: usize, offload: bool) -> Result<Self, Error> {
        Device::open(name, mtu, offload, false).map(Self)
    }
}

impl Tap {
    /// As [`Tun::open`].
    ///
    /// # Errors
    /// As [`Tun::open`].
    pub fn open(name: &str, mtu: usize, offload: bool) -> Result<Self, Error> {
        Device::open(name, mtu, offload, true).map(Self)
    }
}

impl Device {
    fn open(name: &str, mtu: usize, offload: bool, tap: bool) -> Result<Self, Error> {
        let file = sys::open_tun().map_err(|e| match e.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Error::NoTunDevice,
            _ => Error::of("opening /dev/net/tun", name, e, Error::admin),
        })?;
        let failed = |what| move |e| Error::of(what, name, e, Error::admin);
        sys::attach_tun(&file, name, tap).map_err(|e| match e.raw_os_error() {
            // There is one that is not a TUN (or TAP).
            Some(libc::EINVAL) => Error::Busy { name: name.to_owned() },
            _ => failed("making it")(e),
        })?;
        if offload {
            sys::offload_tun(&file).map_err(failed("asking for offload"))?;
        }
        let facts = sys::facts(name).map_err(failed("asking for its properties"))?;
        // Who may not do this can have it done beforehand.
        if !facts.up || facts.mtu != mtu {
            sys::bring_up(name, mtu).map_err(failed("bringing it up"))?;
        }
        let mac = tap.then(|| other_end(facts.mac));
        let (pool, traffic) = (Pool::new(1), Traffic::default());
        Ok(Self { name: name.to_owned(), file, mac, mtu, offload, pool, traffic })
    }

    fn recv(&mut self, into: &mut Vec<Received>) -> Result<bool, Error> {
        for _ in 0..MOST {
            self.traffic.calls.0 += 1;
            let mut header = [0; vnet::LEN];
            let Some(window) = self.pool.windows().next() else { return Ok(false) };
            let read = self.file.read_vectored(&mut [IoSliceMut::new(&mut header), IoSliceMut::new(window)]);
            match read {
                Ok(n) if n > vnet::LEN && n < vnet::LEN + WINDOW => {
                    self.traffic.received += 1;
                    let bytes = self.pool.take(0, n - vnet::LEN);
                    into.push(Received { bytes, vlan: None, meta: vnet::read(header) });
                }
                Ok(_) => self.traffic.truncated += 1,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed("receiving", e)),
            }
        }
        Ok(true)
    }

    fn send(&mut self, frames: &mut Vec<Frame>, may: &dyn Fn() -> bool) -> Result<(), Error> {
        let mut ready = Vec::new();
        for frame in std::mem::take(frames) {
            ready.clear();
            vnet::prepare(frame, self.offload, &mut ready);
            self.traffic.refused += u64::from(ready.is_empty());
            for (header, frame) in &ready {
                self.send_one(header, frame, may)?;
            }
        }
        Ok(())
    }

    fn send_one(
        &mut self,
        header: &[u8; vnet::LEN],
        frame: &Frame,
        may: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let pieces = vnet::pieces(header, frame);
        loop {
            if !may() {
                self.traffic.fenced += 1;
                return Ok(());
            }
            self.traffic.calls.1 += 1;
            match self.file.write_vectored(&pieces) {
                Ok(_) => self.traffic.sent += 1,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.traffic.full += 1,
                Err(e) => match e.raw_os_error() {
                    Some(libc::ENOBUFS | libc::ENOMEM) => self.traffic.full += 1,
                    Some(libc::EIO | libc::EBADFD) => return Err(self.failed("sending", e)),
                    _ => self.traffic.refused += 1,
                },
            }
            return Ok(());
        }
    }

    /// A TUN that is down says that there is an input/output error.
    fn failed(&self, what: &'static str, e: io::Error) -> Error {
        match e.raw_os_error() {
            Some(libc::EIO) => Error::Down { name: self.name.clone() },
            _ => Error::of(what, &self.name, e, Error::admin),
        }
    }
}

/// The interface's own MAC is that of the host's end of the cable; this is another one for ours.
fn other_end(mut mac: [u8; 6]) -> Mac {
    mac[0] = (mac[0] | 2) & !1;
    mac[5] ^= 1;
    Mac(mac)
}

macro_rules! forward {
    ($which:ty) => {
        impl Interface for $which {
            fn poll_fd(&self) -> BorrowedFd<'_> {
                self.0.file.as_fd()
            }
            fn mac(&self) -> Option<Mac> {
                self.0.mac
            }
            fn mtu(&self) -> usize {
                self.0.mtu
            }
            fn offload(&self) -> bool {
                self.0.offload
            }
            fn recv(&mut self, into: &mut Vec<Received>) -> Result<bool, Error> {
                self.0.recv(into)
            }
            fn send(&mut self, frames: &mut Vec<Frame>, may: &dyn Fn() -> bool) -> Result<(), Error> {
                self.0.send(frames, may)
            }
            fn traffic(&mut self) -> Traffic {
                self.0.traffic
            }
        }
    };
}

forward!(Tun);
forward!(Tap);
