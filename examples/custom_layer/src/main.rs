//! A program with a microprotocol of its own: three members, in one process and over UDP, whose stack has a
//! [`stopwatch`] in it.
//!
//! Run it with `cargo run -p custom_layer`. It prints the stack, casts 2,000 messages, compares what the members
//! delivered, and prints how long their own messages took. Then it shows what becomes of a stack with the layer in the
//! wrong place.

mod stopwatch;

use gcs::{
    endpoint::Event,
    group::{Builder, Events, Group},
    layer::Protocol,
    properties::Properties,
    stack::{Blueprint, StackError},
};
use gcs_stacks::{Flow, Heartbeat, Pack, Reliable, Sequencer, Uniform};
use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};
use stopwatch::{Latencies, Stopwatch};
use tokio::{task::JoinSet, time::timeout};

const MEMBERS: usize = 3;
const MESSAGES: usize = 2000;
/// More than enough for everything, on a busy machine, too.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a member delivered, in its order: who cast it, and its number there.
type Delivered = Vec<Vec<u8>>;
type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match timeout(DEADLINE, run()).await {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(e)) => {
            eprintln!("custom_layer: {e}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("custom_layer: the members did not deliver everything within {DEADLINE:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let latencies = Arc::new(Latencies::default());
    let stack = stack(&latencies)?;
    println!("stack, bottom first: {}", stack.description());
    println!("it gives: {}", stack.gives());

    let groups = cast_and_compare(&stack).await?;
    for group in groups {
        group.leave().await.map_err(|reason| format!("could not leave: {reason:?}"))?;
    }
    report(&latencies.sorted())?;

    match misplaced(&latencies) {
        Err(refusal) => println!("with the stopwatch below the order: {refusal}"),
        Ok(_) => return Err("a stopwatch below the order was not refused".into()),
    }
    Ok(())
}

/// The layers of `total+uniform` with a stopwatch above what orders and holds back, and below flow control.
///
/// They are named one by one, because [`gcs_stacks::compose()`] takes only layers that give something that is wanted, and
/// a stopwatch gives nothing. A layer that gives a property is put on the menu with [`gcs_stacks::compose_with`].
fn stack(latencies: &Arc<Latencies>) -> Result<Blueprint, StackError> {
    let layers: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(Heartbeat),
        Arc::new(Reliable { prompt: true }),
        Arc::new(Sequencer),
        Arc::new(Uniform),
        Arc::new(Stopwatch(Arc::clone(latencies))),
        Arc::new(Flow::default()),
        Arc::new(Pack),
    ];
    let stack = Blueprint::new("total+uniform, timed", layers)?;
    debug_assert!(stack.gives().contains(Properties::TOTAL_ORDER | Properties::UNIFORM));
    Ok(stack)
}

/// The same layers, but the stopwatch where it would see frames that have no place in the order yet.
fn misplaced(latencies: &Arc<Latencies>) -> Result<Blueprint, StackError> {
    let layers: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(Heartbeat),
        Arc::new(Reliable { prompt: true }),
        Arc::new(Stopwatch(Arc::clone(latencies))),
        Arc::new(Sequencer),
        Arc::new(Uniform),
        Arc::new(Flow::default()),
        Arc::new(Pack),
    ];
    Blueprint::new("misplaced", layers)
}

/// Starts the members, has them cast, and compares what they delivered.
async fn cast_and_compare(stack: &Blueprint) -> Result<Vec<Group>, Failure> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let builder = || -> Builder { Group::builder("custom-layer").bind(anywhere).stack(stack.clone()) };
    let (first, events) = builder().found().start().await?;
    let contact = first.local_addr();
    let mut members = JoinSet::new();
    members.spawn(member(0, first, events));
    for i in 1..MEMBERS {
        let (group, events) = builder().contact(contact).start().await?;
        members.spawn(member(i, group, events));
    }
    let (mut groups, mut orders) = (Vec::new(), Vec::new());
    while let Some(done) = members.join_next().await {
        let (group, order) = done??;
        groups.push(group);
        orders.push(order);
    }
    if orders.iter().any(|order| *order != orders[0]) {
        return Err("the members delivered in different orders".into());
    }
    println!("{} members delivered {} messages in the same order", orders.len(), orders[0].len());
    Ok(groups)
}

/// Waits for the others, then casts its part: the next message when the one before it has come back.
async fn member(i: usize, group: Group, mut events: Events) -> Result<(Group, Delivered), Failure> {
    let part = (MESSAGES + i) / MEMBERS;
    let mut order = Delivered::with_capacity(MESSAGES);
    let (mut me, mut cast) = (None, 0);
    while order.len() < MESSAGES {
        let mut turn = false;
        match events.next().await {
            Some(Event::View(change)) if me.is_some() => {
                return Err(format!("member {i}: the group changed to {} members", change.view.len()).into());
            }
            Some(Event::View(change)) if change.view.len() == MEMBERS => {
                me = Some(change.rank);
                turn = true;
            }
            Some(Event::Messages(messages)) => {
                order.extend(messages.iter().map(<[u8]>::to_vec));
                turn = Some(messages.from) == me;
            }
            Some(Event::Left(reason)) => return Err(format!("member {i}: {reason}").into()),
            Some(_) => {}
            None => return Err(format!("member {i}: the endpoint stopped").into()),
        }
        if turn && cast < part {
            group.cast(format!("{i}:{cast}").as_bytes()).await?;
            cast += 1;
        }
    }
    Ok((group, order))
}

fn report(sorted: &[Duration]) -> Result<(), Failure> {
    let (Some(median), Some(max)) = (sorted.get(sorted.len() / 2), sorted.last()) else {
        return Err("the stopwatch measured nothing".into());
    };
    println!("own delivery of {} frames: p50 {median:.0?}, max {max:.1?}", sorted.len());
    Ok(())
}
