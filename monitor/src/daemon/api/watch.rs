//! Questions that are answered whenever the answer is another one: server-sent events.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::sse::Event,
};
use tokio::sync::{Semaphore, mpsc};

use super::{
    error::Refused,
    query::Asked,
    query::ask,
    stream::{Said, said},
};
use crate::daemon::{answer::Answer, node::Node};

/// Questions and tables that are watched at a time.
const WATCHES: usize = 64;
static PLACES: Semaphore = Semaphore::const_new(WATCHES);
/// How often one is asked at most, and at least.
pub(super) const PACE: Duration = Duration::from_millis(200);
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// `GET /v1/watch?sql=SELECT…&zone=/eu`: an event `answer` for each new answer, `error` when there is none.
pub(super) async fn watch(
    State(node): State<Arc<Node>>,
    Query(asked): Query<Asked>,
) -> Result<Said, Refused> {
    let first = ask(&node, &asked).await?;
    events(|to| async move { follow(&node, &asked, first, &to).await })
}

/// Events for as long as `tell` has some and somebody reads them, if there is a place.
pub(super) fn events<F: Future<Output = ()> + Send + 'static>(
    tell: impl FnOnce(mpsc::Sender<Event>) -> F,
) -> Result<Said, Refused> {
    let Ok(place) = PLACES.try_acquire() else {
        return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "there are too many watches: end one"));
    };
    let (to, events) = mpsc::channel(4);
    let told = tell(to);
    tokio::spawn(async move {
        told.await;
        drop(place);
    });
    Ok(said(events))
}

async fn follow(node: &Node, asked: &Asked, first: Answer, to: &mpsc::Sender<Event>) {
    let (mut shown, mut next): (_, Result<Answer, Refused>) = (None, Ok(first));
    loop {
        let (event, says) = match next {
            Ok(answer) => {
                let now_s = node.look(|agent, now| agent.seconds(now));
                let c = &answer.completeness;
                let says = (answer.table.clone(), c.reported, c.members, c.expected);
                (Event::default().event("answer").data(answer.json(now_s).to_string()), Some(says))
            }
            Err(refused) => (Event::default().event("error").data(refused.to_string()), None),
        };
        if shown.as_ref() != Some(&says) {
            if to.send(event).await.is_err() {
                return;
            }
            shown = Some(says);
        }
        tokio::select! {
            () = to.closed() => return,
            () = tokio::time::sleep(PACE) => {}
        }
        tokio::select! {
            () = to.closed() => return,
            () = node.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        next = ask(node, asked).await;
    }
}
