//! System calls that no safe library offers: packet sockets, TUN and TAP devices. All unsafe code of the crate is
//! here.

use super::vnet::LEN as VNET;
use bytes::BytesMut;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{self, IoSlice},
    mem,
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    ptr,
};

/// The most messages in one call.
pub(super) const BATCH: usize = 32;

/// Sets the buffer's length to `len` without writing to it.
///
/// `buf` must come from `BytesMut::zeroed` with at least `len` bytes, and never have been made to grow.
#[expect(unsafe_code, reason = "zeroing 512 KiB for each 512 KiB received costs a tenth of the throughput")]
pub(super) fn assume_initialised(buf: &mut BytesMut, len: usize) {
    assert!(len <= buf.capacity(), "length beyond the buffer");
    // SAFETY: within the capacity, and the whole allocation was initialised when it was made (the caller's promise).
    unsafe { buf.set_len(len) }
}

/// A packet socket that receives nothing until [`bind`].
pub(super) fn packet_socket() -> io::Result<Socket> {
    // Without a protocol nothing is received: no packet comes before the filter does.
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// From now on all frames of the interface that pass `filter` are received.
#[expect(unsafe_code, reason = "socket2 cannot make addresses of packet sockets")]
pub(super) fn bind(socket: &Socket, filter: &[SockFilter], index: i32) -> io::Result<()> {
    socket.attach_filter(filter)?;
    // SAFETY: sockaddr_ll is shorter than the storage, plain old data, and its length is set; the rest is zero.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            let to = storage.cast::<libc::sockaddr_ll>();
            (*to).sll_family = libc::AF_PACKET as u16;
            (*to).sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            (*to).sll_ifindex = index;
            *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    socket.bind(&address)
}

/// Sets an option of a packet socket.
pub(super) fn set_packet_option(socket: &Socket, name: i32, value: i32) -> io::Result<()> {
    set_option(socket, libc::SOL_PACKET, name, &value)
}

/// Buffers as large as asked for, if the process may.
pub(super) fn force_buffers(socket: &Socket, bytes: usize) {
    let _ = socket.set_recv_buffer_size(bytes);
    let _ = socket.set_send_buffer_size(bytes);
    let size = i32::try_from(bytes).unwrap_or(i32::MAX);
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &size);
    let _ = set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &size);
}

/// The interface receives frames to `mac` as long as the socket is open: another station's address or a group's;
/// everything without one (promiscuous).
pub(super) fn add_membership(socket: &Socket, index: i32, mac: Option<[u8; 6]>) -> io::Result<()> {
    let kind = match mac {
        None => libc::PACKET_MR_PROMISC,
        Some(mac) if mac[0] & 1 == 1 => libc::PACKET_MR_MULTICAST,
        Some(_) => libc::PACKET_MR_UNICAST,
    };
    let mut request = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: u16::try_from(kind).unwrap_or(0),
        mr_alen: 6,
        mr_address: [0; 8],
    };
    request.mr_address[..6].copy_from_slice(&mac.unwrap_or_default());
    set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
}

#[expect(unsafe_code, reason = "socket2 does not offer these options")]
fn set_option<T: Copy>(socket: &Socket, level: i32, name: i32, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the value outlives the call, and `len` is its
    // size.
    let rc = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many frames found the socket's buffer full since this was asked last.
pub(super) fn overrun(socket: &Socket) -> u64 {
    statistics(socket).map_or(0, |s| s.tp_drops.into())
}

#[expect(unsafe_code, reason = "socket2 does not offer this option")]
fn statistics(socket: &Socket) -> io::Result<libc::tpacket_stats> {
    let mut value = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::tpacket_stats>()).unwrap_or(0);
    let (fd, to) = (socket.as_raw_fd(), ptr::from_mut(&mut value).cast());
    // SAFETY: the descriptor is open as long as `socket` is borrowed; `to` points to `len` bytes.
    let rc = unsafe { libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, to, &raw mut len) };
    if rc == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// One received frame: its header, and how long it is (it may be longer than its buffer). The tag that the system
