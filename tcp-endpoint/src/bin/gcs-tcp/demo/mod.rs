//! `gcs-tcp demo`: three replicas, a client, and every host that served it dies.

#![expect(clippy::disallowed_methods, reason = "people wait for it")]

mod client;
mod process;

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Read as _, Write as _, copy},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;

use gcs_tcp_endpoint::playground::{self, address};

use process::Process;

/// Whatever goes wrong, as a sentence.
type Failed = Box<dyn std::error::Error>;

const VIP: &str = "10.77.0.100";
const REPLICAS: usize = 3;
const HOSTS: [&str; REPLICAS + 1] = ["r0", "r1", "r2", CLIENT];
const CLIENT: &str = "client";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is shown.
#[derive(Args)]
pub(super) struct Demo {
    /// Size of the download, in megabytes.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    megabytes: u64,
    /// How fast the client reads, in megabytes a second.
    #[arg(long, value_name = "N", default_value_t = 100)]
    rate: u32,
    /// How often the leader is killed.
    #[arg(long, value_name = "N", default_value_t = 3)]
    kills: u64,
    /// This is the process in the namespaces.
    #[arg(long, hide = true)]
    inside: bool,
    /// This is the client.
    #[arg(long, hide = true)]
    client: bool,
}

/// Files of the demonstration; deleted when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(demo: &Demo) -> Result<(), Failed> {
    if demo.client {
        return client::run(SocketAddr::new(VIP.parse()?, 80), f64::from(demo.rate) * 1e6);
    }
    if !demo.inside {
        return Ok(playground::again_inside("--inside")?);
    }
    playground::end_with_parent();
    playground::build(&HOSTS, 1500)?;
    let folder = Folder(std::env::temp_dir().join(format!("gcs-tcp-demo-{}", std::process::id())));
    let files = folder.0.join("files");
    std::fs::create_dir_all(&files)?;
    write_key(&folder.0.join("key"))?;
    let digest = write_file(&files.join("file"), demo.megabytes * 1_000_000)?;
    Show {
        folder: folder.0.to_str().ok_or("a temporary folder with an odd name")?.to_owned(),
        replicas: Vec::new(),
    }
    .play(demo, &digest)
}

/// A key that all replicas have: nobody else is let into their group.
fn write_key(path: &Path) -> Result<(), Failed> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| format!("the system gives no random numbers: {e}"))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(blake3::hash(&key).to_hex().as_bytes())?)
}

/// Bytes that do not repeat, and their digest.
fn write_file(path: &Path, bytes: u64) -> Result<String, Failed> {
    let mut all = blake3::Hasher::new().update(b"gcs-tcp demo").finalize_xof().take(bytes);
    copy(&mut all, &mut BufWriter::with_capacity(1 << 20, File::create(path)?))?;
    Ok(blake3::Hasher::new().update_reader(File::open(path)?)?.finalize().to_string())
}

struct Show {
    /// With the key, and the files.
    folder: String,
    replicas: Vec<Option<Process>>,
}

impl Show {
    fn play(&mut self, demo: &Demo, digest: &str) -> Result<(), Failed> {
        println!(
            "three replicas and a client, each on a host of its own (a network namespace) on one Ethernet;"
        );
        println!("they serve a file at {VIP}, an address that none of the hosts has");
        for i in 0..REPLICAS {
            let replica = self.launch(i)?;
            self.replicas.push(Some(replica));
        }
        let mut leader = self.leader()?;
        println!("replica {leader} leads; the client downloads {} MB at {} MB/s,", demo.megabytes, demo.rate);
        println!("and asks every 20 ms for the file's length, on another connection");
        let rate = demo.rate.to_string();
        let client = Process::start(CLIENT, &["demo", "--client", "--rate", &rate])?;
        let part = demo.megabytes * 1_000_000 / (demo.kills + 1);
        for kill in 1..=demo.kills {
            self.wait_for_bytes(&client, kill * part)?;
            print!("{:>6} MB: replica {leader} is killed", kill * part / 1_000_000);
            std::io::stdout().flush()?;
            let (dead, killed) = (leader, Instant::now());
            self.replicas[dead] = None;
            leader = self.leader()?;
            print!("; replica {leader} leads {} ms later", killed.elapsed().as_millis());
            // It is over when bytes come that were sent afterwards.
            let longest = self.wait_for_bytes(&client, 0)?.max(self.wait_for_bytes(&client, 0)?);
            print!("; the download stood still for {longest:.0} ms");
            std::io::stdout().flush()?;
            self.replicas[dead] = Some(self.launch(dead)?);
            wait(self.replicas[dead].as_ref(), "joined")?;
            println!("; replica {dead} is back");
        }
        let same = self.wait_for(&client, "digest ")?;
        if same != digest {
            return Err(format!("the client has got other bytes: {same} instead of {digest}").into());
        }
        let asked = self.wait_for(&client, "asked ")?;
        let (count, slowest) = asked.split_once(' ').ok_or("an odd client")?;
        println!("{:>6} MB have come, all of them right (BLAKE3 {}...)", demo.megabytes, &digest[..16]);
        println!("{count} questions and answers; the slowest took {:.0} ms", slowest.parse::<f64>()? / 1e3);
        Ok(())
    }

    fn launch(&self, i: usize) -> Result<Process, Failed> {
        let all: Vec<_> = (0..REPLICAS).map(|i| format!("{}:4803", address(i))).collect();
        let (key, root) = (format!("{}/key", self.folder), format!("{}/files", self.folder));
        let (bind, all, vip) = (&all[i], all.join(","), format!("{VIP}/24"));
        let words = ["serve", "--root", &root, "--group", "demo", "--bind", bind, "--contact", &all];
        let more = [
            "--expect",
            "3",
            "--interface",
            "eth0",
            "--vip",
            &vip,
            "--listen",
            "80",
            "--mirror",
            "--key-file",
            &key,
        ];
        Process::start(HOSTS[i], &[&words[..], &more].concat())
    }

    /// Waits until somebody leads, and says who.
    fn leader(&self) -> Result<usize, Failed> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            for (i, replica) in self.replicas.iter().enumerate() {
                let mut lines = replica.iter().flat_map(|r| r.lines.recv_timeout(Duration::from_millis(1)));
                if lines.any(|line| line == "leads") {
                    return Ok(i);
                }
            }
        }
        Err("nobody leads".into())
    }

    /// Waits until the client has so many bytes, or says how many it has if that is 0; its longest wait, in milliseconds.
    fn wait_for_bytes(&self, client: &Process, bytes: u64) -> Result<f64, Failed> {
        loop {
            let at = self.wait_for(client, "at ")?;
            let (came, waited) = at.split_once(' ').ok_or("an odd client")?;
            if came.parse::<u64>()? >= bytes {
                return Ok(waited.parse::<f64>()? / 1e3);
            }
        }
    }

    /// Waits for a line of the client that begins so; the rest of it.
    fn wait_for(&self, client: &Process, begins: &str) -> Result<String, Failed> {
        loop {
            let line =
                client.lines.recv_timeout(PATIENCE).map_err(|_| "the client has lost its connection")?;
            if let Some(rest) = line.strip_prefix(begins) {
                return Ok(rest.to_owned());
            }
        }
    }
}

fn wait(replica: Option<&Process>, line: &str) -> Result<(), Failed> {
    let replica = replica.ok_or("no such replica")?;
    loop {
        if replica.lines.recv_timeout(PATIENCE).map_err(|_| format!("a replica does not say `{line}`"))?
            == line
        {
            return Ok(());
        }
    }
}
