//! How much may be under way: CUBIC (RFC 9438) in integers, with proportional rate reduction (RFC 6937) while losses are
//! repaired, and an initial window of ten segments (RFC 6928).
//!
//! ```text
//!              loss                      repaired up to `recover`
//!   open ──────────────► repairing ──────────────────────────────► open
//!     │   timeout            │ timeout
//!     └──────────────► restarting ───────────────────────────────► open
//! ```
//!
//! Both ways out of `open` are undone when they turn out to have been unnecessary (RFC 4015). Everything is in bytes.

use std::time::Duration;

use gcs::time::Time;
use serde::{Deserialize, Serialize};

/// Segments of the first window (RFC 6928).
const INITIAL_SEGMENTS: u64 = 10;
/// The multiplicative decrease, beta = 0.7 (RFC 9438, section 4.6).
const BETA: (u64, u64) = (7, 10);
/// Windows are not larger than this; with it no product below overflows.
const MOST_BYTES: u64 = 1 << 32;
/// The curve is not followed further than this from its plateau.
const MOST_MS: i64 = 200_000;

/// What congestion control does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// Losses up to a position are repaired: proportional rate reduction.
    Repairing,
    /// A timeout has passed: everything up to a position counts as lost.
    Restarting,
}

/// A congestion window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cubic {
    phase: Phase,
    /// Repaired when everything before this position is acknowledged.
    recover: u64,
    window: u64,
    threshold: u64,
    /// The window at the last reduction (`cwnd_prior`), and where the curve is flat (`W_max`): there, or lower after fast convergence.
    prior: u64,
    plateau: u64,
    /// Since when the curve is followed; None after a reduction, until the window grows again.
    epoch: Option<Epoch>,
    /// Proportional rate reduction: bytes that arrived, and that were sent, since the reduction; bytes under way at it.
    delivered: u64,
    sent: u64,
    at_reduction: u64,
    /// Window, threshold, prior and plateau before the reduction, as long as it can be undone.
    before: Option<[u64; 4]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    since: Time,
    /// Milliseconds from its beginning to the plateau (`K`).
    to_plateau: i64,
    plateau: u64,
    /// What Reno would have (`W_est`).
    reno: u64,
}

impl Cubic {
    /// The window of a new connection whose packets carry `mss` bytes.
    pub(crate) fn new(mss: u64) -> Self {
        Self {
            phase: Phase::Open,
            recover: 0,
            window: INITIAL_SEGMENTS * mss,
            threshold: MOST_BYTES,
            prior: 0,
            plateau: 0,
            epoch: None,
            delivered: 0,
            sent: 0,
            at_reduction: 0,
            before: None,
        }
    }

