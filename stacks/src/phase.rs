//! Where a layer that holds frames back is in its view's life.

use gcs::layer::Down;

/// Open until the view is about to end, and closed when everything was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Frames are started and passed on.
    Open,
    /// None are started, and none passed on but those that `Down::Close` lets go.
    Wedged,
    /// Everything has been passed on.
    Closed,
}

impl Phase {
    /// Takes note of a request on its way down.
    pub(crate) fn note(&mut self, event: &Down) {
        if matches!(event, Down::Wedge) && *self == Self::Open {
            *self = Self::Wedged;
        }
    }
}
