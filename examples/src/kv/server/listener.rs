//! Accepts connections, up to the bound.

use super::backend::Backend;
use super::connection::Connection;
use super::limits::Limits;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;
use tokio::time;

/// After a failed accept (usually: no file descriptors left), the wait before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener with what its connections need.
///
/// ```no_run
/// # async fn example(backend: impl gcs_examples::kv::server::Backend) -> std::io::Result<()> {
/// use gcs_examples::kv::server::{Limits, Server};
/// let server = Server::bind("127.0.0.1:6379", backend, Limits::default()).await?;
/// println!("listening on {}", server.local_addr()?);
/// server.run(std::future::pending()).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server<B> {
    listener: TcpListener,
    backend: B,
    limits: Limits,
}

impl<B: Backend> Server<B> {
    /// Binds; connections wait in the system's queue until [`Self::run`].
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: impl ToSocketAddrs, backend: B, limits: Limits) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, backend, limits })
    }

    /// Where clients reach it; tells the port if port 0 was asked for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is ready, then closes all connections, whatever they wait for.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut connections = JoinSet::new();
        let mut id = 0;
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                // An ended connection needs nothing: its client is gone, or was told why.
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Err(_) => time::sleep(ACCEPT_PAUSE).await,
                Ok((stream, _)) if connections.len() >= self.limits.max_connections => refuse(stream),
                Ok((stream, _)) => {
                    id += 1;
                    // Replies are written whole; without this the last bytes could wait for an acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let connection = Connection::new(id, stream, self.backend.clone(), self.limits.clone());
                    connections.spawn(connection.run());
                }
            }
        }
        connections.shutdown().await;
    }
}

/// Tells a client that there are too many, without waiting for it: a fresh socket has room for a line.
fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(b"-ERR max number of clients reached\r\n");
    }
}
