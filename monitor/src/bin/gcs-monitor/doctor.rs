//! `gcs-monitor doctor`: looks at the agent of this machine, and says what is wrong, and what to do.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Args;
use gcs_monitor::{
    value::Value,
    zones::{
        message::{Body, Message},
        name::ZoneName,
    },
};
use serde_json::Value as Json;

use crate::{Outcome, client::Api};

mod findings;

use findings::{Level, Seen, findings};

/// Between two looks: what rises meanwhile goes on.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long an agent may take to answer whether it is there, and how often it is asked.
const PONG: Duration = Duration::from_millis(400);
const PINGS: u32 = 5;
/// Agents that are asked so.
const PINGED: usize = 16;
/// How long the agent may take to say something.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(doctor: &Doctor) -> Outcome {
    let api = doctor.api.with_patience(PATIENCE);
    let agent = match api.get("/v1/agent", &[]) {
        Ok(agent) => agent,
        Err(e) => {
            say!("wrong  {}", plain(&e.to_string()));
            return Err("1 thing is wrong".into());
        }
    };
    let found = findings(&seen(api, agent)?);
    for finding in &found {
        let level = match finding.level {
            Level::Fine => "fine ",
            Level::Note => "note ",
            Level::Wrong => "wrong",
        };
        say!("{level}  {}", plain(&finding.what));
        if !finding.advice.is_empty() {
            say!("       → {}", plain(&finding.advice));
        }
    }
    match found.iter().filter(|finding| finding.level == Level::Wrong).count() {
        0 => Ok(()),
        1 => Err("1 thing is wrong".into()),
        n => Err(format!("{n} things are wrong").into()),
    }
}

/// What others say does not steer the terminal.
fn plain(text: &str) -> String {
    Value::text(text).to_string()
}

/// Looks at everything.
fn seen(api: Api, before: Json) -> Result<Seen, Box<dyn std::error::Error>> {
    let list = |of: &Json| of.as_array().cloned().unwrap_or_default();
    let own = before["contact"].as_str().and_then(|contact| contact.parse::<SocketAddr>().ok());
    let seeds = list(&before["seeds"]);
    let seeds = seeds.iter().filter_map(|seed| seed.as_str()?.parse::<SocketAddr>().ok());
    let mut asked: Vec<SocketAddr> = own.into_iter().chain(seeds).take(PINGED).collect();
    asked.sort();
    asked.dedup();
    std::thread::park_timeout(BETWEEN);
    let mut seen = Seen {
        api: api.address(),
        now_s: now_s(),
        own_version: env!("CARGO_PKG_VERSION").to_owned(),
        agent: api.get("/v1/agent", &[])?,
        before,
        zones: Vec::new(),
        functions: Vec::new(),
        answers: pinged(&asked)?,
    };
    for zone in list(&seen.agent["zones"]).iter().filter_map(Json::as_str) {
        seen.zones.push(api.get("/v1/zone", &[("path", zone)])?);
        seen.functions.push(api.get("/v1/functions", &[("zone", zone)])?);
    }
    Ok(seen)
}

/// Which agents answer whether they are there.
#[expect(clippy::disallowed_methods, reason = "people wait for it")]
fn pinged(all: &[SocketAddr]) -> std::io::Result<BTreeMap<SocketAddr, bool>> {
    let mut answers: BTreeMap<SocketAddr, bool> = all.iter().map(|at| (*at, false)).collect();
    let any = |at: &SocketAddr| if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let number = getrandom::u32().map_err(std::io::Error::other)?;
    let ping = Message { zone: ZoneName::root(), body: Body::Ping(number) }.encode();
    let mut bytes = [0; 2048];
    for (at, answered) in &mut answers {
        let socket = UdpSocket::bind(any(at))?;
        for _ in 0..PINGS {
            let until = Instant::now() + PONG;
            // Who cannot be reached does not answer.
            let sent = socket.send_to(&ping, at);
            while sent.is_ok() && !*answered {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
                    break;
                }
                let Ok((len, from)) = socket.recv_from(&mut bytes) else { continue };
                let said = Message::decode(&bytes[..len]);
                *answered = from == *at && said.is_ok_and(|said| said.body == Body::Pong(number));
            }
            if *answered {
                break;
            }
        }
    }
    Ok(answers)
}

#[expect(clippy::disallowed_methods, reason = "the clock of this machine is looked at")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
