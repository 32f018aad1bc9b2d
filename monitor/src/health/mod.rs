//! Component health: a small group of representatives maps the name of a component to its health, as the Domain Name System
//! maps names to addresses (Birman et al., "Adding high availability and autonomic behavior to Web services", 2004, §5.1).
//!
//! Observers report what they find. That somebody finds an instance *sluggish* is his own opinion, and stays one. Whether it is
//! *up* or *down* the representatives agree on, by the order of what was reported; everybody who has an interest in the component
//! is told the same [verdicts](verdict::Verdict) in the same order, whichever representative tells him.
//!
//! | Module | What it is | |
//! |---|---|---|
//! | [`name`], [`verdict`], [`command`] | names, what is found and agreed on, what can be said to the group | values |
//! | [`state`] | what all representatives hold: commands in, verdicts out | sans-IO |
//! | [`wire`] | what watchers and observers say to a representative, and it to them | values |
//! | [`desk`] | a representative's part towards who watches: where each of them is in the sequence | sans-IO |
//! | [`subscriber`] | a watcher's part: goes from one representative to the next without a gap | sans-IO |
//! | [`representative`], [`client`] | both, over TCP | tokio |
//! | [`probe`] | looks at processes, ports and pages, and reports what it finds | tokio |
//! | `dns` | answers of the Domain Name System (feature `dns`) | |

pub mod client;
pub mod command;
pub mod desk;
#[cfg(feature = "dns")]
pub mod dns;
mod lines;
pub mod name;
pub mod probe;
pub mod representative;
pub mod state;
pub mod subscriber;
pub mod verdict;
pub mod wire;
