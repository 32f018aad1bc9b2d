//! Standing queries in a [`World`].

use std::{net::SocketAddr, sync::Arc};

use gcs::time::Time;

use super::{World, address};
use crate::zones::{
    agent::{InstallError, Sends},
    event::Event,
    function::Function,
    kind::Kind,
    message::Message,
    name::ZoneName,
};

impl World {
    /// Installs a standing query at an agent, which takes what comes of it; what has come is at [`Self::heard`] later.
    ///
    /// # Errors
    /// The agent does not take it.
    pub fn subscribe(
        &mut self,
        of: usize,
        zone: &ZoneName,
        query: &Arc<Function>,
    ) -> Result<(), InstallError> {
        let now = self.now();
        if let Kind::Standing(standing) = query.said().kind {
            self.agents[of].listen(&query.said().name.as_str().into(), zone, standing.delivery);
        }
        self.agents[of].install(now, zone, query)?;
        self.send(of, Sends::new());
        Ok(())
    }

    /// What has come of a standing query to the agent that has asked.
    pub fn heard(&mut self, of: usize, query: &str) -> Vec<Event> {
        self.agents[of].heard(query, usize::MAX)
    }

    /// Gives an agent a message from another one, as it is.
    pub fn deliver(&mut self, to: usize, from: usize, message: Message) {
        let (now, mut sends) = (self.now(), Sends::new());
        self.agents[to].receive(now, address(from), message, &mut sends);
        self.send(to, sends);
    }

    /// Where others reach an agent.
    #[must_use]
    pub fn address(&self, of: usize) -> SocketAddr {
        address(of)
    }

    /// An agent looks at what standing queries ask of its table `attributes`, the only one that agents have here.
    pub(super) fn look(&mut self, now: Time, of: usize) {
        let (seen, conditions) = &mut self.conditions[of];
        let agent = &mut self.agents[of];
        if *seen != agent.others_changed() {
            *seen = agent.others_changed();
            conditions.follow(now, agent.standing(now));
        }
        for due in conditions.due(now) {
            let context = agent.context(now);
            let rows = conditions.look(now, &due.name, &[agent.attributes(now)], &context);
            if !rows.is_empty() {
                agent.fire(now, &due.name, rows);
            }
        }
    }
}