/// took out.
#[derive(Clone, Copy, Default)]
pub(super) struct Arrived {
    pub(super) vnet: [u8; VNET],
    pub(super) len: usize,
    pub(super) vlan: Option<u16>,
}

/// Room for one control message, aligned as the system wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// Receives frames, each after a virtio header (`PACKET_VNET_HDR`), into one buffer each; returns how many.
#[expect(unsafe_code, reason = "recvmmsg with auxiliary data: one call for many frames")]
pub(super) fn receive(
    socket: &Socket,
    buffers: &mut [&mut [u8]],
    arrived: &mut [Arrived; BATCH],
) -> io::Result<usize> {
    let count = buffers.len().min(BATCH);
    let mut controls = [Control([0; 64]); BATCH];
    // SAFETY: all-zero bytes are valid mmsghdrs and iovecs: null pointers and zero lengths.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut parts: [[libc::iovec; 2]; BATCH] = unsafe { mem::zeroed() };
    for i in 0..count {
        parts[i] = [
            libc::iovec { iov_base: arrived[i].vnet.as_mut_ptr().cast(), iov_len: VNET },
            libc::iovec { iov_base: buffers[i].as_mut_ptr().cast(), iov_len: buffers[i].len() },
        ];
        let h = &mut headers[i].msg_hdr;
        h.msg_iov = parts[i].as_mut_ptr();
        h.msg_iovlen = 2;
        h.msg_control = controls[i].0.as_mut_ptr().cast();
        h.msg_controllen = size_of::<Control>() as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the first `count` headers are filled in; everything that they point to outlives the call, and is
    // written by nobody else.
    let rc = unsafe {
        let n = libc::c_uint::try_from(count).unwrap_or(0);
        libc::recvmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), n, flags, ptr::null_mut())
    };
    let n = usize::try_from(rc).map_err(|_| io::Error::last_os_error())?;
    for (header, to) in headers[..n].iter().zip(arrived.iter_mut()) {
        to.len = (header.msg_len as usize).saturating_sub(VNET);
        to.vlan = vlan_of(&header.msg_hdr);
    }
    Ok(n)
}

#[expect(unsafe_code, reason = "control messages are read through pointers")]
fn vlan_of(header: &libc::msghdr) -> Option<u16> {
    // SAFETY: the system has filled in the control buffer and its length.
    let control = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    if control.cmsg_level != libc::SOL_PACKET || control.cmsg_type != libc::PACKET_AUXDATA {
        return None;
    }
    // SAFETY: a message of this type has this content; it may be unaligned.
    let aux = unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::tpacket_auxdata>()) };
    (aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some(aux.tp_vlan_tci)
}

/// Sends as many of the messages (at most [`BATCH`]) as the system takes, in order; returns how many those were: none if
/// `may`, asked when all is prepared, says no. An error concerns the first message.
#[expect(unsafe_code, reason = "sendmmsg: one call for many frames, in pieces that are not copied")]
pub(super) fn send(
    socket: &Socket,
    messages: &[&[IoSlice<'_>]],
    may: &dyn Fn() -> bool,
) -> io::Result<usize> {
    let count = messages.len().min(BATCH);
    // SAFETY: all-zero bytes are a valid mmsghdr.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    for (parts, header) in messages.iter().zip(&mut headers) {
        // IoSlice is guaranteed to have the layout of iovec; the system only reads through it.
        header.msg_hdr.msg_iov = parts.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_iovlen = parts.len() as _;
    }
    if !may() {
        return Ok(0);
    }
    // SAFETY: the first `count` headers are filled in; everything that they point to outlives the call.
    let rc = unsafe {
        let n = libc::c_uint::try_from(count).unwrap_or(0);
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), n, libc::MSG_DONTWAIT)
    };
    usize::try_from(rc).map_err(|_| io::Error::last_os_error())
}

/// What the system knows of an interface.
pub(super) struct Facts {
    pub(super) index: i32,
    pub(super) mac: [u8; 6],
    pub(super) mtu: usize,
    pub(super) up: bool,
    pub(super) ethernet: bool,
}

