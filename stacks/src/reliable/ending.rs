//! The end of the view: wedge, fetch, close.

use super::{layer::ReliableLayer, store::Stream};
use gcs::{
    frame::Frames,
    layer::{Context, Down, TIMERS, Up},
    view::Cut,
};
use std::sync::Arc;

/// Where in its life the layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Sends and delivers.
    Open,
    /// Neither; stores what arrives, and asks for what the cut says, if there is one that it does not hold yet.
    Wedged { fetching: Option<Arc<Cut>> },
    /// Answers requests for what it holds.
    Closed,
}

impl State {
    /// The cut that is being fetched.
    pub(super) fn cut(&self) -> Option<&Cut> {
        match self {
            Self::Wedged { fetching } => fetching.as_deref(),
            Self::Open | Self::Closed => None,
        }
    }
}

impl ReliableLayer {
    pub(super) fn on_wedge(&mut self, cx: &mut Context<'_>) {
        cx.down(Down::Wedge);
        if self.state == State::Open {
            self.state = State::Wedged { fetching: None };
        }
        cx.up(Up::Wedged(self.frontier()));
    }

    pub(super) fn on_fetch(&mut self, cut: Arc<Cut>, cx: &mut Context<'_>) {
        if self.state == State::Closed {
            return;
        }
        assert_eq!(cut.frontier.len(), self.members, "the cut is one of this view");
        assert_eq!(cut.holder.len(), self.members, "the cut is one of this view");
        self.state = State::Wedged { fetching: Some(cut) };
        self.report_cut(cx);
        if self.state.cut().is_some() {
            for s in 0..self.members {
                self.repairs[s].restart(cx.now);
                let limit = self.limit(s);
                self.repairs[s].plan(&self.streams[s], limit, cx.now);
            }
            self.set_repair_timer(cx);
        }
    }

    /// Says so when everything up to the cut is held.
    pub(super) fn report_cut(&mut self, cx: &mut Context<'_>) {
        let State::Wedged { fetching } = &mut self.state else { return };
        if let Some(cut) = fetching.take_if(|cut| holds(&self.streams, cut)) {
            cx.up(Up::CutHeld(cut));
        }
    }

    pub(super) fn on_close(&mut self, cut: Arc<Cut>, cx: &mut Context<'_>) {
        if self.state != State::Closed {
            assert!(holds(&self.streams, &cut), "R5: Close only when everything up to the cut is held");
            self.state = State::Closed;
            (0..TIMERS).for_each(|t| cx.cancel_timer(u8::try_from(t).unwrap_or(0)));
            let mut up = Frames::new();
            for (stream, upto) in self.streams.iter_mut().zip(&cut.frontier) {
                stream.deliver_into(*upto, &mut up);
            }
            if !up.is_empty() {
                cx.up(Up::Frames(up));
            }
            cx.up(Up::Closed);
        }
        cx.down(Down::Close(cut));
    }

    /// The last frame of the stream that is to be had: what was seen to be missing, or what the cut says.
    pub(super) fn limit(&self, stream: usize) -> u64 {
        self.state.cut().map_or(self.streams[stream].holes_to, |cut| cut.frontier[stream])
    }

    /// The holder that the cut names first, then everybody else in turn.
    pub(super) fn whom_to_ask_for_cut(&self, cut: &Cut, stream: usize, attempt: usize) -> Option<usize> {
        let there = |m: &usize| *m < self.members && *m != self.me && !self.is_gone(*m);
        let named = Some(usize::from(cut.holder[stream])).filter(there);
        let others = || (0..self.members).filter(there).filter(|m| Some(*m) != named);
        let count = others().count() + usize::from(named.is_some());
        named.into_iter().chain(others()).nth(attempt % count.max(1))
    }
}

fn holds(streams: &[Stream], cut: &Cut) -> bool {
    streams.len() == cut.frontier.len()
        && streams.iter().zip(&cut.frontier).all(|(s, upto)| s.frontier >= *upto)
}
