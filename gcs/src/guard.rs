//! The seam for closed groups: who is let in, and what keeps others from reading and writing.
//!
//! The endpoint hands every control message to its [`Guard`] before it is sent, and every sealed datagram that comes.
//! With each view comes a secret ([`Secret`]) that only its members learn; the stack's layer that encrypts makes its keys
//! of it. `gcs::keys` (feature `keys`) has the guards that there are.

use crate::{
    id::{GroupTag, MemberId},
    time::Time,
    view::ViewId,
    wire::Envelopes,
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{fmt, net::SocketAddr, sync::Arc};

/// The first byte of every sealed control message and introduction.
pub const MAGIC_SEALED: u8 = 0xC8;

/// What makes guards: the keys of a process, for as long as it runs.
pub trait Keys: fmt::Debug + Send + Sync {
    /// A guard for one endpoint. `seed` is for simulations, which want the same secrets again; others ignore it.
    fn guard(&self, seed: u64) -> Box<dyn Guard>;

    /// Whether they are for a process of this name.
    fn fits(&self, name: &str) -> bool;

    /// What signs for this process, if others can tell its signatures from everybody else's.
    fn signer(&self) -> Option<Arc<dyn Signer>> {
        None
    }
}

/// A digest that is signed: 32 bytes of a hash function for which nobody finds collisions.
pub type Digest = [u8; 32];
/// A signature: 64 bytes (Ed25519).
pub type Signature = [u8; 64];

/// Whose signatures can be recognized: a public key (Ed25519).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

/// Signs for one process, and knows whose signatures others' are.
pub trait Signer: fmt::Debug + Send + Sync {
    /// What shows others whose signatures this process's are.
    fn certificate(&self) -> Bytes;

    /// This process's own key.
    fn public_key(&self) -> PublicKey;

    /// Signs.
    fn sign(&self, digest: &Digest) -> Signature;

    /// The key of who has this certificate. It does not matter when it expires: see who is let in ([`Guard::open`]).
    ///
    /// # Errors
    /// It is not accepted, or not for a process of this name.
    fn key_of(&self, certificate: &[u8], name: &str) -> Result<PublicKey, Refusal>;

    /// Whether who has this key has signed this.
    fn is_signed(&self, by: &PublicKey, digest: &Digest, signature: &Signature) -> bool;
}

/// A view's secret: 32 bytes that only its members know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a sealed datagram turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A control message from this process, or from a former incarnation of it.
    Control(MemberId, Bytes),
    /// A process has introduced itself that was not known before, or not in this incarnation.
    Introduced(MemberId),
    /// Nothing new.
    Nothing,
    /// It is not what it should be.
    Refused(Refusal),
}

/// Why a datagram is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A control message that nobody has sealed.
    #[error("it has no key")]
    Unsealed,
    /// It does not know the group's key.
    #[error("its key is another one")]
    OtherKey,
    /// Its certificate is not accepted.
    #[error("its certificate is not accepted: {0}")]
    Certificate(String),
    /// A name that it may not have.
    #[error("its certificate is not for the name `{0}`")]
    Name(String),
    /// Not sealed by the process that it names, or damaged on the way.
    #[error("it is not sealed by the process that it names")]
    Broken,
    /// It has been here before.
    #[error("it repeats what was said before")]
    Replayed,
}

/// Datagrams to send.
pub type Sealed = SmallVec<[Bytes; 2]>;

/// Keeps strangers out of one endpoint. Sans-IO like the endpoint itself.
pub trait Guard: Send {
    /// A life begins: from now on this process is `me`. `wall_at_zero` is the time of day at [`Time::ZERO`], nanoseconds
    /// since 1970, for certificates.
    ///
    /// # Errors
    /// Nobody will accept the proof that this process has.
    fn begin(&mut self, now: Time, group: GroupTag, me: MemberId, wall_at_zero: u64) -> Result<(), Refusal>;

    /// The datagrams that bring a control message to `to`. Who does not know this process gets an introduction; who is
    /// not known gets nothing else.
    fn seal(&mut self, now: Time, to: SocketAddr, control: &[u8]) -> Sealed;

    /// What a sealed datagram says. What is put into `reply` goes back to `from`.
    fn open(&mut self, now: Time, from: SocketAddr, datagram: &[u8], reply: &mut Option<Bytes>) -> Opened;

    /// Whether this process may have this name in the group.
    fn allows(&self, who: MemberId, name: &str) -> bool;

    /// A new secret for a view, such that only these can read it. None while the key of one of them is not known.
    fn envelopes(&mut self, view: ViewId, members: &[MemberId]) -> Option<Envelopes>;

    /// The secret of a view in which this process has the given place.
    fn secret(&self, view: ViewId, place: usize, envelopes: &Envelopes) -> Option<Secret>;

    /// What this process has sealed. For simulators, which look at what is said.
    fn read_own(&self, to: SocketAddr, datagram: &[u8]) -> Option<Bytes>;
}

/// Which of a sender's counters have been seen: each is let through once, and those too far behind the highest not at
/// all. So what is repeated is refused, and what was overtaken is not (RFC 4303, section 3.4.3).
#[derive(Clone, Debug)]
pub struct Window {
    highest: u64,
    /// Bit `c % BITS` says of each of the last [`Window::BITS`] counters whether it was seen.
    seen: [u64; Self::WORDS],
}

impl Window {
    const WORDS: usize = 32;
    /// How far a datagram may be behind the latest one.
    pub const BITS: u64 = 64 * Self::WORDS as u64;

    /// Nothing was seen.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: 0, seen: [0; Self::WORDS] }
    }

    /// Whether this counter may be let through. To be asked before a datagram is opened; counters begin with 1.
    #[must_use]
    pub fn is_new(&self, counter: u64) -> bool {
        let late = counter <= self.highest;
        counter != 0
            && !(late && (self.highest - counter >= Self::BITS || self.word(counter) & bit(counter) != 0))
    }

    /// Takes note of the counter of a datagram that has proved genuine.
    pub fn note(&mut self, counter: u64) {
        if counter > self.highest {
            let ahead = (counter - self.highest).min(Self::BITS);
            for passed in counter - ahead + 1..=counter {
                self.seen[place(passed)] &= !bit(passed);
            }
            self.highest = counter;
        }
        self.seen[place(counter)] |= bit(counter);
    }

    fn word(&self, counter: u64) -> u64 {
        self.seen[place(counter)]
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

const fn place(counter: u64) -> usize {
    (counter / 64 % Window::WORDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::collections::BTreeSet;

    #[test]
    fn a_window_lets_every_recent_counter_through_once() {
        for seed in 0..50 {
            let (mut rng, mut window, mut seen) = (Rng::new(seed), Window::new(), BTreeSet::new());
            let mut front = 1_u64;
            for _ in 0..5_000 {
                front += if rng.chance(10) { rng.below(2 * Window::BITS) } else { rng.below(3) };
                let counter = front.saturating_sub(rng.below(3 * Window::BITS / 2)).max(1);
                let highest = seen.last().copied().unwrap_or(0);
                let expected = !seen.contains(&counter) && highest.saturating_sub(counter) < Window::BITS;
                assert_eq!(window.is_new(counter), expected, "counter {counter}, highest {highest}");
                if expected {
                    window.note(counter);
                    seen.insert(counter);
                }
            }
        }
        assert!(!Window::new().is_new(0));
    }
}
