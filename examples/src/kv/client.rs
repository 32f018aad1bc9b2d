//! A small blocking Redis client, for the demo and for tests: one request, one reply.

use redis_protocol::resp2::{decode::decode, types::OwnedFrame};
use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A connection.
pub struct Client {
    stream: TcpStream,
    buf: Vec<u8>,
}

impl Client {
    /// Connects; requests fail after `timeout` without a reply.
    ///
    /// # Errors
    /// As of the socket.
    pub fn connect(addr: SocketAddr, timeout: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self { stream, buf: Vec::new() })
    }

    /// Sends a command and waits for its reply. After an error the connection is of no more use.
    ///
    /// # Errors
    /// As of the socket; `InvalidData` for what is not RESP2.
    pub fn request(&mut self, args: &[&[u8]]) -> io::Result<OwnedFrame> {
        let mut out = Vec::with_capacity(64);
        write!(out, "*{}\r\n", args.len())?;
        for a in args {
            write!(out, "${}\r\n", a.len())?;
            out.extend_from_slice(a);
            out.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&out)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<OwnedFrame> {
        let mut chunk = [0; 16 << 10];
        loop {
            match decode(&self.buf) {
                Ok(Some((frame, used))) => {
                    self.buf.drain(..used);
                    return Ok(frame);
                }
                Ok(None) => {}
                Err(e) => return Err(io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
            }
            let n = self.stream.read(&mut chunk)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buf.extend_from_slice(&chunk[..n]);
        }
    }
}
