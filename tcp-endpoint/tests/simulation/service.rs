//! What the replicas serve: an echo at one port, a download at another.

use std::collections::BTreeMap;

use bytes::Bytes;
use gcs_tcp_endpoint::{
    service::{Echo, Io, RestoreError, Service},
    tcp::{Id, Reason},
};

pub(crate) const ECHO: u16 = 80;
pub(crate) const DOWNLOAD: u16 = 81;
/// A request: a key and a length, little-endian.
pub(crate) const REQUEST: usize = 16;

/// The byte at `position` of a stream.
pub(crate) fn byte(key: u64, position: u64) -> u8 {
    ((position ^ key << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Bytes of a stream.
pub(crate) fn bytes(key: u64, from: u64, len: u64) -> Bytes {
    (from..from + len).map(|at| byte(key, at)).collect()
}

/// A download: its request, as far as it has come, and what was sent.
type Download = (Vec<u8>, u64);

#[derive(Default)]
pub(crate) struct Both {
    downloads: BTreeMap<Id, Download>,
}

impl Both {
    fn go_on(&mut self, id: Id, io: &mut Io<'_>) {
        let Some((request, sent)) = self.downloads.get_mut(&id) else { return };
        let Ok(said) = <[u8; REQUEST]>::try_from(&request[..]) else { return };
        let word = |at: usize| u64::from_le_bytes(said[at..at + 8].try_into().expect("eight bytes"));
        let len = io.room(id).min(word(8) - *sent);
        let mut piece = bytes(word(0), *sent, len);
        io.write(id, &mut piece);
        *sent += len - piece.len() as u64;
        if *sent < word(8) {
            io.wait_for_room(id);
        } else {
            io.shutdown(id);
            self.downloads.remove(&id);
        }
    }
}

fn is_echo(id: Id, io: &Io<'_>) -> bool {
    io.look(id).is_none_or(|(_, ours, _)| ours.port() == ECHO)
}

impl Service for Both {
    fn on_open(&mut self, id: Id, io: &mut Io<'_>) {
        if !is_echo(id, io) {
            self.downloads.insert(id, (Vec::new(), 0));
        }
    }

    fn on_data(&mut self, id: Id, io: &mut Io<'_>) {
        if is_echo(id, io) {
            return Echo.on_data(id, io);
        }
        let Some((request, _)) = self.downloads.get_mut(&id) else { return };
        let more = io.read(id, (REQUEST - request.len()) as u64).concat();
        request.extend(more);
        self.go_on(id, io);
    }

    fn on_finished(&mut self, id: Id, io: &mut Io<'_>) {
        if is_echo(id, io) {
            Echo.on_finished(id, io);
        }
    }

    fn on_close(&mut self, id: Id, _: Reason, _: &mut Io<'_>) {
        self.downloads.remove(&id);
    }

    fn snapshot(&self) -> Vec<u8> {
        postcard::to_stdvec(&self.downloads).expect("numbers and bytes")
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.downloads = postcard::from_bytes(snapshot).map_err(|_| RestoreError::Malformed)?;
        Ok(())
    }
}
