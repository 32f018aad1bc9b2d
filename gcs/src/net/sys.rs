//! System calls that no safe library offers: a batch of datagrams to several destinations in one call, and a few socket
//! options. All unsafe code of the crate is here and in [`assume_initialised`].

use bytes::BytesMut;
use socket2::{SockAddr, SockRef, Socket};
use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
};

/// The most messages in one call.
pub(super) const BATCH: usize = 64;

/// One message: its parts are contiguous datagrams of `segment` bytes (the last may be shorter) if `segment` is not 0,
/// and together one datagram otherwise.
pub(super) struct Message<'a, 'b> {
    pub(super) to: &'a SockAddr,
    pub(super) parts: &'a [IoSlice<'b>],
    pub(super) segment: u16,
}

/// The socket's buffers, as large as the system allows up to `bytes`.
pub(super) fn enlarge_buffers(socket: &UdpSocket, bytes: usize) {
    let s = SockRef::from(socket);
    // Best effort: the system clamps to its limits, and a smaller buffer only means more repair.
    let _ = s.set_recv_buffer_size(bytes);
    let _ = s.set_send_buffer_size(bytes);
    #[cfg(target_os = "linux")]
    {
        let size = i32::try_from(bytes).unwrap_or(i32::MAX);
        // Privileged processes may go beyond the limits.
        let _ = linux::set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size);
        let _ = linux::set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, size);
    }
}

/// How many bytes of datagrams wait at the socket to be received. The system counts its own overhead, for which it doubles
/// what was asked for.
pub(super) fn receive_buffer(socket: &UdpSocket) -> usize {
    SockRef::from(socket).recv_buffer_size().map_or(0, |bytes| bytes / 2)
}

/// Lets the system fragment datagrams that are larger than the path carries, instead of refusing them.
pub(super) fn allow_fragments(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    {
        let _ = linux::set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT);
        if socket.local_addr().is_ok_and(|a| a.is_ipv6()) {
            let mode = libc::IPV6_PMTUDISC_DONT;
            let _ = linux::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode);
            let _ = linux::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, 0);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// The MTU of the way to `to`, as far as this host knows it: that of the interface, or less where the path has said so
