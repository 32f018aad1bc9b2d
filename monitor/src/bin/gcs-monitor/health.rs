//! `gcs-monitor health`.

use clap::{Args, Subcommand};
use gcs_monitor::health::{
    client::{Client, News},
    command::{Observation, Registration},
    name::{Label, Who},
    verdict::Finding,
    wire::{Answer, Ask},
};
use std::{
    io::Write as _,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

#[path = "health/probe.rs"]
mod probe;
#[path = "health/serve.rs"]
mod serve;
#[path = "health/show.rs"]
mod show;

type Failed = Box<dyn std::error::Error>;

/// Which components are up, agreed on by a group of representatives: whoever watches a component is told the same verdicts in
/// the same order.
#[derive(Args)]
pub(crate) struct Health {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Be a representative. Start three.
    Serve(serve::Serve),
    /// There is an instance of a component.
    Register(Register),
    /// It is not one any more.
    Deregister(Named),
    /// Forget a component that has no instances.
    Forget(Component),
    /// Say what you have found.
    Report(Report),
    /// Look at an instance again and again, and report what is found.
    Probe(probe::Probe),
    /// Print the verdicts of components as they are given, until you stop it.
    Watch(Watch),
    /// How all components are, and what each observer finds.
    List(List),
    /// The last verdicts of a component, and their witnesses.
    History(Component),
}

/// Whom to ask, and in whose name.
#[derive(Args)]
struct At {
    /// Representatives, as their `--listen` says; the next one is asked when one does not answer.
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', required = true)]
    at: Vec<String>,
    /// Your name, as observer or watcher. Default: the host's, and this process's number.
    #[arg(long, value_name = "NAME")]
    who: Option<Who>,
    /// Print JSON, a line each.
    #[arg(long)]
    json: bool,
}

impl At {
    fn who(&self) -> Result<Who, Failed> {
        match &self.who {
            Some(who) => Ok(who.clone()),
            None => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                Ok(format!("{:.40}/{}", host.trim(), std::process::id()).parse()?)
            }
        }
    }

    fn client(&self) -> Result<(Client, News), Failed> {
        Ok(Client::new(self.at.clone(), self.who()?)?)
    }
}

#[derive(Args)]
struct Component {
    /// The component.
    component: Label,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
struct Named {
    /// The component.
    component: Label,
    /// The instance.
    instance: Label,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
struct Register {
    #[command(flatten)]
    named: Named,
    /// Where it is reached: DNS answers with it.
    #[arg(long, value_name = "ADDR:PORT")]
    address: Option<SocketAddr>,
    /// The observer who sees its process end; nobody else has to agree then.
    #[arg(long, value_name = "NAME")]
    supervisor: Option<Who>,
    /// So many observers have to find the same; fewer, if fewer have looked.
    #[arg(long, default_value_t = 2)]
    witnesses: u8,
}

#[derive(Args)]
struct Report {
    #[command(flatten)]
    named: Named,
    /// What you have found.
    #[arg(value_parser = finding)]
    finding: Finding,
    /// What you have seen.
    #[arg(long, default_value = "")]
    evidence: String,
    /// You are its supervisor, and its process has ended.
    #[arg(long)]
    certain: bool,
}

#[derive(Args)]
struct Watch {
    /// The components.
    #[arg(required = true)]
    component: Vec<Label>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    at: At,
}

fn finding(text: &str) -> Result<Finding, String> {
    match text {
        "up" => Ok(Finding::Up),
        "down" => Ok(Finding::Down),
        "sluggish" => Ok(Finding::Sluggish),
        _ => Err("say up, sluggish or down".to_owned()),
    }
}

/// Microseconds since the Unix epoch: larger than in an earlier life, unless the clock was put back. Then an older word counts until it is
/// too old.
#[expect(clippy::disallowed_methods, reason = "the real world begins here")]
fn serial() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
}

/// A line of output. False: nobody reads it.
fn print(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

pub(crate) fn run(health: Health) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match health.what {
            What::Serve(serve) => serve::run(serve).await,
            What::Probe(probe) => probe::run(probe).await,
            What::Watch(watch) => self::watch(watch).await,
            What::List(list) => self::list(list).await,
            What::History(of) => history(of).await,
            What::Register(register) => {
                let Register { named: Named { component, instance, at }, address, supervisor, witnesses } =
                    register;
                let registration = Registration { component, instance, address, supervisor, witnesses };
                done(&at, Ask::Register(registration)).await
            }
            What::Deregister(Named { component, instance, at }) => {
                done(&at, Ask::Deregister { component, instance }).await
            }
            What::Forget(Component { component, at }) => done(&at, Ask::Forget { component }).await,
            What::Report(report) => {
                let Report { named: Named { component, instance, at }, finding, evidence, certain } = report;
                let (observer, evidence, serial) = (at.who()?, evidence.into(), serial());
                let observation =
                    Observation { component, instance, observer, serial, finding, certain, evidence };
                done(&at, Ask::Observe(observation)).await
            }
        }
    })
}

async fn done(at: &At, ask: Ask) -> Result<(), Failed> {
    at.client()?.0.ask(ask).await?;
    Ok(())
}

async fn watch(watch: Watch) -> Result<(), Failed> {
    let (client, mut news) = watch.at.client()?;
    for component in watch.component {
        client.watch(component, None).await?;
    }
    while let Some(told) = news.next().await {
        let lines = if watch.at.json { vec![serde_json::to_string(&told)?] } else { show::told(&told) };
        if !lines.iter().all(|line| print(line)) {
            return Ok(());
        }
    }
    Ok(())
}

async fn list(list: List) -> Result<(), Failed> {
    let (client, _) = list.at.client()?;
    let mut after = None;
    loop {
        let Answer::Components(components) = client.ask(Ask::List { after: after.take() }).await? else {
            return Err("the representative answers something else".into());
        };
        let Some(last) = components.last() else { return Ok(()) };
        after = Some(last.component.clone());
        for listed in &components {
            let lines =
                if list.at.json { vec![serde_json::to_string(listed)?] } else { show::listed(listed) };
            if !lines.iter().all(|line| print(line)) {
                return Ok(());
            }
        }
    }
}

async fn history(of: Component) -> Result<(), Failed> {
    let ask = Ask::History { component: of.component.clone() };
    let Answer::Verdicts(verdicts) = of.at.client()?.0.ask(ask).await? else {
        return Err("the representative answers something else".into());
    };
    for verdict in &verdicts {
        let lines = if of.at.json {
            vec![serde_json::to_string(verdict)?]
        } else {
            show::history(&of.component, verdict)
        };
        if !lines.iter().all(|line| print(line)) {
            return Ok(());
        }
    }
    Ok(())
}
