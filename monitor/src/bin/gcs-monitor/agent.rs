//! `gcs-monitor agent`.

use std::{
    net::{SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use gcs_monitor::{
    daemon::{
        api,
        events::look,
        node::{Nat, Node, Place},
    },
    eventing::deliver::Deliveries,
    events::tables::{Application, Tables},
    health::client::Client,
    sources::{Sources, groups, http},
    trust::Keys,
    value::Value,
    web,
    zones::{agent::Config, contact::Realm, name::ZoneName},
};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::oneshot};

use crate::{Outcome, keys};

mod config;

use config::Attributes;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4804);
/// Where an agent is asked who is not told where.
pub(crate) const API: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4805);

/// Leases of a relay.
const RELAY_FOR_MAX: i64 = 1024;

/// Flags; a file of `--config` has the same, and flags win.
#[derive(Args, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Agent {
    /// A file that says what these flags say, such as name = "/eu/ams/a" and seed = ["10.0.0.1:4804"]. Flags win (docs/monitor.md).
    #[arg(long, value_name = "FILE.toml")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Where it is in the tree: a path that ends with the machine, such as /eu/ams/rack7/host12.
    #[arg(long, required_unless_present = "config")]
    #[serde(deserialize_with = "config::parsed")]
    name: Option<ZoneName>,
    /// Where other agents reach it, over UDP. [default: 127.0.0.1:4804]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// The address that others are told, if it is another one (behind NAT, or with --listen 0.0.0.0:4804).
    #[arg(long, value_name = "ADDR:PORT")]
    contact: Option<SocketAddr>,
    /// A relay, an agent that was started with --relay-for. With this flag nobody can dial this agent (NAT, firewall), and it is reached at relays: these, and others that it hears of. May be given several times. Without it and --contact the agent finds out whether there is a NAT.
    #[arg(long, value_name = "IPv4:PORT", conflicts_with = "contact")]
    relay: Vec<SocketAddrV4>,
    /// A name for the hosts that can dial each other though others cannot, such as those of one site: agents of the same realm need no relay between them.
    #[arg(long, value_name = "NAME")]
    #[serde(deserialize_with = "config::parsed")]
    realm: Option<Realm>,
    /// Is a relay for up to so many agents that nobody can dial, with at most 16 KiB a second for each. Others have to be able to dial it over IPv4.
    #[arg(long, value_name = "AGENTS", value_parser = clap::value_parser!(u16).range(1..=RELAY_FOR_MAX))]
    relay_for: Option<u16>,
    /// Agents that are there already, anywhere in the tree; one is enough, three are better. May be given several times.
    #[arg(long, value_name = "ADDR:PORT")]
    seed: Vec<SocketAddr>,
    /// Where it is asked, over HTTP: on loopback, because who may ask may also change. [default: 127.0.0.1:4805]
    #[arg(long, value_name = "ADDR:PORT")]
    api: Option<SocketAddr>,
    /// Lets --api be an address that other machines reach. Whoever does can install functions.
    #[arg(long)]
    api_is_open: bool,
    /// Representatives of component health, as the --listen of `gcs-monitor health serve` says: the dashboard shows what they agreed on.
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',')]
    health: Vec<String>,
    /// Its key, with the certificate for its name beside it (`gcs-monitor ca agent`): it signs what it says, and believes only what is signed.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Whose certificates count, such as root.pub. May be given several times.
    #[arg(long, value_name = "FILE")]
    authority: Vec<PathBuf>,
    /// What programs change over --api has to be signed by a client whose certificate has the right to write (`gcs-monitor set --sign-with`). Reading needs none.
    #[arg(long)]
    api_needs_key: bool,
    /// What it says of its machine, from which files, commands, databases and so on (docs/attributes.md). Without: what the system tells.
    #[arg(long, value_name = "FILE.toml")]
    attributes: Option<Attributes>,
    /// A file whose new lines standing queries find in the table log. May be given several times, up to 32.
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
    /// An attribute of this machine that does not change, such as role=db. May be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    #[serde(deserialize_with = "config::pairs")]
    set: Vec<(String, Value)>,
    /// Ends when its standard input does: for a program that starts agents and may be killed.
    #[arg(long)]
    #[serde(skip)]
    attached: bool,
}

/// A number if it looks like one, otherwise text.
pub(crate) fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it like role=db")?;
    let number = value.parse::<i64>().map(Value::Int);
    let value = number.or_else(|_| value.parse().map(Value::float)).unwrap_or_else(|_| Value::text(value));
    Ok((name.to_owned(), value))
}

