//! The server on the kernel's TCP: a thread for each connection.

use super::{REQUEST, use_cubic};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

pub(super) fn serve(at: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at)?;
    // Its connections inherit that.
    use_cubic(&listener)?;
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || {
            // The client ends when it has measured enough.
            let _ = answer(stream);
        });
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wish = [0];
    stream.read_exact(&mut wish)?;
    let mut buffer = vec![0; 256 << 10];
    match wish[0] {
        b'd' => loop {
            stream.write_all(&buffer)?;
        },
        b'u' => while stream.read(&mut buffer)? > 0 {},
        _ => loop {
            stream.read_exact(&mut buffer[..REQUEST])?;
            stream.write_all(&buffer[..REQUEST])?;
        },
    }
    Ok(())
}
