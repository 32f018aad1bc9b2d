//! Snapshots whose last reference goes on a thread of its own.

use crate::blocks::Snapshot;
use bytes::Bytes;
use std::{sync::Arc, thread};

/// Dropping a snapshot of a gigabyte takes long enough to be noticed: it frees what the living state has replaced since.
/// Neither the endpoint's thread nor the application's should wait for it.
pub(super) struct Released(Option<Arc<dyn Snapshot>>);

impl Released {
    pub(super) fn new(snapshot: Arc<dyn Snapshot>) -> Self {
        Self(Some(snapshot))
    }
}

impl Drop for Released {
    fn drop(&mut self) {
        let snapshot = self.0.take();
        // Without a thread it is dropped here.
        let _ = thread::Builder::new().name("gcs snapshot".to_owned()).spawn(move || drop(snapshot));
    }
}

impl Snapshot for Released {
    fn chunks(&self) -> u64 {
        self.0.as_ref().map_or(0, |s| s.chunks())
    }

    fn chunk(&self, index: u64) -> Bytes {
        self.0.as_ref().map_or_else(Bytes::new, |s| s.chunk(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread::ThreadId};

    struct Tells(mpsc::Sender<ThreadId>);

    impl Snapshot for Tells {
        fn chunks(&self) -> u64 {
            1
        }

        fn chunk(&self, index: u64) -> Bytes {
            index.to_string().into()
        }
    }

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn the_last_reference_goes_on_another_thread() {
        let (tx, rx) = mpsc::channel();
        let snapshot = Released::new(Arc::new(Tells(tx)));
        assert_eq!((snapshot.chunks(), &snapshot.chunk(7)[..]), (1, &b"7"[..]));
        drop(snapshot);
        assert_ne!(rx.recv(), Ok(thread::current().id()));
    }
}