/// Asks for an interface by name, in the network namespace where this thread is.
#[expect(unsafe_code, reason = "fields of a union, as many as there are questions")]
pub(super) fn facts(name: &str) -> io::Result<Facts> {
    let socket = any_socket()?;
    let ask = |question| {
        let mut request = request_for(name)?;
        ioctl(socket.as_raw_fd(), question, &mut request)?;
        Ok::<_, io::Error>(request.ifr_ifru)
    };
    let (index, address) = (ask(libc::SIOCGIFINDEX)?, ask(libc::SIOCGIFHWADDR)?);
    let (mtu, flags) = (ask(libc::SIOCGIFMTU)?, ask(libc::SIOCGIFFLAGS)?);
    // SAFETY: each question fills in this field of its answer.
    let (index, address, mtu, flags) =
        unsafe { (index.ifru_ifindex, address.ifru_hwaddr, mtu.ifru_mtu, flags.ifru_flags) };
    let mut mac = [0; 6];
    mac.iter_mut().zip(&address.sa_data).for_each(|(to, from)| *to = *from as u8);
    Ok(Facts {
        index,
        mac,
        mtu: usize::try_from(mtu).unwrap_or(0),
        up: i32::from(flags) & libc::IFF_UP != 0,
        ethernet: address.sa_family == libc::ARPHRD_ETHER,
    })
}

/// Gives an interface an MTU, and brings it up.
#[expect(unsafe_code, reason = "a field of a union")]
pub(super) fn bring_up(name: &str, mtu: usize) -> io::Result<()> {
    let socket = any_socket()?;
    let mut request = request_for(name)?;
    request.ifr_ifru.ifru_mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
    ioctl(socket.as_raw_fd(), libc::SIOCSIFMTU, &mut request)?;
    let mut request = request_for(name)?;
    ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the question before fills in this field.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &mut request)
}

/// Opens the device for TUN and TAP interfaces; not blocking.
pub(super) fn open_tun() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")
}

/// Makes `device` the interface `name`, which is made if it does not exist, with virtio headers and no others.
pub(super) fn attach_tun(device: &File, name: &str, tap: bool) -> io::Result<()> {
    let kind = if tap { libc::IFF_TAP } else { libc::IFF_TUN };
    let mut request = request_for(name)?;
    request.ifr_ifru.ifru_flags = (kind | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    ioctl(device.as_raw_fd(), libc::TUNSETIFF, &mut request)
}

/// The system may leave checksums and segmentation of what it sends to us.
#[expect(unsafe_code, reason = "an ioctl with a number for its argument")]
pub(super) fn offload_tun(device: &File) -> io::Result<()> {
    let features = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
    // SAFETY: the descriptor is open; this ioctl takes a number and writes nothing.
    let rc = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reading from it does not block any more.
#[expect(unsafe_code, reason = "no safe call for pipes")]
pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as it is borrowed; these calls read and write no memory.
    let rc = unsafe {
        let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends a process group that was started here and whose leader has not been waited for.
#[expect(unsafe_code, reason = "the standard library can end single processes only")]
pub(super) fn kill_group(leader: u32) {
    if let Some(group) = i32::try_from(leader).ok().filter(|g| *g > 1) {
        // SAFETY: sends a signal, touches no memory.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// Any socket will do to ask about interfaces.
fn any_socket() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::DGRAM, None)
}

#[expect(unsafe_code, reason = "a structure of C, with a union")]
fn request_for(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let name = CString::new(name)?;
    let name = name.as_bytes_with_nul();
    if name.len() > request.ifr_name.len() {
        return Err(io::ErrorKind::NotFound.into());
    }
    request.ifr_name.iter_mut().zip(name).for_each(|(to, from)| *to = *from as libc::c_char);
    Ok(request)
}

#[expect(unsafe_code, reason = "no safe call for these ioctls")]
fn ioctl(fd: i32, question: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: all questions that are asked here take an ifreq, and the descriptors are open.
    let rc = unsafe { libc::ioctl(fd, question, ptr::from_mut(request)) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
