//! `gcs-monitor agent`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use gcs_monitor::{
    daemon::{
        api::router,
        node::{Node, Place},
    },
    sources::{Sources, config, http},
    trust::Keys,
    value::Value,
    zones::{agent::Config, name::ZoneName},
};
use tokio::net::TcpListener;

use crate::{Outcome, keys};

#[derive(Args)]
pub(crate) struct Agent {
    /// Where it is in the tree: a path that ends with the machine, such as /eu/ams/rack7/host12.
    #[arg(long)]
    name: ZoneName,
    /// Where other agents reach it, over UDP.
    #[arg(long, default_value = "127.0.0.1:4804")]
    listen: SocketAddr,
    /// The address that others are told, if it is another one (behind NAT, or with --listen 0.0.0.0:4804).
    #[arg(long)]
    contact: Option<SocketAddr>,
    /// Agents that are there already, anywhere in the tree; one is enough, three are better. May be given several times.
    #[arg(long, value_name = "ADDR:PORT")]
    seed: Vec<SocketAddr>,
    /// Where it is asked, over HTTP: on loopback, because who may ask may also change.
    #[arg(long, default_value = "127.0.0.1:4805")]
    api: SocketAddr,
    /// Lets --api be an address that other machines reach. Whoever does can install functions.
    #[arg(long)]
    api_is_open: bool,
    /// Its key, with the certificate for its name beside it (`gcs-monitor ca agent`): it signs what it says, and believes only what is signed.
    #[arg(long, value_name = "FILE", requires = "authority")]
    identity: Option<PathBuf>,
    /// Whose certificates count, such as root.pub. May be given several times.
    #[arg(long, value_name = "FILE", requires = "identity")]
    authority: Vec<PathBuf>,
    /// What it says of its machine, from which files, commands, databases and so on (docs/attributes.md). Without: what the system tells.
    #[arg(long, value_name = "FILE.toml")]
    attributes: Option<PathBuf>,
    /// An attribute of this machine that does not change, such as role=db. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    set: Vec<(String, Value)>,
}

/// A number if it looks like one, otherwise text.
fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it like role=db")?;
    let number = value.parse::<i64>().map(Value::Int);
    let value = number.or_else(|_| value.parse().map(Value::float)).unwrap_or_else(|_| Value::text(value));
    Ok((name.to_owned(), value))
}

pub(crate) fn run(agent: Agent) -> Outcome {
    if !agent.api.ip().is_loopback() && !agent.api_is_open {
        return Err(format!(
            "--api {}: other machines reach this address, and whoever asks there may change functions; choose a loopback address, or say --api-is-open",
            agent.api
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(agent))
}

async fn live(agent: Agent) -> Outcome {
    let place = Place {
        name: agent.name,
        listen: agent.listen,
        contact: agent.contact,
        seeds: agent.seed.into_iter().filter(|seed| *seed != agent.listen).collect(),
    };
    if place.name.depth() == 0 {
        return Err("--name /: an agent is below the root, such as /eu/host1".into());
    }
    let keys = agent.identity.as_deref().map(|identity| loaded(identity, &agent.authority)).transpose()?;
    let open = keys.is_none();
    let mut sources = Sources::start(sources(agent.attributes.as_deref())?).await?;
    let attributes = sources.handle();
    for (name, value) in agent.set {
        attributes.set(&name, value).map_err(|e| format!("--set {name}: {e}"))?;
    }
    let node = match keys {
        None => Node::bind(&place, Config::default())?,
        Some(keys) => Node::closed(&place, Config::default(), keys)?,
    };
    let api = TcpListener::bind(agent.api)
        .await
        .map_err(|e| format!("cannot listen on {} for questions: {e}; choose another --api", agent.api))?;
    if open {
        eprintln!(
            "open: there are no keys, so whoever reaches {} may change every row and function; give it --identity and --authority",
            node.contact()
        );
    }
    if place.seeds.is_empty() {
        eprintln!("no --seed: this agent is alone until another one is told of {}", node.contact());
    }
    let at = api.local_addr()?;
    println!("{} at {}, asked at http://{}", place.name, node.contact(), at);
    let (living, says): (Arc<Node>, Arc<Node>) = (node.clone(), node.clone());
    let hears = node.clone();
    let refusing = async {
        loop {
            hears.changed().await;
            hears.reasons().iter().for_each(|reason| eprintln!("refused: {reason}"));
        }
    };
    let telling = async {
        loop {
            says.set(sources.next().await.into_iter().map(|update| (update.name, update.value)));
        }
    };
    tokio::select! {
        () = living.run() => Ok(()),
        () = telling => Ok(()),
        () = refusing => Ok(()),
        served = axum::serve(api, router(node).merge(http::router(attributes, at))) => Ok(served?),
        () = ended() => Ok(()),
    }
}

/// Its keys, if others will believe them.
fn loaded(identity: &Path, authorities: &[PathBuf]) -> Result<Keys, Box<dyn std::error::Error>> {
    let anchors = authorities.iter().map(|file| keys::authority(file)).collect::<Result<_, _>>()?;
    let wrong = |e| format!("--identity {}: {e}", identity.display());
    let mut loaded = Keys::new(keys::identity(identity)?, anchors).map_err(wrong)?;
    loaded.check(keys::now_s()).map_err(wrong)?;
    Ok(loaded)
}

/// Which attributes it has.
fn sources(file: Option<&Path>) -> Result<config::Config, String> {
    let Some(file) = file else { return Ok(config::Config::default()) };
    let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
    config::Config::from_toml(&text).map_err(|e| format!("{}: {e}", file.display()))
}

/// Until somebody wants it to end.
async fn ended() {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_what_they_look_like() {
        assert_eq!(attribute("role=db"), Ok(("role".into(), Value::text("db"))));
        assert_eq!(attribute("rack=7"), Ok(("rack".into(), Value::Int(7))));
        assert_eq!(attribute("x=-0.5"), Ok(("x".into(), Value::float(-0.5))));
        assert_eq!(attribute("x=a=b"), Ok(("x".into(), Value::text("a=b"))));
        assert!(attribute("role").is_err());
    }
}
