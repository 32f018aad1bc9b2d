//! Closed groups: processes that prove that they belong to the group, and secrets for its views.
//!
//! ```text
//! joiner                                   member
//!   ── introduction (key, proof) ──────────> verified
//!   verified <────── introduction (key, proof) ──
//!   ── JOIN, sealed for this member ───────> … and so everything from here on
//! ```
//! Every process makes a key pair (X25519, RFC 7748) for each incarnation and introduces itself to whom it wants to talk
//! to: with a keyed hash of its identity ([`PreShared`]), or a signature and a certificate ([`Certificates`]). The two
//! keys of a pair give each direction a key of its own (HKDF, RFC 5869), with which control messages are sealed
//! (AES-256-GCM, RFC 5116); a counter makes the nonces, and keeps out what is repeated. An introduction alone changes
//! nothing in a group: who repeats one cannot go on.
//!
//! The decision for a view carries a new secret, in an envelope for each of its members: who is no longer one cannot
//! read what is said in it, whatever else it knows. The stack's layer that encrypts does the rest.
//!
//! What this does not do: it hides neither who talks to whom, nor how much. It does not defend against members, who can do
//! whatever members can. Who can drop a process's datagrams, or reset its connections, can have it excluded.

mod certificates;
mod credential;
mod derive;
mod introduction;
mod peers;
mod pre_shared;
mod sentry;
mod signing;
#[cfg(test)]
mod tests;

pub use certificates::Certificates;
pub use pre_shared::PreShared;

/// Keys that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The pre-shared key.
    #[error("a pre-shared key must have 32 to 1024 bytes; make one with `openssl rand -hex 32 > group.key`")]
    Length,
    /// Not PEM, or not what it should be.
    #[error("the {what} cannot be read: {why}")]
    Unreadable {
        /// The certificate, its private key, or the authority.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The private key is another one's.
    #[error("the private key is not that of the certificate")]
    Mismatch,
}