pub(crate) fn run(agent: Agent) -> Outcome {
    let agent = agent.with_file()?;
    let api = agent.api.unwrap_or(API);
    if !api.ip().is_loopback() && !agent.api_is_open {
        return Err(format!(
            "--api {api}: other machines reach this address, and whoever asks there may change functions; choose a loopback address, or say --api-is-open"
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(live(agent, api))
}

async fn live(agent: Agent, api: SocketAddr) -> Outcome {
    let listen = agent.listen.unwrap_or(LISTEN);
    let name = agent.name.ok_or(
        "it has no name: say --name /eu/ams/host1, or name = \"/eu/ams/host1\" in the file of --config",
    )?;
    let seeds = agent.seed.into_iter().filter(|seed| *seed != listen).collect();
    if agent.contact.is_some() && !agent.relay.is_empty() {
        return Err(
            "contact and relay: whoever is reached at an address of its own needs no relay; say one of both"
                .into(),
        );
    }
    let relay_for = agent.relay_for.unwrap_or(0).min(RELAY_FOR_MAX as u16).into();
    let nat = Nat { realm: agent.realm, relays: agent.relay, relay_for };
    let place = Place { name, listen, contact: agent.contact, seeds, nat };
    if place.name.depth() == 0 {
        return Err("--name /: an agent is below the root, such as /eu/host1".into());
    }
    let keys = loaded(agent.identity.as_deref(), &agent.authority)?;
    let open = keys.is_none();
    if open && agent.api_needs_key {
        return Err("--api-needs-key without --identity: an agent without keys knows nobody's; say --identity and --authority, too".into());
    }
    let ended = ended(agent.attached);
    let config = agent.attributes.unwrap_or_default().load()?;
    let groups = config.groups.as_ref().map_or_else(groups::folder, |groups| groups.folder.clone());
    let mut sources = Sources::start(config).await?;
    let attributes = sources.handle();
    for (name, value) in agent.set {
        attributes.set(&name, value).map_err(|e| format!("--set {name}: {e}"))?;
    }
    let health = representatives(agent.health)?;
    let node = match keys {
        None => Node::bind(&place, Config::default())?,
        Some(keys) => Node::closed(&place, Config::default(), keys)?,
    };
    let listener = TcpListener::bind(api)
        .await
        .map_err(|e| format!("cannot listen on {api} for questions: {e}; choose another --api"))?;
    if open {
        eprintln!(
            "open: there are no keys, so whoever reaches {} may change every row and function; give it --identity and --authority",
            node.contact()
        );
    }
    if place.seeds.is_empty() {
        eprintln!("no --seed: this agent is alone until another one is told of {}", node.contact());
    }
    let at = listener.local_addr()?;
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
    let application = Arc::new(Application::default());
    let (watched, tables) = (node.clone(), Tables::new(agent.log, groups, application.clone()));
    let deliveries = Arc::new(Deliveries::new(node.clone()));
    let pages = api::router(node.clone())
        .merge(http::router(attributes))
        .merge(api::tables(application))
        .merge(api::deliveries(deliveries.clone()))
        .merge(api::health(health))
        .merge(web::router());
    let pages = if agent.api_needs_key { api::keyed(pages, node) } else { pages };
    tokio::select! {
        () = look(&watched, tables) => Ok(()),
        () = living.run() => Ok(()),
        () = telling => Ok(()),
        () = refusing => Ok(()),
        served = axum::serve(listener, pages) => Ok(served?),
        // Until it has said goodbye, everything goes on.
        () = async { ended.await; deliveries.close().await } => Ok(()),
    }
}

/// Whom it asks for the health of components.
fn representatives(at: Vec<String>) -> Result<Option<Client>, Box<dyn std::error::Error>> {
    if at.is_empty() {
        return Ok(None);
    }
    let who = format!("agent/{}", std::process::id()).parse()?;
    // It watches nothing, so there is no news.
    let (client, _) = Client::new(at, who)?;
    Ok(Some(client))
}

/// Its keys, if it has any and others will believe them.
fn loaded(
    identity: Option<&Path>,
    authorities: &[PathBuf],
) -> Result<Option<Keys>, Box<dyn std::error::Error>> {
    let identity = match (identity, authorities) {
        (None, []) => return Ok(None),
        (Some(identity), [_, ..]) => identity,
        (Some(_), []) => {
            return Err(
                "--identity without --authority: say whose certificates count, such as root.pub".into()
            );
        }
        (None, _) => return Err("--authority without --identity: say which key is the agent's own".into()),
    };
    let anchors = authorities.iter().map(|file| keys::authority(file)).collect::<Result<_, _>>()?;
    let wrong = |e| format!("--identity {}: {e}", identity.display());
    let mut loaded = Keys::new(keys::identity(identity)?, anchors).map_err(wrong)?;
    loaded.check(keys::now_s()).map_err(wrong)?;
    Ok(Some(loaded))
}

/// Until somebody wants it to end.
async fn ended(attached: bool) {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
    let terminated = async {
        match &mut terminate {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    };
    let detached = async {
        match attached {
            true => input_ends().await,
            false => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        () = detached => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Until nobody can write to the standard input any more.
async fn input_ends() {
    let (to, end) = oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end, too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = to.send(());
    });
    let _ = end.await;
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
