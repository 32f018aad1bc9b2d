//! What an endpoint says of itself, and the view changes that it remembers.

use super::{Endpoint, Phase, core::Core, decision::Decision, member::Member};
use crate::{
    frame::OLDEST_VERSION,
    report::Report,
    time::Time,
    view::{Role, ViewId},
};
use std::{collections::VecDeque, time::Duration};

/// So many view changes are remembered.
const REMEMBERED: usize = 16;

/// Why a view was installed: of several reasons, the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The group was founded.
    Founded,
    /// This process came, or came back.
    Came,
    /// The operator has forced it.
    Forced,
    /// Components of a partitionable group have merged.
    Merged,
    /// A part of a partitionable group goes on without the others, or without one that has gone on elsewhere.
    Parted,
    /// A member's process was found gone.
    Gone,
    /// A member was silent.
    Silent,
    /// A member was too slow.
    Slow,
    /// A member left.
    Left,
    /// Somebody joined.
    Joined,
    /// The members are the same: a proposer gave up, or its reason went away.
    Same,
}

impl Cause {
    /// A word for it, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Founded => "founded",
            Self::Came => "came",
            Self::Forced => "forced",
            Self::Merged => "merged",
            Self::Parted => "parted",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Left => "left",
            Self::Joined => "joined",
            Self::Same => "same",
        }
    }
}

/// A view that was installed: when, after how long, and why.
#[derive(Clone, Debug)]
pub struct Passage {
    /// The view.
    pub view: ViewId,
    /// How many members it has.
    pub members: usize,
    /// When it was installed.
    pub at: Time,
    /// From when this member stopped delivering in the view before; None without one.
    pub took: Option<Duration>,
    /// The first reason.
    pub cause: Cause,
    /// All reasons, in words, with names.
    pub words: String,
    /// Round and rank of the ballot, as far as this member took part.
    pub ballot: Option<(u32, u32)>,
}

/// The latest view changes.
#[derive(Debug, Default)]
pub(super) struct History {
    latest: VecDeque<Passage>,
}

impl History {
    /// Takes note of a view that is about to be installed.
    pub(super) fn note(&mut self, now: Time, decision: &Decision, previous: Option<&Member>) -> &Passage {
        let view = &decision.view;
        let (cause, words) = match previous {
            Some(p) => p.cause(decision),
            None if decision.ends.number == 0 => (Cause::Founded, "the group was founded".to_owned()),
            None => (Cause::Came, "this process came".to_owned()),
        };
        let passage = Passage {
            view: view.id,
            members: view.len(),
            at: now,
            took: previous.and_then(|p| p.change.wedged_at).map(|at| now.since(at)),
            cause,
            words,
            ballot: previous.map(|p| p.change.ballot()).map(|b| (b.round, b.rank)),
        };
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(passage);
        &self.latest[self.latest.len() - 1]
    }

    fn report(&self, now: Time, to: &mut Report) {
        to.section("view changes, the latest first");
        for p in self.latest.iter().rev() {
            let took = p.took.map_or_else(String::new, |t| format!(" in {t:.1?}"));
            let ago = now.since(p.at);
            to.say(&p.view.to_string(), format!("{} members, {ago:.1?} ago{took}: {}", p.members, p.words));
        }
    }
}

impl Member {
    /// What is different in `next`, and why.
    fn cause(&self, decision: &Decision) -> (Cause, String) {
        let next = &decision.view;
        let (mut words, mut causes) = (Vec::new(), Vec::new());
        if decision.merges() {
            let views: Vec<_> = decision.components().iter().map(|c| c.view.to_string()).collect();
            causes.push(Cause::Merged);
            words.push(format!("views {} merge", views.join(" and ")));
        } else if decision.line != self.decision.line {
            causes.push(Cause::Parted);
            words.push("goes on without a quorum".to_owned());
        } else if next.id.epoch != self.view.id.epoch {
            causes.push(Cause::Forced);
            words.push("forced by the operator".to_owned());
        }
        for (r, m) in self.view.members.iter().enumerate().filter(|(_, m)| next.rank_of(m.id).is_none()) {
            let (cause, why) = if self.suspicions.gone >> r & 1 == 1 {
                (Cause::Gone, "its process is gone")
            } else if self.parting.elsewhere >> r & 1 == 1 {
                (Cause::Parted, "gone on elsewhere")
            } else if self.joins.leavers >> r & 1 == 1 {
                (Cause::Left, "it left")
            } else if self.slow(0).exclude >> r & 1 == 1 {
                (Cause::Slow, "too slow")
            } else {
                (Cause::Silent, "silent")
            };
            causes.push(cause);
            words.push(format!("without {} ({why})", m.name));
        }
        for m in next.members.iter().filter(|m| m.role == Role::LEARNER) {
            if self.view.members.iter().any(|was| was.id == m.id && was.role != m.role) {
                causes.push(Cause::Slow);
                words.push(format!("{} as a learner (too slow)", m.name));
            }
        }
        for m in next.members.iter().filter(|m| self.view.rank_of(m.id).is_none()) {
            causes.push(Cause::Joined);
            words.push(format!("with {}", m.name));
        }
        let cause = causes.into_iter().min_by_key(|c| *c as u8).unwrap_or(Cause::Same);
        (cause, if words.is_empty() { "the same members".to_owned() } else { words.join(", ") })
    }

