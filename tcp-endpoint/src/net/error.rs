//! What can go wrong with an interface, and what to do about it.

use std::io;

/// An interface could not be opened, or fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no interface of this name here.
    #[error(
        "there is no network interface `{name}` in this network namespace; `ip link` lists those that there are"
    )]
    NoSuchInterface {
        /// As it was asked for.
        name: String,
    },
    /// The interface has no MACs.
    #[error("the interface `{name}` is not an Ethernet; name one that is, or use a TUN")]
    NotEthernet {
        /// Its name.
        name: String,
    },
    /// The interface is down.
    #[error("the interface `{name}` is down; bring it up with `ip link set {name} up`")]
    Down {
        /// Its name.
        name: String,
    },
    /// The host answers for the address itself.
    #[error(
        "this host has the address {ip} itself, and would answer for it; remove it with `ip addr del` from the interface \
         that has it"
    )]
    HostHasAddress {
        /// The virtual address.
        ip: std::net::IpAddr,
    },
    /// Packet sockets need a privilege.
    #[error(
        "opening a packet socket at `{name}` needs the capability CAP_NET_RAW; grant it with `setcap cap_net_raw+ep \
         PROGRAM` (or AmbientCapabilities= of systemd), or run as root"
    )]
    NeedsNetRaw {
        /// The interface's name.
        name: String,
    },
    /// TUN and TAP interfaces need a privilege.
    #[error(
        "making the interface `{name}` needs the capability CAP_NET_ADMIN; grant it, or let root make it for this user \
         with `ip tuntap add {name} mode tun user USER` (for a TAP, `mode tap`)"
    )]
    NeedsNetAdmin {
        /// The interface's name.
        name: String,
    },
    /// There is no TUN device.
    #[error(
        "there is no /dev/net/tun; load the module with `modprobe tun`, and give a container the device (--device \
         /dev/net/tun)"
    )]
    NoTunDevice,
    /// Somebody else has the interface.
    #[error("the interface `{name}` belongs to another process or is of another kind; choose another name")]
    Busy {
        /// Its name.
        name: String,
    },
    /// Something else.
    #[error("{what} at the interface `{name}` failed: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The interface's name.
        name: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// What `source` means when `what` was tried at the interface `name`; `privilege` is what a refusal means.
    #[cfg(target_os = "linux")]
    pub(super) fn of(
        what: &'static str,
        name: &str,
        source: io::Error,
        privilege: impl FnOnce(String) -> Self,
    ) -> Self {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => privilege(name),
            Some(libc::ENODEV | libc::ENXIO) => Self::NoSuchInterface { name },
            Some(libc::ENETDOWN) => Self::Down { name },
            Some(libc::EBUSY) => Self::Busy { name },
            _ if source.kind() == io::ErrorKind::NotFound => Self::NoSuchInterface { name },
            _ => Self::Io { what, name, source },
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn raw(name: String) -> Self {
        Self::NeedsNetRaw { name }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn admin(name: String) -> Self {
        Self::NeedsNetAdmin { name }
    }
}
