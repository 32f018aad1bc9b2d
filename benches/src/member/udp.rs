//! A process that only sends or receives UDP datagrams, with segmentation and receive offload: what any group on this
//! machine stays below. Nothing is ordered, packed or repeated; what is lost is not counted.

use super::{Job, Settings, Span, stamp};
use crate::report::{Figures, Line, Percentiles, histogram, print, wall_ns};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::{io::IoSliceMut, net::SocketAddr, time::Duration};
use tokio::{io::Interest, net::UdpSocket};

/// The kernel's limits on what one call sends to one destination.
const TRAIN_BYTES: usize = 64_000;
const TRAIN_COUNT: usize = 64;
const WINDOW: usize = 64 << 10;
const SOCKET_BUFFER: usize = 8 << 20;
/// In the byte after the time: a message that is to be sent back.
const ECHO: u8 = 1;

struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<Vec<u8>>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl Socket {
    fn bind(addr: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::from_std({
            let s = std::net::UdpSocket::bind(addr)?;
            s.set_nonblocking(true)?;
            s
        })?;
        let state = UdpSocketState::new((&socket).into())?;
        state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER)?;
        state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER)?;
        let buffers = vec![vec![0; WINDOW]; BATCH_SIZE];
        Ok(Self { socket, state, buffers, meta: [RecvMeta::default(); BATCH_SIZE] })
    }

    async fn send(&self, to: SocketAddr, contents: &[u8], segment: usize) -> anyhow::Result<()> {
        let segment_size = (segment < contents.len()).then_some(segment);
        let t = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
        let send = || self.state.try_send((&self.socket).into(), &t);
        Ok(self.socket.async_io(Interest::WRITABLE, send).await?)
    }

    /// Receives; how many of the buffers have something.
    async fn receive(&mut self) -> anyhow::Result<usize> {
        let (socket, state, meta) = (&self.socket, &self.state, &mut self.meta);
        let mut slices: Vec<_> = self.buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let receive = || state.recv(socket.into(), &mut slices, meta);
        Ok(socket.async_io(Interest::READABLE, receive).await?)
    }
}

/// `datagram` bytes are sent at a time, as many messages as fit.
pub(super) async fn run(settings: &Settings, datagram: usize) -> anyhow::Result<()> {
    let mut socket = Socket::bind(settings.bind)?;
    let peers: Vec<_> = settings.contacts.iter().copied().filter(|a| *a != settings.bind).collect();
    let count = (TRAIN_BYTES / datagram).clamp(1, TRAIN_COUNT);
    let train = vec![0; count * datagram];
    let mut message = vec![0; settings.payload.max(9)];
    let mut span = Span::new(settings);
    let (mut bytes, mut done, mut latency) = (0, false, histogram()?);
    loop {
        let now = wall_ns();
        if span.begins(now) {
            bytes = 0;
            latency.reset();
        }
        if !done && span.is_over(now) {
            done = true;
            print(&Line::Done(Figures {
                delivered: bytes / settings.payload as u64,
                latency_us: (!latency.is_empty()).then(|| Percentiles::of(&latency)),
                ..span.figures()
            }));
        }
        if settings.job == Job::Flood {
            for to in &peers {
                // A receiver that is not there yet refuses.
                let _ = socket.send(*to, &train, datagram).await;
            }
            bytes += train.len() as u64;
            continue;
        }
        if settings.job == Job::PingPong {
            stamp(&mut message, wall_ns());
            message[8] = ECHO;
            let _ = socket.send(peers[0], &message, message.len()).await;
        }
        // A lost message is sent again after a while.
        let wait =
            if done { Duration::from_millis(10) } else { span.left(now).min(Duration::from_millis(10)) };
        let Ok(Ok(n)) = tokio::time::timeout(wait, socket.receive()).await else { continue };
        for i in 0..n {
            let (len, from) = (socket.meta[i].len, socket.meta[i].addr);
            bytes += len as u64;
            let got = &socket.buffers[i][..len];
            match (settings.job, got.first_chunk()) {
                (Job::PingPong, Some(sent)) => {
                    latency.saturating_record(wall_ns().saturating_sub(u64::from_le_bytes(*sent)).max(1));
                }
                (Job::Listen, Some(_)) if got.get(8) == Some(&ECHO) => {
                    let _ = socket.send(from, got, len).await;
                }
                _ => {}
            }
        }
    }
}
