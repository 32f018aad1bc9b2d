//! Contacts that are looked up: DNS names and a file, again and again while the endpoint lives, so that a process finds its
//! group though addresses have changed. A name may have many addresses, as a headless service in Kubernetes has.
//!
//! What cannot be looked up leaves the addresses as they were; it is logged when it begins.

use super::shared::{Command, Shared};
use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How often, while there is no view and when there is one.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// A look-up that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most addresses of all sources together; more are ignored.
const ADDRESSES: usize = 256;
/// The most that is read of a file, in bytes.
const FILE: u64 = 64 << 10;

/// Where contacts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A host's name with a port, `db.example.org:4803`.
    Name(String),
    /// A file with addresses or names, one a line; what follows `#` is a comment.
    File(PathBuf),
}

/// Whether this is a host's name with a port.
pub(crate) fn is_name(text: &str) -> bool {
    let port = |p: &str| p.parse::<u16>().is_ok_and(|p| p > 0);
    text.rsplit_once(':').is_some_and(|(host, p)| {
        !host.is_empty() && !host.contains([':', '/', ' ']) && host.len() <= 253 && port(p)
    })
}

/// Looks the sources up until the endpoint ends. `fixed` are contacts, too; `own` is this endpoint's address.
pub(crate) async fn run(sources: Vec<Source>, fixed: Vec<SocketAddr>, own: SocketAddr, shared: Arc<Shared>) {
    let mut known = vec![BTreeSet::new(); sources.len()];
    let mut failed = vec![false; sources.len()];
    let mut told = BTreeSet::new();
    while !shared.abandoned.load(Ordering::Acquire) {
        for ((source, known), failed) in sources.iter().zip(&mut known).zip(&mut failed) {
            match source.look_up().await {
                Ok(found) => {
                    *failed = false;
                    *known = found;
                }
                Err(e) if !*failed => {
                    *failed = true;
                    tracing::warn!("contacts cannot be looked up in {source:?}: {e}");
                }
                Err(_) => {}
            }
        }
        // An address of the other family cannot be reached from this one.
        let usable =
            |a: &SocketAddr| a.is_ipv4() == own.is_ipv4() && a.port() > 0 && !a.ip().is_unspecified();
        let all: BTreeSet<SocketAddr> =
            fixed.iter().chain(known.iter().flatten()).copied().filter(usable).take(ADDRESSES).collect();
        if all != told {
            tracing::debug!(?all, "contacts");
            shared.command(Command::Contacts(all.iter().copied().collect()));
            told = all;
        }
        let status = shared.status.borrow().clone();
        if status.stopped || status.left.is_some() {
            return;
        }
        let alone = status.view.is_none() || status.blocked;
        tokio::time::sleep(if alone { EVERY.0 } else { EVERY.1 }).await;
    }
}

impl Source {
    async fn look_up(&self) -> io::Result<BTreeSet<SocketAddr>> {
        match self {
            Self::Name(name) => resolve(name).await,
            Self::File(path) => {
                let (mut all, path) = (BTreeSet::new(), path.clone());
                // The file may be on a server that does not answer.
                let text = tokio::task::spawn_blocking(move || read(&path)).await??;
                for line in text.lines() {
                    let entry = line.split('#').next().unwrap_or("").trim();
                    match entry.parse() {
                        Ok(addr) => drop(all.insert(addr)),
                        Err(_) if is_name(entry) => all.extend(resolve(entry).await?),
                        Err(_) if entry.is_empty() => {}
                        Err(_) => {
                            let what = format!("`{entry}` is neither ADDRESS:PORT nor NAME:PORT");
                            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                        }
                    }
                }
                Ok(all)
            }
        }
    }
}

async fn resolve(name: &str) -> io::Result<BTreeSet<SocketAddr>> {
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(name)).await;
    Ok(found.map_err(|_| io::ErrorKind::TimedOut)??.take(ADDRESSES).collect())
}

/// A small file as text.
fn read(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file.take(FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(source: &Source) -> io::Result<BTreeSet<SocketAddr>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(source.look_up())
    }

    #[test]
    fn a_file_has_addresses_names_and_comments() {
        let path = std::env::temp_dir().join(format!("gcs-contacts-{}", std::process::id()));
        std::fs::write(&path, "# the cluster\n10.0.0.1:7 # a\n\n[fd00::1]:8\n localhost:9\n").unwrap();
        let found = look_up(&Source::File(path.clone())).unwrap();
        assert!(
            found.contains(&"10.0.0.1:7".parse().unwrap()) && found.contains(&"[fd00::1]:8".parse().unwrap())
        );
        assert!(found.iter().any(|a| a.port() == 9 && a.ip().is_loopback()));
        std::fs::write(&path, "nonsense").unwrap();
        assert!(
            look_up(&Source::File(path.clone())).unwrap_err().to_string().contains("`nonsense` is neither")
        );
        std::fs::remove_file(&path).unwrap();
        look_up(&Source::File(path)).unwrap_err();
        look_up(&Source::File("/dev/zero".into())).unwrap_err();
    }

    #[test]
    fn names_have_a_host_and_a_port() {
        assert!(["db:1", "db.default.svc.cluster.local:65535", "10.0.0.1:7"].into_iter().all(is_name));
        assert!(
            ["", "db", "db:", ":1", "db:0", "db:65536", "a b:1", "http://db:1"]
                .into_iter()
                .all(|n| !is_name(n))
        );
    }
}