    /// How many bytes may be under way.
    pub(crate) fn window(&self) -> u64 {
        self.window
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Up to where losses are being repaired.
    pub(crate) fn recover(&self) -> u64 {
        self.recover
    }

    /// `bytes` have left while losses are repaired.
    pub(crate) fn on_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Something is lost: the window shrinks once per round trip. `under_way` bytes are on their way, `next` is the next
    /// position to be sent.
    pub(crate) fn on_loss(&mut self, under_way: u64, next: u64, mss: u64) {
        if self.phase == Phase::Open {
            self.reduce(mss);
            self.phase = Phase::Repairing;
            self.recover = next;
            self.delivered = 0;
            self.sent = 0;
            self.at_reduction = under_way.max(1);
        }
    }

    /// The retransmission timeout has passed.
    pub(crate) fn on_timeout(&mut self, next: u64, mss: u64) {
        if self.phase != Phase::Restarting {
            if self.phase == Phase::Open {
                self.reduce(mss);
            }
            self.phase = Phase::Restarting;
            self.recover = next;
        }
        self.window = mss;
    }

    fn reduce(&mut self, mss: u64) {
        self.before = Some([self.window, self.threshold, self.prior, self.plateau]);
        // Fast convergence (RFC 9438, section 4.7): who has to give way twice in a row leaves room for others.
        self.plateau = if self.window < self.plateau {
            self.window * (BETA.1 + BETA.0) / (2 * BETA.1)
        } else {
            self.window
        };
        self.prior = self.window;
        self.threshold = (self.window * BETA.0 / BETA.1).max(2 * mss);
        self.epoch = None;
    }

    /// The last reduction was a mistake: nothing had been lost.
    pub(crate) fn undo(&mut self) {
        if let Some([window, threshold, prior, plateau]) = self.before.take() {
            self.window = self.window.max(window);
            self.threshold = threshold;
            self.prior = prior;
            self.plateau = plateau;
            self.phase = Phase::Open;
        }
    }

    /// Nothing has left for so long that the window says nothing about the path any more (RFC 5681, section 4.1).
    pub(crate) fn restart(&mut self, mss: u64) {
        self.window = self.window.min(INITIAL_SEGMENTS * mss);
        self.phase = Phase::Open;
        self.epoch = None;
        self.before = None;
    }

    /// Everything before `next` may arrive twice: duplicates from there are no loss.
    pub(crate) fn doubts(&mut self, next: u64) {
        self.recover = next;
    }

    /// Everything before `una` is acknowledged: whether that ends the repairs. What turns out to be lost after that is another loss
    /// (RFC 5681, section 4.3: one reduction a window of data, not fewer).
    pub(crate) fn repaired(&mut self, una: u64) -> bool {
        let repaired = self.phase != Phase::Open && una >= self.recover;
        if repaired {
            if self.phase == Phase::Repairing {
                self.window = self.threshold;
            }
            self.phase = Phase::Open;
            self.before = None;
        }
        repaired
    }

    /// `arrived` more bytes are known to have arrived; `under_way` bytes still are on their way. The window grows only if it was what held
    /// the sender back (`limited`).
    pub(crate) fn on_ack(&mut self, ack: &Ack) {
        match self.phase {
            Phase::Repairing => self.reduce_in_proportion(ack),
            Phase::Open | Phase::Restarting if ack.limited && ack.arrived > 0 => self.grow(ack),
            Phase::Open | Phase::Restarting => {}
        }
    }

    /// RFC 6937, section 3.1.
    fn reduce_in_proportion(&mut self, ack: &Ack) {
        self.delivered += ack.arrived;
        let may_send = if ack.under_way > self.threshold {
            (self.delivered * self.threshold).div_ceil(self.at_reduction).saturating_sub(self.sent)
        } else {
            let limit = self.delivered.saturating_sub(self.sent).max(ack.arrived) + ack.mss;
            (self.threshold - ack.under_way).min(limit)
        };
        // RFC 9937, section 6.2: the first retransmission does not wait for the proportion.
        let may_send = if self.sent == 0 { may_send.max(ack.mss) } else { may_send };
        self.window = (ack.under_way + may_send).max(ack.mss);
    }

    fn grow(&mut self, ack: &Ack) {
        let mut arrived = ack.arrived;
        if self.window < self.threshold {
            let step = arrived.min(self.threshold - self.window);
            self.window += step;
            arrived -= step;
        }
        if arrived > 0 && self.window >= self.threshold {
            self.follow_the_curve(ack, arrived);
        }
        self.window = self.window.min(MOST_BYTES);
    }

    fn follow_the_curve(&mut self, ack: &Ack, arrived: u64) {
        let (window, mss) = (self.window, ack.mss);
        let plateau = self.plateau.max(window);
        let epoch = self.epoch.get_or_insert_with(|| Epoch {
            since: ack.now,
            // K = cbrt((W_max - cwnd) / C), in segments and seconds, with C = 0.4.
            to_plateau: cube_root(u128::from(plateau - window) * 2_500_000_000 / u128::from(mss)),
            plateau,
            reno: window,
        });
        if epoch.to_plateau == 0 {
            self.plateau = plateau.min(epoch.plateau);
        }
        let ahead = ack.now.since(epoch.since) + ack.rtt;
        let t = i64::try_from(ahead.as_millis()).unwrap_or(MOST_MS) - epoch.to_plateau;
        let t = i128::from(t.clamp(-MOST_MS, MOST_MS));
        let curve = i128::from(epoch.plateau) + i128::from(mss) * 4 * t * t * t / 10_000_000_000;
        let target = u64::try_from(curve.max(0)).unwrap_or(MOST_BYTES).clamp(window, window + window / 2);
        // What Reno would have (section 4.3): alpha = 3 (1 - beta) / (1 + beta), and 1 once it is back where it was.
        let alpha = if epoch.reno >= self.prior { 1000 } else { 529 };
        epoch.reno = (epoch.reno + mss * arrived * alpha / (window * 1000)).min(MOST_BYTES);
        let cubic = window + (target - window) * arrived.min(window) / window;
        self.window = cubic.max(epoch.reno);
    }

    /// What must hold; for values that come from elsewhere.
    pub(crate) fn holds(&self) -> bool {
        let small = |x: u64| x <= 2 * MOST_BYTES;
        [self.window, self.threshold, self.prior, self.plateau, self.delivered, self.sent]
            .into_iter()
            .all(small)
            && self.at_reduction <= MOST_BYTES
            && (self.phase != Phase::Repairing || self.at_reduction > 0)
            && self.window > 0
            && self.epoch.as_ref().is_none_or(|e| {
                small(e.reno) && small(e.plateau) && (0..=MOST_MS * 10).contains(&e.to_plateau)
            })
            && self.before.is_none_or(|before| before.into_iter().all(small))
    }
}

/// What an acknowledgement tells congestion control.
pub(crate) struct Ack {
    pub(crate) now: Time,
    /// The smoothed round-trip time.
    pub(crate) rtt: Duration,
    /// Bytes that are newly known to have arrived.
    pub(crate) arrived: u64,
    /// Bytes still on their way.
    pub(crate) under_way: u64,
    /// Bytes that a packet carries.
    pub(crate) mss: u64,
    /// The window, not the application or the receiver, held the sender back.
    pub(crate) limited: bool,
}

/// The integer cube root, of numbers whose root is below 2^24.
fn cube_root(n: u128) -> i64 {
    let mut root: u128 = 0;
    for bit in (0..24).rev() {
        let next = root | 1 << bit;
        if next * next * next <= n {
            root = next;
        }
    }
    i64::try_from(root).expect("24 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    fn ack(now_ms: u64, arrived: u64, under_way: u64) -> Ack {
        let rtt = Duration::from_millis(100);
        Ack { now: Time::from_ms(now_ms), rtt, arrived, under_way, mss: MSS, limited: true }
    }

    /// Round trips of 100 ms in which the whole window is acknowledged.
    fn rounds(cubic: &mut Cubic, from_ms: u64, count: u64) -> Vec<u64> {
        (0..count)
            .map(|i| {
                for part in 0..10 {
                    let window = cubic.window();
                    cubic.on_ack(&ack(from_ms + 100 * i + 10 * part, window / 10, window));
                }
                cubic.window()
            })
            .collect()
    }

    #[test]
    fn roots() {
        for n in [0u128, 1, 7, 8, 26, 27, 999_999_999, 1_000_000_000, 1 << 66] {
            let root = u128::try_from(cube_root(n)).expect("positive");
            assert!(root.pow(3) <= n && (root + 1).pow(3) > n, "{n}");
        }
    }

    #[test]
    fn slow_start_doubles() {
        let mut cubic = Cubic::new(MSS);
        assert_eq!(cubic.window(), 10 * MSS);
        cubic.on_ack(&ack(100, 10 * MSS, 0));
        assert_eq!(cubic.window(), 20 * MSS);
        let idle = Ack { limited: false, ..ack(200, MSS, 0) };
        cubic.on_ack(&idle);
        assert_eq!(cubic.window(), 20 * MSS, "a window that nobody used does not grow");
    }

    /// RFC 9438, figure 1: concave up to the plateau, which is reached after K, and convex behind it.
    #[test]
    fn the_window_follows_the_curve() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 1000 * MSS;
        cubic.on_loss(1000 * MSS, 1, MSS);
        assert!(cubic.repaired(1));
        assert_eq!((cubic.phase(), cubic.window()), (Phase::Open, 700 * MSS));
        // K = cbrt(300 / 0.4) = 9.09 s.
        let windows = rounds(&mut cubic, 0, 150);
        let steps: Vec<u64> = windows.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(
            windows[90] > 990 * MSS && windows[90] < 1010 * MSS,
            "at the plateau after K: {}",
            windows[90]
        );
        assert!(steps[5] > steps[40] && steps[40] > steps[80], "concave");
        assert!(steps[140] > steps[120], "convex");
    }

