//! What an endpoint counts, through the `metrics` facade: whichever recorder the program has installed gets it.
//!
//! The endpoint counts for itself, in plain fields. Here the differences are handed on, at most every [`EVERY`] and when a
//! view is installed, so that messages and batches cost nothing.

use super::{GroupStats, driver::Engine};
use crate::{endpoint::Passage, time::Time};
use metrics::{
    Counter, Gauge, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(20);

type Read = fn(&GroupStats) -> u64;

/// Name, what it is, and where its value comes from.
const COUNTERS: [(&str, &str, Read); 18] = [
    ("gcs_messages_cast_total", "Messages that the application has cast.", |s| s.endpoint.cast),
    ("gcs_message_bytes_cast_total", "Their bytes.", |s| s.endpoint.cast_bytes),
    ("gcs_messages_delivered_total", "Messages delivered to the application, its own included.", |s| {
        s.endpoint.delivered
    }),
    ("gcs_message_bytes_delivered_total", "Their bytes.", |s| s.endpoint.delivered_bytes),
    ("gcs_frames_sent_total", "Frames sent, once whatever the number of receivers.", |s| {
        s.endpoint.frames_sent
    }),
    ("gcs_frames_received_total", "Frames received of the present view.", |s| s.endpoint.frames_received),
    ("gcs_frame_bytes_sent_total", "Bytes of frames sent, once for each receiver.", |s| {
        s.endpoint.bytes_sent
    }),
    ("gcs_frame_bytes_received_total", "Bytes of frames received.", |s| s.endpoint.bytes_received),
    ("gcs_frames_repaired_total", "Frames sent again to a member that has asked for them.", |s| {
        s.endpoint.repaired
    }),
    ("gcs_credit_waits_total", "How often casts had to wait for credit.", |s| s.endpoint.credit_waits),
    ("gcs_suspicions_total", "How often a member began to be suspected of silence.", |s| {
        s.endpoint.suspected
    }),
    ("gcs_processes_gone_total", "Members whose process was found gone.", |s| s.endpoint.gone),
    ("gcs_datagrams_sent_total", "Datagrams handed to the system.", |s| s.transport.sent),
    ("gcs_datagrams_received_total", "Datagrams received.", |s| s.transport.received),
    ("gcs_datagrams_multicast_total", "Transmissions that were multicast.", |s| s.transport.multicast),
    ("gcs_connections_refused_total", "Connections closed because of what came over them.", |s| {
        s.transport.refused
    }),
    ("gcs_send_calls_total", "System calls that sent.", |s| s.transport.send_calls),
    ("gcs_receive_calls_total", "System calls that received.", |s| s.transport.recv_calls),
];

/// Why datagrams were dropped.
const DROPPED: [(&str, Read); 8] = [
    ("garbage", |s| s.endpoint.garbage),
    ("other_group", |s| s.endpoint.other_group),
    ("other_view", |s| s.endpoint.other_view),
    ("forged", |s| s.endpoint.forged),
    ("malformed", |s| s.endpoint.malformed),
    ("refused", |s| s.endpoint.refused),
    ("replayed", |s| s.endpoint.replayed),
    ("not_sent", |s| s.transport.send_dropped),
];

const GAUGES: [(&str, Unit, &str); 6] = [
    ("gcs_members", Unit::Count, "Members of the present view."),
    ("gcs_view_number", Unit::Count, "The number of the present view."),
    ("gcs_blocked", Unit::Count, "1 while no quorum is in reach."),
    ("gcs_held_bytes", Unit::Bytes, "Bytes of frames and messages that the endpoint holds on to."),
    ("gcs_pending_bytes", Unit::Bytes, "Bytes of messages that wait for the endpoint."),
    ("gcs_queued_bytes", Unit::Bytes, "Bytes of events that wait for the application."),
];

/// The metrics of one endpoint, labelled with its group and member name.
pub(crate) struct Metering {
    labels: [Label; 2],
    counters: Vec<(Counter, Read)>,
    gauges: [Gauge; 6],
    last: GroupStats,
    next_at: Time,
    members: usize,
    number: u64,
}

impl Metering {
    /// Registers and describes everything with the program's recorder.
    pub(crate) fn new(group: &str, member: &str) -> Self {
        let labels = [Label::new("group", group.to_owned()), Label::new("member", member.to_owned())];
        let mut counters = Vec::new();
        for (name, what, read) in COUNTERS {
            describe_counter!(name, Unit::Count, what);
            counters.push((counter!(name, labels.iter()), read));
        }
        describe_counter!("gcs_datagrams_dropped_total", Unit::Count, "Datagrams dropped, by reason.");
        for (reason, read) in DROPPED {
            let labels = with(&labels, "reason", reason);
            counters.push((counter!("gcs_datagrams_dropped_total", labels.iter()), read));
        }
        describe_counter!("gcs_views_total", Unit::Count, "Views installed, by cause.");
        describe_histogram!(
            "gcs_view_change_seconds",
            Unit::Seconds,
            "From when this member stopped delivering in a view to the installation of the next, by cause."
        );
        let gauges = GAUGES.map(|(name, unit, what)| {
            describe_gauge!(name, unit, what);
            gauge!(name, labels.iter())
        });
        let (last, next_at) = (GroupStats::default(), Time::ZERO);
        Self { labels, counters, gauges, last, next_at, members: 0, number: 0 }
    }

    /// Whether it is time to hand on what was counted: `views` is the endpoint's count of views.
    pub(crate) fn is_due(&self, now: Time, views: u64) -> bool {
        now >= self.next_at || views != self.last.endpoint.views
    }

    /// Hands on what was counted.
    pub(crate) fn note(&mut self, now: Time, stats: GroupStats, blocked: bool, engine: &impl Engine) {
        self.next_at = now + EVERY;
        for (counter, read) in &self.counters {
            match read(&stats).saturating_sub(read(&self.last)) {
                0 => {}
                more => counter.increment(more),
            }
        }
        let views = stats.endpoint.views.saturating_sub(self.last.endpoint.views);
        let latest = engine.latest(usize::try_from(views).unwrap_or(usize::MAX));
        latest.iter().for_each(|p| self.on_view(p));
        let [members, number, is_blocked, held, pending, queued] = &self.gauges;
        members.set(self.members as f64);
        number.set(self.number as f64);
        is_blocked.set(f64::from(u8::from(blocked)));
        held.set(stats.held_bytes as f64);
        pending.set(stats.pending_bytes as f64);
        queued.set(stats.queued_bytes as f64);
        self.last = stats;
    }

    fn on_view(&mut self, passage: &Passage) {
        let labels = with(&self.labels, "cause", passage.cause.name());
        counter!("gcs_views_total", labels.iter()).increment(1);
        if let Some(took) = passage.took {
            histogram!("gcs_view_change_seconds", labels.iter()).record(took.as_secs_f64());
        }
        (self.members, self.number) = (passage.members, passage.view.number);
    }
}

fn with(labels: &[Label; 2], name: &'static str, value: &'static str) -> [Label; 3] {
    [labels[0].clone(), labels[1].clone(), Label::from_static_parts(name, value)]
}
