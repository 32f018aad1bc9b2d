//! Who may say what: keys, certificates, signed statements, and one who looks whether they are right.
//!
//! Every zone has an authority of its own (van Renesse, Birman and Vogels, "Astrolabe", ACM TOCS 21(2), 2003, on security): integrity and
//! write control, no secrecy. What is said counts only with a chain of certificates that begins at an [`Anchor`], which everybody is given.
//!
//! ```text
//! anchor /  ──►  zone /eu  ──►  agent /eu/ams/h1     signs its row, those of /eu/ams and /eu, and who is gone in /eu/ams, /eu and /
//!                         ──►  client in /eu        signs requests, and functions where it may install them
//!                         ──►  zone /eu/ams  ──►  …
//! ```
//! No clock, no randomness but where a key is made, no file but in [`Document::load`] and [`Document::save`].
//!
//! ```
//! use gcs_monitor::trust::{Anchor, Grant, Identity, Kind, RowIssue, SecretKey, Validity, Verifier};
//!
//! let (now_s, year_s) = (1_790_000_000, 365 * 86_400);
//! let root = Identity::anchor(SecretKey::from_seed(&[1; 32])?, "/".parse()?);
//! let key = SecretKey::from_seed(&[2; 32])?;
//! let validity = Validity::new(now_s, year_s);
//! let grant = Grant { kind: Kind::Agent, zone: "/eu/h1".parse()?, key: key.public(), validity };
//! let agent = Identity::new(key, root.issue(grant)?)?;
//!
//! let row = RowIssue { zone: &"/eu".parse()?, child: "h1", generator: 7, version: 1, row: b"encoded" };
//! let signature = row.sign(agent.key());
//! let mut verifier = Verifier::new(vec![Anchor { zone: "/".parse()?, key: root.key().public() }])?;
//! verifier.row(now_s, agent.chain(), &row, &signature)?;
//! assert!(verifier.row(now_s, agent.chain(), &RowIssue { version: 2, ..row }, &signature).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod cache;
mod chain;
mod document;
mod event;
mod function;
mod grant;
mod identity;
mod key;
mod keys;
mod may;
mod refusal;
mod replay;
mod request;
mod revocation;
mod statement;
mod validity;
mod verifier;
mod wire;

pub use budget::{CHECKS_A_SECOND, CHECKS_AT_ONCE};
pub use chain::{CHAIN_BYTES, Certificate, Chain, Id, LINKS_MAX};
pub use document::{Document, DocumentError, FILE_BYTES};
pub use event::EventSeal;
pub use function::{FUNCTION_BYTES, FunctionSeal};
pub use grant::{Anchor, Grant, Kind};
pub use identity::Identity;
pub use key::{KeyError, PublicKey, Purpose, SecretKey, Signature};
pub use keys::{Keys, Place, SEAL, SIGNERS_MAX, Seal, Signer, Verdict};
pub use may::{May, MayError, Need, PREFIXES_MAX, Write};
pub use refusal::Refusal;
pub use replay::REQUESTS_MAX;
pub use request::{REQUEST_SEAL_BYTES, RequestSeal};
pub use revocation::{REVOCATION_BYTES, REVOCATIONS_MAX, Revocation};
pub use statement::{Alive, Gone, Request, RowIssue};
pub use validity::Validity;
pub use verifier::{ANCHORS_MAX, Counters, Verifier};
pub use wire::LABEL_BYTES;
