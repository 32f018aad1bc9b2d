//! Everything together: a group, an interface, and a service at the virtual addresses.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use gcs::{
    group::{Group, StartError},
    guard::Keys,
    layer::Watch,
    stack::Blueprint,
};
use thiserror::Error;

use crate::{
    link::{self, Link, MacChoice, Vip},
    net::{self, AfPacket, Interface as _, Layer2, mac_of},
    replica::{About, ApplyError, Change, Endpoint, RunError, run},
    service::Service,
    tcp::Config,
};

/// Where clients reach a service, and who replicates it. All replicas have the same, but for `bind` and `interface`.
#[derive(Clone)]
pub struct ReplicatedListener {
    /// The group's name.
    pub group: String,
    /// The address (UDP and TCP) at which the other replicas reach this one.
    pub bind: SocketAddr,
    /// The other replicas.
    pub contacts: Vec<SocketAddr>,
    /// The group begins as soon as so many have met: more than half of all that will ever be started.
    pub expect: usize,
    /// How replicas notice that one is silent. One whose process dies is noticed at once, whatever this is.
    pub watch: Watch,
    /// The Ethernet interface on which clients are.
    pub interface: String,
    /// The virtual addresses. No host may have them.
    pub vips: Vec<Vip>,
    /// The ports that clients connect to, at every virtual address.
    pub ports: Vec<u16>,
    /// Under which MAC the addresses are found: [`MacChoice::Mirror`] lets every replica hear the clients, so that a takeover waits for
    /// none of them to send again.
    pub mac: MacChoice,
    /// A router for clients that are not on this Ethernet.
    pub gateway: Option<Ipv4Addr>,
    /// Keys that keep strangers out of the group, and encrypt what replicas say to each other. Without, whoever reaches `bind` can
    /// join and read along.
    pub keys: Option<Arc<dyn Keys>>,
    /// The stack: total order, uniform, and whatever the keys are for.
    pub stack: Blueprint,
    /// A local socket at which the replica says what it knows of itself, see [`gcs::group::Builder::control`].
    pub control: Option<PathBuf>,
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
    /// service and the state of the others. `changed` is told what becomes of it. Takes a tokio runtime.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve<S: Service>(
        &self,
        service: impl Fn() -> S,
        mut changed: impl FnMut(Change),
    ) -> Result<Infallible, ServeError> {
        loop {
            let batches = self.until_it_diverges(service(), &mut changed).await?;
            changed(Change::Diverged { batches });
        }
    }

    /// One membership in the group; after how many batches it has diverged.
    async fn until_it_diverges(
        &self,
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
        let (group, events) = Group::builder(&self.group)
            .bind(self.bind)
            .contacts(self.contacts.iter().copied())
            .expect(self.expect)
            .state_transfer(true)
            .rejoin(true)
            .control(self.control.clone())
            .about(move || said.to_string())
            .stack(self.stack.clone())
            .keys(self.keys.clone())
            .watch(self.watch)
            // Batches go back and forth: that costs two changes of threads less. Whose service hangs is gone on without.
            .own_thread(false)
            .start()
            .await?;
        let at = |port| self.vips.iter().map(move |vip| SocketAddr::new(vip.ip, port));
        let listen = self.ports.iter().copied().flat_map(at).collect();
        let endpoint = Endpoint::new(Config { mtu, ..self.tcp.clone() }, listen, service);
        let Err(ended) = run((group.clone(), events), endpoint, nic, link, Layer2, about, changed).await;
        let RunError::Apply(ApplyError::Diverged { batches }) = ended else { return Err(ended.into()) };
        let mut status = group.status();
        // Whether it could still leave, or was out already: it is out.
        let _ = group.leave().await;
        drop(group);
        let _ = status.wait_for(|s| s.stopped).await;
        Ok(batches)
    }
}