/// (tunnels, routes with an MTU of their own).
pub(super) fn route_mtu(own: IpAddr, to: SocketAddr) -> Option<usize> {
    let socket = UdpSocket::bind((own, 0)).ok()?;
    // Nothing is sent.
    socket.connect(to).ok()?;
    #[cfg(target_os = "linux")]
    return match to {
        SocketAddr::V4(_) => linux::get_option(&socket, libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => linux::get_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    #[cfg(not(target_os = "linux"))]
    None
}

/// Multicasts go out, and come back to this host, at the interface of `own`.
pub(super) fn multicast_from(socket: &UdpSocket, own: Ipv4Addr) -> io::Result<()> {
    let s = SockRef::from(socket);
    s.set_multicast_if_v4(&own)?;
    s.set_multicast_loop_v4(true)
}

/// Lets the system drop what comes from `own` before it is copied. Best effort.
pub(super) fn ignore_from(socket: &Socket, own: SocketAddrV4) {
    #[cfg(target_os = "linux")]
    linux::ignore_from(socket, own);
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, own);
}

/// Sets the buffer's length to `len` without writing to it.
///
/// `buf` must come from `BytesMut::zeroed` with at least `len` bytes, and never have been made to grow.
#[expect(unsafe_code, reason = "zeroing 512 KiB for each 512 KiB received costs a tenth of the throughput")]
pub(super) fn assume_initialised(buf: &mut BytesMut, len: usize) {
    assert!(len <= buf.capacity(), "length beyond the buffer");
    // SAFETY: within the capacity, and the whole allocation was initialised when it was made (the caller's promise).
    unsafe { buf.set_len(len) }
}

#[cfg(target_os = "linux")]
pub(super) use linux::send;

#[cfg(target_os = "linux")]
mod linux {
    use super::{BATCH, Message};
    use socket2::{SockFilter, Socket};
    use std::{
        io, mem,
        net::{SocketAddrV4, UdpSocket},
        os::fd::AsRawFd,
        ptr,
    };

    #[expect(unsafe_code, reason = "socket2 offers neither of these options")]
    pub(super) fn set_option(socket: &UdpSocket, level: i32, name: i32, value: i32) -> io::Result<()> {
        let len = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
        // SAFETY: the descriptor is open as long as `socket` is borrowed; the value is an int that outlives the call.
        let rc =
            unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(&value).cast(), len) };
        if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[expect(unsafe_code, reason = "socket2 does not offer these options")]
    pub(super) fn get_option(socket: &UdpSocket, level: i32, name: i32) -> Option<usize> {
        let mut value = 0_i32;
        let mut len = libc::socklen_t::try_from(size_of::<i32>()).unwrap_or(4);
        let to = ptr::from_mut(&mut value).cast();
        // SAFETY: the descriptor is open as long as `socket` is borrowed; `to` points to an int, and `len` is its size.
        let rc = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, to, &raw mut len) };
        if rc == 0 { usize::try_from(value).ok() } else { None }
    }

    /// A classic BPF program: source address and port are not those of `own`.
    pub(super) fn ignore_from(socket: &Socket, own: SocketAddrV4) {
        // Offsets relative to the network header, as <linux/filter.h> has it; others are relative to the UDP header.
        const NETWORK: u32 = -0x10_0000_i32 as u32;
        const SOURCE_ADDRESS: u32 = 12;
        let op = |code: u32, jt, jf, k| SockFilter::new(code as u16, jt, jf, k);
        let program = [
            op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, NETWORK + SOURCE_ADDRESS),
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 3, own.ip().to_bits()),
            op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 0, 0, 0),
            op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, own.port().into()),
            op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
            op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        ];
        let _ = socket.attach_filter(&program);
    }

    /// Room for one control message with a 16-bit value, aligned as the system wants it.
    #[repr(C, align(8))]
    #[derive(Clone, Copy)]
    struct Control([u8; 32]);

    /// Sends as many of the messages (at most [`BATCH`]) as the system takes, in order; returns how many those were.
    /// An error concerns the first message.
    #[expect(
        unsafe_code,
        reason = "sendmmsg with UDP_SEGMENT: one call for many destinations, without copying"
    )]
    pub(in super::super) fn send(socket: &UdpSocket, messages: &[Message<'_, '_>]) -> io::Result<usize> {
        let count = messages.len().min(BATCH);
        let mut controls = [Control([0; 32]); BATCH];
        // SAFETY: all-zero bytes are a valid mmsghdr: null pointers and zero lengths.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for ((message, header), control) in messages.iter().zip(&mut headers).zip(&mut controls) {
            let h = &mut header.msg_hdr;
            h.msg_name = message.to.as_ptr().cast_mut().cast();
            h.msg_namelen = message.to.len();
            // IoSlice is guaranteed to have the layout of iovec; the system only reads through it.
            h.msg_iov = message.parts.as_ptr().cast_mut().cast();
            h.msg_iovlen = message.parts.len() as _;
            if message.segment > 0 {
                h.msg_control = control.0.as_mut_ptr().cast();
                // SAFETY: pure arithmetic on lengths.
                h.msg_controllen = unsafe { libc::CMSG_SPACE(2) } as _;
                // SAFETY: msg_control points to 32 aligned bytes, and CMSG_SPACE(2) is at most 32, so the first
                // header exists and has room for its two bytes of data.
                unsafe {
                    let c = libc::CMSG_FIRSTHDR(h);
                    (*c).cmsg_level = libc::SOL_UDP;
                    (*c).cmsg_type = libc::UDP_SEGMENT;
                    (*c).cmsg_len = libc::CMSG_LEN(2) as _;
                    ptr::write_unaligned(libc::CMSG_DATA(c).cast::<u16>(), message.segment);
                }
            }
        }
        // SAFETY: the first `count` headers are filled in; everything that they point to outlives the call.
        let rc = unsafe {
            let n = libc::c_uint::try_from(count).unwrap_or(0);
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), n, libc::MSG_DONTWAIT)
        };
        usize::try_from(rc).map_err(|_| io::Error::last_os_error())
    }
}

/// Elsewhere: one call per datagram.
#[cfg(not(target_os = "linux"))]
pub(super) fn send(socket: &UdpSocket, messages: &[Message<'_, '_>]) -> io::Result<usize> {
    let Some(message) = messages.first() else { return Ok(0) };
    let whole: Vec<u8> = message.parts.iter().flat_map(|p| p.iter().copied()).collect();
    let step = if message.segment == 0 { whole.len().max(1) } else { usize::from(message.segment) };
    for datagram in whole.chunks(step) {
        SockRef::from(socket).send_to(datagram, message.to)?;
    }
    Ok(1)
}
