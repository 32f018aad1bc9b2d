//! What goes wrong in a run, drawn from its seed. Who is meant by "the leader" is decided when it happens.

use gcs::{
    rng::Rng,
    sim::{Disturbance, Fault},
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const REPLICAS: usize = 3;

/// Who is hit.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom {
    Leader,
    Replica(usize),
}

/// Durations are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Its host is dead, or only the process.
    Kill {
        whom: Whom,
        evidence: bool,
    },
    /// SIGSTOP and SIGCONT.
    Pause {
        whom: Whom,
        lasts: u64,
    },
    /// Parted from the group; clients reach it, or its cable is out, too.
    Part {
        whom: Whom,
        lasts: u64,
        cable: bool,
    },
    Leave {
        whom: Whom,
    },
    /// The group's network, or the group itself.
    Group(Fault),
    /// A cable on the clients' Ethernet is out; [`REPLICAS`]: the clients' own.
    Cable {
        port: usize,
        lasts: u64,
    },
    /// So many of a thousand frames are lost there.
    Loss {
        per_mille: u64,
        lasts: u64,
    },
    /// They take up to so much longer, and overtake each other.
    Delay {
        most: u64,
        lasts: u64,
    },
}

impl Act {
    /// When it is over, if it begins at `at`.
    fn ends(&self, at: u64) -> u64 {
        let lasts = match self {
            Self::Kill { .. } | Self::Leave { .. } => 0,
            Self::Pause { lasts, .. }
            | Self::Part { lasts, .. }
            | Self::Cable { lasts, .. }
            | Self::Loss { lasts, .. }
            | Self::Delay { lasts, .. } => *lasts,
            Self::Group(Fault::Cut { lasts, .. }) => lasts.unwrap_or(0),
            Self::Group(Fault::Disturb { lasts, .. }) => *lasts,
            Self::Group(_) => 0,
        };
        at + lasts
    }
}

/// When what happens, in order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) acts: Vec<(u64, Act)>,
    /// The last fault is over.
    pub(crate) ends: u64,
}

impl Schedule {
    /// A few faults before `until`.
    pub(crate) fn draw(rng: &mut Rng, until: u64) -> Self {
        let most = [4, 8, 20][rng.below(3) as usize];
        let count = 1 + rng.below(most);
        let mut acts: Vec<_> = (0..count)
            .map(|_| {
                let act = act(rng);
                (300 * MS + rng.below(until - 300 * MS), act)
            })
            .collect();
        acts.sort_by_key(|(at, _)| *at);
        // One partition at a time: a later one would end an earlier one.
        let mut parted = 0;
        acts.retain(|(at, act)| {
            let parts = matches!(act, Act::Part { .. } | Act::Group(Fault::Cut { .. }));
            let keep = !parts || *at > parted;
            if parts && keep {
                parted = act.ends(*at);
            }
            keep
        });
        let ends = acts.iter().map(|(at, act)| act.ends(*at)).max().unwrap_or(0).max(until);
        Self { acts, ends }
    }
}

fn whom(rng: &mut Rng) -> Whom {
    if rng.chance(650) { Whom::Leader } else { Whom::Replica(rng.below(REPLICAS as u64) as usize) }
}

/// Mostly short, sometimes as long as it takes to be suspected, sometimes much longer.
fn lasts(rng: &mut Rng) -> u64 {
    let most = [30, 250, 900, 2_500][rng.below(4) as usize];
    (1 + rng.below(most)) * MS + rng.below(MS)
}

fn act(rng: &mut Rng) -> Act {
    let (whom, lasts) = (whom(rng), lasts(rng));
    match rng.below(13) {
        0..=2 => Act::Kill { whom, evidence: rng.chance(600) },
        3 | 4 => Act::Pause { whom, lasts },
        5 | 6 => Act::Part { whom, lasts, cable: rng.chance(300) },
        7 => {
            let from = rng.below(REPLICAS as u64) as usize;
            let to = (from + 1 + rng.below(REPLICAS as u64 - 1) as usize) % REPLICAS;
            Act::Group(Fault::Cut { from, to, both: rng.chance(300), lasts: Some(lasts) })
        }
        8 => {
            let (what, most) = [
                (Disturbance::Loss, 250),
                (Disturbance::Duplicate, 300),
                (Disturbance::Reorder, 300),
                (Disturbance::Delay, 40_000),
            ][rng.below(4) as usize];
            Act::Group(Fault::Disturb { what, value: 1 + rng.below(most), lasts })
        }
        9 => Act::Leave { whom },
        10 => Act::Cable { port: rng.below(REPLICAS as u64 + 1) as usize, lasts: lasts.min(900 * MS) },
        11 => Act::Loss { per_mille: 1 + rng.below(200), lasts },
        _ => Act::Delay { most: 1 + rng.below(30 * MS), lasts },
    }
}
