//! What may hang runs in a thread of its own.
//!
//! A thread that hangs in the system cannot be ended, only left alone: no pool of threads is used, because a few of them would fill it,
//! and the runtime would wait for them when it ends. Bound: one thread for each worker; as long as it has not come back, no other is begun.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::oneshot;

use super::poll::ReadError;

/// Virtual memory; what is not touched costs nothing.
const STACK_BYTES: usize = 1 << 20;

/// Runs one thing at a time.
#[derive(Debug, Default)]
pub(super) struct Worker(Arc<AtomicBool>);

/// Says that the thread is over, however it ends.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Worker {
    /// What `work` returns. Who stops waiting leaves the thread to itself.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        if self.0.swap(true, Ordering::AcqRel) {
            return Err(ReadError::Hangs);
        }
        let busy = Busy(self.0.clone());
        let (done, result) = oneshot::channel();
        let builder = thread::Builder::new().name("gcs-source".to_owned()).stack_size(STACK_BYTES);
        builder
            .spawn(move || {
                let outcome = work();
                // Before the outcome is there, so that the next reading finds the worker free.
                drop(busy);
                let _ = done.send(outcome);
            })
            .map_err(ReadError::Thread)?;
        result.await.map_err(|_| ReadError::Panicked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_hangs_is_left_alone_and_not_begun_twice() {
        let worker = Worker::default();
        let (release, hold) = mpsc::channel::<()>();
        let (over, is_over) = oneshot::channel();
        let hangs = worker.run(move || {
            let _ = hold.recv();
            let _ = over.send(());
        });
        tokio::select! {
            biased;
            _ = hangs => panic!("it hangs"),
            () = tokio::task::yield_now() => {}
        }
        assert!(matches!(worker.run(|| ()).await, Err(ReadError::Hangs)));
        drop(release);
        is_over.await.unwrap();
        while matches!(worker.run(|| ()).await, Err(ReadError::Hangs)) {
            tokio::task::yield_now().await;
        }
        assert_eq!(worker.run(|| 5).await.unwrap(), 5);
    }
}
