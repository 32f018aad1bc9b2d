//! Everything together: a group, an interface, and a service at the virtual addresses.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use gcs::group::{Builder, StartError};
use thiserror::Error;

use crate::{
    link::{self, Link, MacChoice, Vip},
    net::{self, AddressProvider, AfPacket, CommandHook, Interface as _, Layer2, mac_of},
    replica::{About, ApplyError, Change, Endpoint, ReplicaError, RunError, run},
    service::Service,
    tcp::Config,
};

/// How long a command may take that moves an address.
const COMMAND_TIME: Duration = Duration::from_secs(30);

/// Where clients reach a service. All replicas have the same, but for `interface`.
#[derive(Clone, Debug)]
pub struct ReplicatedListener {
    /// The Ethernet interface on which clients are.
    pub interface: String,
    /// The virtual addresses. No host may have them.
    pub vips: Vec<Vip>,
    /// The ports that clients connect to, at every virtual address.
    pub ports: Vec<u16>,
    /// Under which MAC the addresses are found: [`MacChoice::Mirror`] lets every replica hear the clients, so that a takeover waits for
    /// none of them to send again.
    pub mac: MacChoice,
    /// A command that moves an address here or away, for clouds and routing daemons: run as `COMMAND take|release ADDRESS INTERFACE`, besides
    /// the announcements on the Ethernet. See [`net::CommandHook`].
    pub command: Vec<String>,
    /// A router for clients that are not on this Ethernet.
    pub gateway: Option<Ipv4Addr>,
    /// Limits and behaviour of connections; `mtu` is taken from the interface.
    pub tcp: Config,
}

/// Why a service is not served any more.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The virtual addresses make no sense.
    #[error(transparent)]
    Link(#[from] link::ConfigError),
    /// The group cannot be started.
    #[error(transparent)]
    Group(#[from] StartError),
    /// The replica has ended.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl From<net::Error> for ServeError {
    fn from(e: net::Error) -> Self {
        Self::Run(e.into())
    }
}

impl ReplicatedListener {
    /// Serves what `service` makes, until that fails. A replica that has done something else than its leader begins anew, with a new
    /// service and the state of the others. `group` says who replicates it: a group with total order and uniform delivery, whose
    /// members are the replicas (state transfer and rejoining are seen to here). `changed` is told what becomes of this replica. Takes a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve<S: Service>(
        &self,
        group: impl Fn() -> Builder,
        service: impl Fn() -> S,
        mut changed: impl FnMut(Change),
    ) -> Result<Infallible, ServeError> {
        loop {
            let batches = self.until_it_diverges(group(), service(), &mut changed).await?;
            changed(Change::Diverged { batches });
        }
    }

    /// One membership in the group; after how many batches it has diverged.
    async fn until_it_diverges(
        &self,
        group: Builder,
        service: impl Service,
        changed: &mut impl FnMut(Change),
    ) -> Result<u64, ServeError> {
        let config = link::Config {
            gateway_v4: self.gateway,
            ..link::Config::ethernet(mac_of(&self.interface)?, self.mac, self.vips.clone())
        };
        let nic = AfPacket::open(&self.interface, &config, net::Options::default())?;
        let mtu = u16::try_from(nic.mtu()).unwrap_or(u16::MAX);
        let link = Link::new(config)?;
        let about = About::default();
        let said = about.clone();
        let (group, events) = group
            .state_transfer(true)
            .rejoin(true)
            .about(move || said.to_string())
            // Batches go back and forth: that costs two changes of threads less. Whose service hangs is gone on without.
            .own_thread(false)
            .start()
            .await?;
        let words: Vec<_> = self.command.iter().map(String::as_str).collect();
        let provider: Box<dyn AddressProvider> = match words[..] {
            [] => Box::new(Layer2),
            _ => Box::new(CommandHook::new(&words, &self.interface, COMMAND_TIME)),
        };
        let at = |port| self.vips.iter().map(move |vip| SocketAddr::new(vip.ip, port));
        let listen = self.ports.iter().copied().flat_map(at).collect();
        let endpoint = Endpoint::new(Config { mtu, ..self.tcp.clone() }, listen, service);
        let Err(ended) = run((group.clone(), events), endpoint, nic, link, provider, about, changed).await;
        let RunError::Replica(ReplicaError::Apply(ApplyError::Diverged { batches })) = ended else {
            return Err(ended.into());
        };
        let mut status = group.status();
        // Whether it could still leave, or was out already: it is out.
        let _ = group.leave().await;
        drop(group);
        let _ = status.wait_for(|s| s.stopped).await;
        Ok(batches)
    }
}