    fn report(&self, now: Time, core: &Core, to: &mut Report) {
        to.section("view");
        to.say("id", self.view.id);
        to.say("version of the protocol", self.decision.version);
        if core.config.partitionable {
            let kind =
                if self.decision.is_primary() { "the primary one" } else { "a part that went on alone" };
            to.say("component", kind);
            to.say("has gone on elsewhere", Report::names(&self.view, self.parting.elsewhere));
            to.say("waits to merge", self.parting.in_limbo());
        }
        for (r, m) in self.view.members.iter().enumerate() {
            let me = if r == usize::from(self.rank) { " (this one)" } else { "" };
            let role = match m.role {
                Role { weight: 0, .. } => ", a learner".to_owned(),
                Role { weight, witness: true } => format!(", a witness with {weight} votes"),
                Role { weight: 1, .. } => String::new(),
                Role { weight, .. } => format!(", {weight} votes"),
            };
            to.say(&format!("rank {r}"), format!("{} at {}{role}{me}", m.name, m.id));
        }
        let silent = self.suspicions.silent[usize::from(self.rank)];
        to.say("hears nothing from", Report::names(&self.view, silent));
        to.say("whose process is gone", Report::names(&self.view, self.suspicions.gone));
        to.say("would exclude", Report::names(&self.view, self.excluded()));
        to.say("too slow", Report::names(&self.view, self.slow(0).all()));
        to.say("wants to leave", Report::names(&self.view, self.joins.leavers));
        to.say("last contact with a quorum", format!("{:.1?} ago", now.since(self.contact.quorum_at)));
        to.say("blocked, without a quorum", core.blocked);
        let wedged =
            self.change.wedged_at.map_or_else(|| "no".to_owned(), |at| format!("for {:.1?}", now.since(at)));
        to.say("wedged by a view change", wedged);
        to.say("application keeps up", !self.congested);
        self.stack.report(to);
    }
}

impl Endpoint {
    /// The latest views that were installed, the latest first; at most 16.
    pub fn passages(&self) -> impl Iterator<Item = &Passage> {
        self.core.history.latest.iter().rev()
    }

    /// What this endpoint knows and waits for.
    #[must_use]
    pub fn report(&self, now: Time) -> Report {
        let (core, mut to) = (&self.core, Report::default());
        to.section("process");
        to.say("group", &core.config.group);
        to.say("name", &core.config.name);
        to.say("address and incarnation", core.me);
        to.say("stack", core.config.stack.description());
        to.say("speaks versions", format_args!("{OLDEST_VERSION} to {}", core.config.protocol_max));
        let phase = match &self.phase {
            Phase::Idle => "not started",
            Phase::Seeking(_) => "looks for its group",
            Phase::Member(_) if core.leaving => "a member that leaves",
            Phase::Member(_) => "a member",
            Phase::Out => "out of the group",
        };
        to.say("is", phase);
        to.say("has the group's state", core.state.is_complete());
        to.say("lease", if core.lease_until > now { "valid" } else { "over" });
        to.say("casts wait for credit", !core.writable);
        to.say(
            "bytes of messages for the next view",
            core.unsent.iter().map(|o| o.byte_len()).sum::<usize>(),
        );
        to.say("bytes of frames and messages held", self.held_bytes());
        let s = core.stats;
        to.say("frames sent, received", format!("{}, {}", s.frames_sent, s.frames_received));
        to.say(
            "dropped: garbage, other groups, other views, forged, malformed",
            format!("{}, {}, {}, {}, {}", s.garbage, s.other_group, s.other_view, s.forged, s.malformed),
        );
        if let Phase::Member(m) = &self.phase {
            m.report(now, core, &mut to);
        }
        core.history.report(now, &mut to);
        to
    }
}
