//! A server for a router, with bounds on connections and their time.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::sources::limits;

/// How long a connection may last; a client makes another one then.
const CONNECTION: Duration = Duration::from_secs(30);
/// How long the head of a request may take, the wait for it included.
const HEAD: Duration = Duration::from_secs(10);
/// How large it may be.
const HEAD_BYTES: usize = 16 << 10;

/// Serves for ever. Connections end with it.
pub(in crate::sources) async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // No descriptors are left, or the like: that may pass.
            Err(_) => {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let router = router.clone();
        connections.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            // A client that breaks off is no concern of ours.
            let _ = timeout(CONNECTION, connection).await;
            drop(place);
        });
    }
}
