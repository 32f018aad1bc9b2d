//! Looks on schedule, and reports.

use std::{future::pending, io, time::Duration};

use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Look, Looked, Process, Streak, Thresholds};
use crate::health::{
    client::{Client, ClientError},
    command::{Observation, Refusal},
    name::{Label, Who},
    verdict::Finding,
    wire::{Ask, Failure},
};

/// What is known is said again before it is too old to count (a third of
/// [`limits::OPINION_MS`](crate::health::state::limits::OPINION_MS)).
const AGAIN: Duration = Duration::from_secs(10);

/// Why nobody looks any more.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The representatives refuse: there is no such instance, say.
    #[error(transparent)]
    Refused(#[from] ClientError),
    /// Nobody knows about the process.
    #[error("the process cannot be watched any more: {0}")]
    Process(#[source] io::Error),
}

/// Who looks at what, and how.
pub struct Plan {
    /// Of which component.
    pub component: Label,
    /// Which instance.
    pub instance: Label,
    /// Who looks.
    pub observer: Who,
    /// The process that it is; its end ends everything. If this observer is the instance's supervisor, nobody else has to agree.
    pub process: Option<Process>,
    /// What else is looked at. If there is nothing, the instance is up while its process is there.
    pub look: Option<Look>,
    /// Between two looks.
    pub every: Duration,
    /// What takes longer is sluggish.
    pub limit: Duration,
    /// What takes longer is down.
    pub patience: Duration,
    /// How many looks count.
    pub thresholds: Thresholds,
    /// Larger than in an earlier life of this observer: the time of day in microseconds, say.
    pub serial: u64,
}

/// Looks and reports until the process has ended and that is known, or forever. `said` hears of every report that is new.
///
/// # Errors
/// [`ProbeError`]. That the representatives are out of reach is none: it goes on trying.
pub async fn run(mut plan: Plan, client: &Client, mut said: impl FnMut(&Looked)) -> Result<(), ProbeError> {
    let mut streak = Streak::new(plan.thresholds);
    let mut every = interval(plan.every.max(Duration::from_millis(1)));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: Option<(Finding, Instant)> = None;
    loop {
        let ended = async {
            match &plan.process {
                Some(process) => process.ended().await,
                None => pending().await,
            }
        };
        let looked = tokio::select! {
            biased;
            ended = ended => {
                ended.map_err(ProbeError::Process)?;
                let gone = Looked { finding: Finding::Down, evidence: "its process has ended".into() };
                said(&gone);
                return Ok(report_end(&mut plan, client, &gone).await?);
            }
            looked = async {
                every.tick().await;
                match &plan.look {
                    Some(look) => look.look(plan.limit, plan.patience).await,
                    None => Looked { finding: Finding::Up, evidence: "its process is there".into() },
                }
            } => looked,
        };
        let finding = streak.look(looked.finding);
        let known = told.is_some_and(|(before, at)| before == finding && at.elapsed() < AGAIN);
        if known {
            continue;
        }
        if told.is_none_or(|(before, _)| before != finding) {
            said(&Looked { finding, evidence: looked.evidence.clone() });
        }
        // What evidence there is may be that of another finding, one look ago: it says what was seen last.
        if report(&mut plan, client, &looked, finding, false).await? {
            told = Some((finding, Instant::now()));
        }
    }
}

/// Says that it has ended until somebody has heard it.
async fn report_end(plan: &mut Plan, client: &Client, gone: &Looked) -> Result<(), ClientError> {
    while !report(plan, client, gone, Finding::Down, true).await? {}
    Ok(())
}

/// False: nobody has heard it.
async fn report(
    plan: &mut Plan,
    client: &Client,
    looked: &Looked,
    finding: Finding,
    certain: bool,
) -> Result<bool, ClientError> {
    plan.serial += 1;
    let observation = Observation {
        component: plan.component.clone(),
        instance: plan.instance.clone(),
        observer: plan.observer.clone(),
        serial: plan.serial,
        finding,
        certain,
        evidence: looked.evidence.clone(),
    };
    match client.ask(Ask::Observe(observation)).await {
        // It was said twice, and heard the first time.
        Ok(_) | Err(ClientError::Refused(Failure::Refused(Refusal::Overtaken(_)))) => Ok(true),
        Err(ClientError::NoAnswer(_)) => Ok(false),
        Err(e) => Err(e),
    }
}
