//! The stream of what a group delivers.

use super::Keep;
use crate::{
    endpoint::Event,
    runtime::{block_on, shared::weight},
};
use std::{collections::VecDeque, sync::Arc};

/// What the group delivers, in order, for one reader: [`Event::View`], [`Event::Messages`], [`Event::StateRequested`],
/// [`Event::StateChunk`], [`Event::Blocked`], [`Event::Resumed`], and [`Event::Left`] as the last one.
///
/// A reader that does not keep up slows the group down: see [`super::Builder::queue_bytes`]. A reader that stops reading
/// stops the group, so a program that does not care drops the stream: then events are discarded.
///
/// The messages' bytes are slices of large receive buffers; copy what is to be kept for long.
pub struct Events {
    keep: Arc<Keep>,
    local: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(keep: Arc<Keep>) -> Self {
        Self { keep, local: VecDeque::new() }
    }

    /// The next event; None after the last one. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.local.pop_front() {
                self.keep.0.consumed(weight(&event));
                return Some(event);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Appends all events that are there, and waits until there is at least one. False after the last one. Cancel safe.
    pub async fn next_batch(&mut self, batch: &mut Vec<Event>) -> bool {
        if self.local.is_empty() && !self.fill().await {
            return false;
        }
        self.keep.0.consumed(self.local.iter().map(weight).sum());
        batch.extend(self.local.drain(..));
        true
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        if self.local.is_empty() {
            self.keep.0.take_events(&mut self.local);
        }
        let event = self.local.pop_front()?;
        self.keep.0.consumed(weight(&event));
        Some(event)
    }

    /// The next event, for threads outside of any async runtime: blocks the thread.
    pub fn blocking_next(&mut self) -> Option<Event> {
        block_on(self.next())
    }

    /// Waits until there are local events. False if there will be none.
    async fn fill(&mut self) -> bool {
        loop {
            if !self.keep.0.take_events(&mut self.local) {
                return false;
            }
            if !self.local.is_empty() {
                return true;
            }
            self.keep.0.events_arrived().await;
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.keep.0.close_events();
    }
}
