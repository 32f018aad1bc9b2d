//! A client, its back end, and what passes between them: bytes as far as there is room, ends of streams behind them.

use gcs::time::Time;
use serde::{Deserialize, Serialize};

use crate::{service::Io, tcp::Id};

/// Whose connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Side {
    Client,
    BackEnd,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::BackEnd,
            Self::BackEnd => Self::Client,
        }
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stream {
    /// More may come.
    Flows,
    /// Its end has arrived; bytes before it may be unread.
    Ended,
    /// All of it has been written to the other side, its end as well.
    Passed,
}

/// A session. It holds no bytes: they are in the two connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) client: Id,
    pub(super) back: Id,
    /// The listener, and the number of the back end among its own.
    pub(super) listener: usize,
    pub(super) number: usize,
    /// Back ends that have been tried, as bits.
    pub(super) tried: u64,
    /// The back end has not answered yet, and has until then.
    pub(super) opening: Option<Time>,
    from_client: Stream,
    from_back: Stream,
}

impl Session {
    /// A client that is about to get a back end: `back` and `number` come with the first attempt.
    pub(super) fn new(client: Id, listener: usize) -> Self {
        Self {
            client,
            back: client,
            listener,
            number: 0,
            tried: 0,
            opening: None,
            from_client: Stream::Flows,
            from_back: Stream::Flows,
        }
    }

    /// The connection of `side`, and the other one.
    fn both(&self, side: Side) -> (Id, Id) {
        match side {
            Side::Client => (self.client, self.back),
            Side::BackEnd => (self.back, self.client),
        }
    }

    fn stream(&mut self, side: Side) -> &mut Stream {
        match side {
            Side::Client => &mut self.from_client,
            Side::BackEnd => &mut self.from_back,
        }
    }

    /// The end of the stream from `side` has arrived.
    pub(super) fn ended(&mut self, side: Side) {
        if *self.stream(side) == Stream::Flows {
            *self.stream(side) = Stream::Ended;
        }
    }

    /// Passes on what there is from `side`: as much as the other side takes now; the rest stays where it is, and holds the sender back.
    pub(super) fn pass(&mut self, side: Side, io: &mut Io<'_>) {
        if self.opening.is_some() || *self.stream(side) == Stream::Passed {
            return;
        }
        let (from, to) = self.both(side);
        for mut bytes in io.read(from, io.room(to)) {
            io.write(to, &mut bytes);
            debug_assert!(bytes.is_empty(), "no more is read than there is room for");
        }
        if *self.stream(side) == Stream::Ended && io.finished(from) {
            io.shutdown(to);
            *self.stream(side) = Stream::Passed;
        } else if io.room(to) == 0 {
            io.wait_for_room(to);
        }
    }

    /// The connection of `side` is no more; `whole`: its stream came to its end before. The other side is told the same: the end of the stream
    /// behind its last byte, or a reset.
    pub(super) fn gone(&mut self, side: Side, whole: bool, io: &mut Io<'_>) {
        let (_, other) = self.both(side);
        if self.opening.is_none() && (whole || *self.stream(side) != Stream::Flows) {
            // Nobody is left to take what may come from there; without this, closing would be a reset as well.
            io.read(other, u64::MAX);
            io.close(other);
        } else {
            io.abort(other);
        }
    }
}
