//! [`Events`]: what a task says, as server-sent events.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use tokio::sync::mpsc;

/// Ends when the task does; the task sees when nobody listens any more.
pub(super) struct Events(mpsc::Receiver<Event>);

/// A stream of them.
pub(super) type Said = Sse<KeepAliveStream<Events>>;

/// What comes through this channel.
pub(super) fn said(events: mpsc::Receiver<Event>) -> Said {
    Sse::new(Events(events)).keep_alive(KeepAlive::default())
}

impl futures_core::Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}
