//! The `tracing` span of a view change: from when a member first takes part in it to when it installs the next view. Its
//! phases are events in it; what is known at the end only is recorded then.

use super::report::Passage;
use crate::{id::MemberId, membership::Ballot, view::ViewId};
use tracing::{Span, field::Empty};

/// A span that begins with its first phase.
#[derive(Default)]
pub(super) struct ChangeSpan(Option<Span>);

impl ChangeSpan {
    /// Notes a phase.
    pub(super) fn phase(
        &mut self,
        group: &str,
        me: MemberId,
        view: ViewId,
        phase: &'static str,
        ballot: Option<Ballot>,
    ) {
        let span = self.0.get_or_insert_with(|| new(group, me, Some(view)));
        match ballot {
            Some(b) => tracing::debug!(parent: &*span, phase, round = b.round, rank = b.rank),
            None => tracing::debug!(parent: &*span, phase = phase),
        }
    }

    /// A view is installed: after the change that this span belongs to, or, without one, by a founder or a joiner.
    pub(super) fn finish(this: Option<&Self>, group: &str, me: MemberId, passage: &Passage) {
        let fresh;
        let span = match this.and_then(|s| s.0.as_ref()) {
            Some(span) => span,
            None => {
                fresh = new(group, me, None);
                &fresh
            }
        };
        if span.is_disabled() {
            return;
        }
        span.record("to", tracing::field::display(passage.view));
        span.record("members", passage.members);
        span.record("cause", passage.cause.name());
        span.record("why", passage.words.as_str());
        if let Some((round, rank)) = passage.ballot {
            span.record("ballot", tracing::field::display(format_args!("{round}.{rank}")));
        }
        if let Some(took) = passage.took {
            span.record("took_us", u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
        tracing::debug!(parent: span, phase = "installed");
    }
}

fn new(group: &str, me: MemberId, from: Option<ViewId>) -> Span {
    let from = from.map(tracing::field::display);
    tracing::info_span!(
        "view change",
        group,
        %me,
        from,
        to = Empty,
        members = Empty,
        cause = Empty,
        why = Empty,
        ballot = Empty,
        took_us = Empty,
    )
}
