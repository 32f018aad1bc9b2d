//! Drives an endpoint: one thread with its own tokio runtime, fed by the application in batches.
//!
//! ```text
//! application ──casts, commands──► Shared ──► Driver ──► Endpoint (sans-IO)
//!     ▲                              │          │ ▲
//!     └──────── events, view, lease ─┘          ▼ │
//!                                    Transport, Liveness
//! ```

pub(crate) mod clock;
#[cfg(unix)]
pub(crate) mod control;
pub(crate) mod discovery;
pub(crate) mod driver;
#[cfg(feature = "metrics")]
pub(crate) mod metering;
pub(crate) mod shared;

pub use shared::{GroupStats, Status};

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on a thread without a runtime. Only for futures that need neither I/O nor timers of one.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
pub(crate) mod loopback;
