//! [`Config`].

use std::time::Duration;

/// How an agent behaves; the same everywhere in the tree.
#[derive(Clone, Debug)]
pub struct Config {
    /// By what functions draw at random.
    pub seed: u64,
    /// To how many others news is passed on, in each zone.
    pub fanout: usize,
    /// Between two periodic exchanges.
    pub exchange: Duration,
    /// How often an agent looks whether another one of its zone answers.
    pub watch: Duration,
    /// How long an answer may take.
    pub answer: Duration,
    /// How long it is remembered who was there and is gone: so long others are asked whether that is so, and old rows do not come back.
    pub remember: Duration,
    /// How long a zone's agent waits for more news before it computes the zone's row again.
    pub settle: Duration,
    /// How long it waits at least between two rows of the zone.
    pub pace: Duration,
    /// After so long an agent says anew what has not changed, so that the age of a number means something.
    pub refresh: Duration,
    /// How many bytes of news a second an agent sends, for each table in whose spreading it takes part. Rows that keep changing are paced by it.
    pub rate: u64,
    /// And how many in one go after it was silent.
    pub burst: u64,
    /// How many bytes a second it sends in exchanges with those who share a zone with it, half as many with others, and as many in answers to
    /// those who ask for a table. When all is known, hardly anything is.
    pub exchange_rate: u64,
    /// And how many in one go: what all its neighbours may ask for that have just been started.
    pub exchange_burst: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            fanout: 3,
            exchange: Duration::from_millis(500),
            watch: Duration::from_millis(400),
            answer: Duration::from_millis(300),
            remember: Duration::from_secs(3600),
            settle: Duration::from_millis(20),
            pace: Duration::from_millis(300),
            refresh: Duration::from_secs(600),
            rate: 1000,
            burst: 48 << 10,
            exchange_rate: 450,
            exchange_burst: 64 << 10,
        }
    }
}
