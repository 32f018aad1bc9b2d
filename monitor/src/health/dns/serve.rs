//! Sockets: UDP, and TCP for what is too long.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{UDP_MAX, Zone, answer};
use crate::health::representative::Representative;

/// Connections at once; others wait.
const CONNECTIONS_MAX: usize = 64;
/// Who says nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an error of a socket.
const PAUSE: Duration = Duration::from_millis(100);

/// Sockets that are open.
pub struct Bound {
    udp: UdpSocket,
    tcp: TcpListener,
}

/// Opens both sockets at an address.
///
/// # Errors
/// The system's.
pub async fn bind(address: SocketAddr) -> io::Result<Bound> {
    let tcp = TcpListener::bind(address).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok(Bound { udp, tcp })
}

fn reply(query: &[u8], zone: &Zone, representative: &Representative, most: Option<usize>) -> Option<Vec<u8>> {
    representative.read(|state| answer(query, zone, state, most))
}

impl Bound {
    /// Where.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Answers until the future is dropped.
    pub async fn serve(self, zone: Zone, representative: Representative) {
        let over_tcp = streams(self.tcp, zone.clone(), representative.clone());
        tokio::join!(datagrams(self.udp, zone, representative), over_tcp);
    }
}

async fn datagrams(udp: UdpSocket, zone: Zone, representative: Representative) {
    let mut query = [0; UDP_MAX];
    loop {
        match udp.recv_from(&mut query).await {
            Ok((len, from)) => {
                if let Some(reply) = reply(&query[..len], &zone, &representative, Some(UDP_MAX)) {
                    // What gets lost is asked again.
                    let _ = udp.send_to(&reply, from).await;
                }
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn streams(tcp: TcpListener, zone: Zone, representative: Representative) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match tcp.accept().await {
            Ok((stream, _)) => {
                let (zone, representative) = (zone.clone(), representative.clone());
                connections.spawn(async move {
                    let _ = stream_of(stream, &zone, &representative).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Queries behind their lengths, one after the other (RFC 1035, §4.2.2).
async fn stream_of(mut stream: TcpStream, zone: &Zone, representative: &Representative) -> io::Result<()> {
    loop {
        let one = async {
            let len = stream.read_u16().await?;
            let mut query = vec![0; usize::from(len)];
            stream.read_exact(&mut query).await?;
            let reply = reply(&query, zone, representative, None).ok_or(io::ErrorKind::InvalidData)?;
            let len = u16::try_from(reply.len()).map_err(|_| io::ErrorKind::InvalidData)?;
            let mut framed = len.to_be_bytes().to_vec();
            framed.extend(reply);
            stream.write_all(&framed).await
        };
        timeout(PATIENCE, one).await??;
    }
}