    /// On a short path CUBIC would be slower than Reno: it is as fast as that.
    #[test]
    fn not_slower_than_reno() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 20 * MSS;
        cubic.on_loss(20 * MSS, 1, MSS);
        assert!(cubic.repaired(1));
        assert_eq!(cubic.window(), 14 * MSS);
        for now in 0..100 {
            let window = cubic.window();
            let rtt = Duration::from_millis(1);
            cubic.on_ack(&Ack { rtt, ..ack(now, window, window) });
        }
        // 0.529 segments a round for 12 rounds, then one a round.
        assert!((100..=115).contains(&(cubic.window() / MSS)), "{}", cubic.window());
    }

    /// W_est grows with the share of the window that is acknowledged (section 4.3), however many acknowledgements say so.
    #[test]
    fn many_acknowledgements_are_worth_no_more_than_one() {
        let after = |parts: u64| {
            let mut cubic = Cubic::new(MSS);
            cubic.window = 20 * MSS;
            cubic.on_loss(20 * MSS, 1, MSS);
            assert!(cubic.repaired(1));
            for now in 0..10 {
                let window = cubic.window();
                for _ in 0..parts {
                    let rtt = Duration::from_millis(1);
                    cubic.on_ack(&Ack { rtt, ..ack(now, window / parts, window) });
                }
            }
            cubic.window()
        };
        assert_eq!(after(1), 14 * MSS + 5290);
        assert!((19_000..=19_290).contains(&after(7)), "{}", after(7));
    }

    /// Fast convergence lowers the plateau, not what Reno has to get back to before it grows by a packet a round (section 4.3).
    #[test]
    fn fast_convergence_does_not_make_reno_faster() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 30 * MSS;
        for (una, window) in [(1, 21), (2, 14)] {
            cubic.on_loss(cubic.window(), una, MSS);
            assert!(cubic.repaired(una));
            assert_eq!(cubic.window() / MSS, window);
        }
        assert_eq!((cubic.prior, cubic.plateau), (21 * MSS, 17_850));
        let mut steps = Vec::new();
        while cubic.window() < 24 * MSS {
            let window = cubic.window();
            let rtt = Duration::from_millis(1);
            cubic.on_ack(&Ack { rtt, ..ack(0, window, window) });
            steps.push((window / MSS, cubic.window() - window));
        }
        assert!(steps.iter().all(|(at, step)| *step == if *at < 21 { 529 } else { MSS }), "{steps:?}");
    }

    #[test]
    fn a_reduction_is_spread_over_a_round_trip() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 100 * MSS;
        cubic.on_loss(100 * MSS, 101 * MSS, MSS);
        let (mut under_way, mut sent) = (99 * MSS, 0);
        for _ in 0..99 {
            under_way -= MSS;
            cubic.on_ack(&ack(0, MSS, under_way));
            let may = cubic.window().saturating_sub(under_way) / MSS * MSS;
            cubic.on_sent(may);
            under_way += may;
            sent += may;
        }
        assert!((66..=70).contains(&(sent / MSS)), "seven for ten: {sent}");
        cubic.on_loss(under_way, 200 * MSS, MSS);
        assert_eq!(cubic.recover(), 101 * MSS, "one reduction a round trip");
    }

    #[test]
    fn what_was_no_loss_is_undone() {
        let mut cubic = Cubic::new(MSS);
        cubic.window = 100 * MSS;
        cubic.on_timeout(5000, MSS);
        assert_eq!((cubic.phase(), cubic.window()), (Phase::Restarting, MSS));
        cubic.undo();
        assert_eq!((cubic.phase(), cubic.window()), (Phase::Open, 100 * MSS));
        cubic.undo();
        assert_eq!(cubic.window(), 100 * MSS, "once");
    }
}
