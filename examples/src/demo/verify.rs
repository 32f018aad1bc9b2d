//! Reads everything back from every replica.

use super::load::Outcome;
use crate::kv::client::Client;
use anyhow::{Context as _, bail};
use redis_protocol::resp2::types::OwnedFrame;
use std::{net::SocketAddr, time::Duration};

/// Keys asked for at once.
const BATCH: usize = 500;

/// How many acknowledged writes this replica does not have.
///
/// # Errors
/// The replica does not answer, or not with what was asked for.
pub fn lost(replica: SocketAddr, outcomes: &[Outcome]) -> anyhow::Result<u64> {
    let mut connection = Client::connect(replica, Duration::from_secs(10))?;
    let mut lost = 0;
    for (client, outcome) in outcomes.iter().enumerate() {
        for numbers in outcome.acknowledged.chunks(BATCH) {
            let keys: Vec<_> = numbers.iter().map(|n| format!("demo:{client}:{n}")).collect();
            let args: Vec<&[u8]> =
                std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
            let OwnedFrame::Array(values) = connection.request(&args).context("a replica does not answer")?
            else {
                bail!("a replica answers MGET with something else than an array");
            };
            let right = |(n, v): (&u64, &OwnedFrame)| matches!(v, OwnedFrame::BulkString(b) if *b == n.to_string().as_bytes());
            let found = numbers.iter().zip(&values).filter(|pair| right(*pair)).count();
            lost += (numbers.len() - found) as u64;
        }
    }
    Ok(lost)
}

/// The members of the view that a replica is in, coordinator first, as its INFO says.
///
/// # Errors
/// The replica does not answer.
pub fn members(replica: SocketAddr) -> anyhow::Result<Vec<String>> {
    let mut connection = Client::connect(replica, Duration::from_secs(5))?;
    let OwnedFrame::BulkString(info) = connection.request(&[b"INFO"])? else { bail!("INFO has no text") };
    let text = String::from_utf8_lossy(&info).into_owned();
    let members = text.lines().find_map(|l| l.strip_prefix("members:")).context("INFO names no members")?;
    Ok(members.split(',').map(str::to_owned).collect())
}
