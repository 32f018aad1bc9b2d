//! Sources that run.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time::sleep,
};

use super::{
    command,
    config::{Config, ConfigError, Rules},
    extract::ExtractError,
    file, groups,
    handle::Handle,
    host, http,
    name::Name,
    poll::{Read, poll},
    prometheus, statsd,
    store::{SourceId, Store, Update},
    textfile,
};

/// Why sources do not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration cannot be done.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened at.
    #[error("[{table}]: {listen} cannot be listened at: {error}; choose another address, or end who has it")]
    Listen {
        /// The table.
        table: &'static str,
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The host cannot be asked about itself.
    #[error("[host]: this system does not say how it fares ({0}); say attributes = []")]
    Host(String),
}

/// The running sources of one agent. They end when this is dropped.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use gcs_monitor::sources::{Config, Sources};
/// let config = Config::from_toml("[host]\nattributes = ['cores']").unwrap();
/// let mut sources = Sources::start(config).await.unwrap();
/// sources.handle().set("release", "2.7").unwrap();
/// let updates = sources.next().await;
/// assert_eq!(&*updates[0].name, "release");
/// # });
/// ```
#[derive(Debug)]
pub struct Sources {
    handle: Handle,
    tasks: JoinSet<()>,
    http: Option<SocketAddr>,
    statsd: Option<SocketAddr>,
}

impl Sources {
    /// Starts all sources of a configuration; from within a tokio runtime with time and I/O, of one thread or many.
    ///
    /// # Errors
    /// The configuration cannot be done, or an address not be listened at. Nothing runs then.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let http = match &config.http {
            Some(http) => Some(listen("http", http.listen, TcpListener::bind(http.listen).await)?),
            None => None,
        };
        let statsd = match &config.statsd {
            Some(statsd) => Some(listen("statsd", statsd.listen, UdpSocket::bind(statsd.listen).await)?),
            None => None,
        };
        let handle = Handle::new(Store::new(Rules::new(config.report.clone())));
        let mut this = Self {
            handle,
            tasks: JoinSet::new(),
            http: http.as_ref().and_then(|listener| listener.local_addr().ok()),
            statsd: statsd.as_ref().and_then(|socket| socket.local_addr().ok()),
        };
        this.start_host(&config)?;
        this.start_files(&config)?;
        this.start_databases(&config);
        if let (Some(listener), Some(table)) = (http, &config.http) {
            let router = http::router_with(this.handle.clone(), table.life);
            this.tasks.spawn(http::serve(listener, router));
        }
        if let (Some(socket), Some(table)) = (statsd, &config.statsd) {
            this.tasks.spawn(statsd::run(socket, this.handle.clone(), table.every, table.life));
        }
        Ok(this)
    }

    /// Says attributes of this agent.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where `[http]` listens.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where `[statsd]` listens.
    pub fn statsd_addr(&self) -> Option<SocketAddr> {
        self.statsd
    }

    /// Waits until something has changed that is worth telling, and returns all that has. However long it was not asked, it is one
    /// update for each name, of the latest value. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Vec<Update> {
        loop {
            let changed = self.handle.shared.changed.notified();
            match self.handle.take() {
                Ok(updates) => return updates,
                Err(pause) => tokio::select! {
                    () = changed => {}
                    () = sleep(pause) => {}
                },
            }
        }
    }

    fn source<'n>(
        &mut self,
        label: String,
        names: impl IntoIterator<Item = &'n Name>,
        source: impl Read,
        every: Duration,
        timeout: Duration,
    ) {
        let id: SourceId = self.handle.shared.store.lock().add_source(&label, names);
        self.tasks.spawn(poll(source, id, self.handle.clone(), every, timeout));
    }

    fn start_host(&mut self, config: &Config) -> Result<(), StartError> {
        let host = &config.host;
        let (disks, others) = host::divided(&host.attributes);
        // Longer than reading takes on a host that is overloaded.
        let patience = Duration::from_secs(5);
        if !others.is_empty() {
            let source = host::Source::new(host).map_err(|e| StartError::Host(e.to_string()))?;
            self.source("host".to_owned(), &others, source, host.every, patience);
        }
        if !disks.is_empty() {
            self.source("host disks".to_owned(), &disks, host::DiskSource::new(host), host.every, patience);
        }
        Ok(())
    }

    fn start_files(&mut self, config: &Config) -> Result<(), ConfigError> {
        let broken =
            |table: String| move |e: ExtractError| ConfigError::Table { table, problem: e.to_string() };
        for table in &config.file {
            let label = format!("file {}", table.name);
            let source = file::Source::new(table).map_err(broken(label.clone()))?;
            self.source(label, [&table.name], source, table.every, table.timeout);
        }
        for table in &config.command {
            let label = format!("command {}", table.name);
            let source = command::Source::new(table).map_err(broken(label.clone()))?;
            self.source(label, [&table.name], source, table.every, table.timeout);
        }
        for table in &config.prometheus {
            let label = format!("prometheus {}", table.url);
            if let Some(source) = prometheus::Source::new(table) {
                self.source(label, table.attributes.keys(), source, table.every, table.timeout);
            }
        }
        if let Some(table) = &config.textfile {
            self.source("textfile".to_owned(), [], textfile::Source::new(table), table.every, table.timeout);
        }
        if let Some(table) = &config.groups {
            // Asking has its own end.
            let patience = 5 * groups::PATIENCE;
            self.source("groups".to_owned(), [], groups::Source::new(table), table.every, patience);
        }
        Ok(())
    }

    fn start_databases(&mut self, config: &Config) {
        #[cfg(feature = "sqlite")]
        for table in config.sqlite.clone() {
            let label = format!("sqlite {}", table.path.display());
            let (names, every, timeout) = (table.attributes.clone(), table.every, table.timeout);
            self.source(label, &names, super::sqlite::Source::new(table), every, timeout);
        }
        #[cfg(feature = "postgres")]
        for table in config.postgres.clone() {
            let first = table.attributes.first().map(ToString::to_string).unwrap_or_default();
            let (names, every, timeout) = (table.attributes.clone(), table.every, table.timeout);
            let source = super::postgres::Source::new(table);
            self.source(format!("postgres {first}"), &names, source, every, timeout);
        }
        let _ = config;
    }
}

fn listen<T>(table: &'static str, listen: SocketAddr, bound: io::Result<T>) -> Result<T, StartError> {
    bound.map_err(|error| StartError::Listen { table, listen, error })
}
