//! `gcs-monitor ca`: keys and certificates as files.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use gcs_monitor::{
    trust::{
        Anchor, Certificate, Document, DocumentError, FunctionSeal, Grant, Identity, Kind, May, PublicKey,
        SecretKey, Validity,
    },
    zones::{function::Function, name::ZoneName},
};

use crate::keys::{identity, now_s, other, with};

mod show;

type Fault = Box<dyn std::error::Error>;

const DAY_S: u64 = 86_400;
/// Days that certificates and functions are valid if nothing is said.
const ZONE_DAYS: u64 = 5 * 365;
const AGENT_DAYS: u64 = 365;
const CLIENT_DAYS: u64 = 90;
const FUNCTION_DAYS: u64 = 365;

const EXAMPLE: &str = "\
Example: an authority for everything, one for Europe, an agent there, and somebody who looks after it.

  gcs-monitor ca new keys                  keys/root.key stays at home, keys/root.pub goes to every machine
  gcs-monitor ca -d keys zone /eu          keys/eu.key and keys/eu.cert: who has them issues in /eu
  gcs-monitor ca -d keys agent /eu/ams/h1 --by eu
                                           keys/eu-ams-h1.key and .cert go to that machine
  gcs-monitor ca -d keys client alice --zone /eu --may read,write:app_,install --by eu
  gcs-monitor ca -d keys sign-function load --zone /eu --sql 'SELECT MAX(load) AS load' --by alice
  gcs-monitor ca show keys/alice.cert --authority keys/root.pub
  gcs-monitor ca -d keys revoke keys/alice.cert

A machine can make its key itself, so that the secret never leaves it:

  h1$ gcs-monitor ca key h1                h1.key stays there, h1.pub goes to the authority
  gcs-monitor ca -d keys agent /eu/ams/h1 --by eu --public h1.pub
";

/// Keys and certificates: who may be which agent, change what, install which functions.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Ca {
    /// Where the files of the authority are, and where new ones go.
    #[arg(short, long, default_value = ".", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A new authority that everybody is told to trust: root.key and root.pub.
    New {
        /// Where to put it; it is made if it is not there.
        #[arg(value_name = "DIR")]
        into: PathBuf,
        /// What it is the authority of.
        #[arg(long, default_value = "/")]
        zone: ZoneName,
    },
    /// A pair of keys without a certificate: FILE.key and FILE.pub.
    Key {
        /// Their names, without the ending.
        file: PathBuf,
    },
    /// The authority of a zone: it issues what is in the zone.
    Zone {
        /// Its path, such as /eu.
        zone: ZoneName,
        #[command(flatten)]
        issue: Issue,
    },
    /// An agent: it signs its row, and speaks for the zones that it is in.
    Agent {
        /// Its path, such as /eu/ams/h1.
        name: ZoneName,
        #[command(flatten)]
        issue: Issue,
    },
    /// Somebody who asks, sets attributes, installs functions, has standing queries asked, or announces something.
    Client {
        /// Who.
        name: String,
        /// In which zone, and all inside.
        #[arg(long)]
        zone: ZoneName,
        /// Of read, write, write:PREFIX (of the attribute's name), install, subscribe and announce, with commas.
        #[arg(long, default_value = "read")]
        may: May,
        #[command(flatten)]
        issue: Issue,
    },
    /// A function that zones are to evaluate: NAME.function.
    SignFunction(SignFunction),
    /// What takes a function away again: NAME.removal.function.
    RemoveFunction {
        /// The file of the function.
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// That a certificate counts no longer, and none issued with its key: NAME.revocation.
    Revoke {
        /// The file of the certificate.
        file: PathBuf,
        #[command(flatten)]
        by: By,
    },
    /// What is in a file.
    Show(show::Show),
}

#[derive(Args)]
struct By {
    /// Who signs: the name of their .key, and of the .cert if there is one.
    #[arg(long, default_value = "root")]
    by: String,
    /// Name of the new files, without the ending, if not that of what they are for.
    #[arg(long, value_name = "NAME")]
    out: Option<String>,
}

#[derive(Args)]
struct Issue {
    #[command(flatten)]
    by: By,
    /// How many days it is valid; otherwise 1825 for a zone, 365 for an agent and 90 for a client, or as long as its issuer.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: Option<u64>,
    /// A public key that was made elsewhere, by `ca key`.
    #[arg(long, value_name = "FILE")]
    public: Option<PathBuf>,
}

#[derive(Args)]
struct SignFunction {
    /// The function's name. It takes the place of the one that has it.
    name: String,
    /// For this zone, and all inside.
    #[arg(long)]
    zone: ZoneName,
    /// What it computes: one row out of those of the children.
    #[arg(long, value_name = "TEXT", required_unless_present = "file", conflicts_with = "file")]
    sql: Option<String>,
    /// A file with that.
    #[arg(long)]
    file: Option<PathBuf>,
    /// Zones inside cannot have one of their own instead, unless it is strong, too.
    #[arg(long)]
    strong: bool,
    /// How many days it is valid.
    #[arg(long, default_value_t = FUNCTION_DAYS, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    #[command(flatten)]
    by: By,
}

pub(crate) fn run(ca: &Ca) -> Result<(), Fault> {
    let dir = ca.dir.as_path();
    match &ca.what {
        What::New { into, zone } => new(into, zone),
        What::Key { file } => {
            let key = SecretKey::generate()?;
            let public = Document::PublicKey(key.public());
            write(vec![(with(file, "key"), Document::SecretKey(key)), (with(file, "pub"), public)])
        }
        What::Zone { zone, issue } => certify(dir, zone, Kind::Zone, zone.as_str(), issue, ZONE_DAYS),
        What::Agent { name, issue } => certify(dir, name, Kind::Agent, name.as_str(), issue, AGENT_DAYS),
        What::Client { name, zone, may, issue } => {
            let kind = Kind::Client { name: name.clone(), may: may.clone() };
            certify(dir, zone, kind, name, issue, CLIENT_DAYS)
        }
        What::SignFunction(sign) => sign_function(dir, sign),
        What::RemoveFunction { file, by } => {
            let Document::Function(old) = Document::load(file)? else { return other(file, "a function") };
            let zone = FunctionSeal::decode(&old.seal)?.zone().clone();
            let removal = signer(dir, &by.by)?.sign_function(&zone, old.removal(now_s()))?;
            let name = format!("{}.removal", old.name);
            write(vec![(place(dir, by, &name, "function"), Document::Function(removal))])
        }
        What::Revoke { file, by } => {
            let certificate = certificate(file)?;
            let revocation = signer(dir, &by.by)?.revoke(&certificate, now_s())?;
            let name = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            write(vec![(place(dir, by, &name, "revocation"), Document::Revocation(revocation))])
        }
        What::Show(what) => show::run(what, now_s()),
    }
}

fn new(into: &Path, zone: &ZoneName) -> Result<(), Fault> {
    let wrong = |e| DocumentError::Write(into.to_owned(), e);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(into).map_err(wrong)?;
    let (key, root) = (SecretKey::generate()?, into.join("root"));
    let anchor = Document::Anchor(Anchor { zone: zone.clone(), key: key.public() });
    write(vec![(with(&root, "key"), Document::SecretKey(key)), (with(&root, "pub"), anchor)])
}

fn place(dir: &Path, by: &By, name: &str, ending: &str) -> PathBuf {
    let own = || match name.trim_matches('/').replace('/', "-") {
        empty if empty.is_empty() => "zone".to_owned(),
        own => own,
    };
    with(&dir.join(by.out.clone().unwrap_or_else(own)), ending)
}

/// All of them or, if one is there, none.
fn write(files: Vec<(PathBuf, Document)>) -> Result<(), Fault> {
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(DocumentError::Exists(path.clone()).into());
    }
    for (path, document) in files {
        document.save(&path)?;
        let note =
            if matches!(document, Document::SecretKey(_)) { ": whoever has it is who it is for" } else { "" };
        println!("{} ({}{note})", path.display(), document.kind());
    }
    Ok(())
}

fn certificate(file: &Path) -> Result<Certificate, Fault> {
    match Document::load(file)? {
        Document::Chain(chain) if chain.subject().is_some() => {
            chain.subject().cloned().map_or_else(|| other(file, "a certificate"), Ok)
        }
        _ => other(file, "a certificate"),
    }
}

fn signer(dir: &Path, by: &str) -> Result<Identity, Fault> {
    identity(&dir.join(by))
}

/// As long as wanted; by itself no longer than whoever signs it.
fn validity(signer: &Identity, days: Option<u64>, default: u64) -> Result<Validity, Fault> {
    let now = now_s();
    let ends = signer.chain().certificates().iter().map(|c| c.grant().validity.expires_s()).min();
    let left = ends.unwrap_or(u64::MAX).saturating_sub(now);
    let who = signer.grant();
    if left == 0 {
        return Err(format!("{who} has expired; have it issued anew").into());
    }
    match days {
        Some(days) if days * DAY_S > left => Err(format!(
            "{who} ends in {} days, before what it would sign; choose fewer with --days, or renew it first",
            left / DAY_S
        )
        .into()),
        Some(days) => Ok(Validity::new(now, days * DAY_S)),
        None => Ok(Validity::new(now, left.min(default * DAY_S))),
    }
}

fn certify(
    dir: &Path,
    zone: &ZoneName,
    kind: Kind,
    name: &str,
    issue: &Issue,
    default: u64,
) -> Result<(), Fault> {
    let signer = signer(dir, &issue.by.by)?;
    let validity = validity(&signer, issue.days, default)?;
    let chain = |key: PublicKey| signer.issue(Grant { kind, zone: zone.clone(), key, validity });
    let file = |ending| place(dir, &issue.by, name, ending);
    let Some(public) = &issue.public else {
        let key = SecretKey::generate()?;
        let chain = chain(key.public())?;
        return write(vec![(file("key"), Document::SecretKey(key)), (file("cert"), Document::Chain(chain))]);
    };
    let Document::PublicKey(key) = Document::load(public)? else { return other(public, "a public key") };
    write(vec![(file("cert"), Document::Chain(chain(key)?))])
}

fn sign_function(dir: &Path, sign: &SignFunction) -> Result<(), Fault> {
    let signer = signer(dir, &sign.by.by)?;
    let sql = match (&sign.sql, &sign.file) {
        (Some(sql), _) => sql.clone(),
        (None, Some(file)) => {
            fs::read_to_string(file).map_err(|e| DocumentError::Read(file.clone(), e))?.trim().to_owned()
        }
        (None, None) => String::new(),
    };
    if sql.is_empty() {
        return Err(format!("function {} has no text; give it with --sql or --file", sign.name).into());
    }
    // A function ends when its signer does; who signs it later takes its place.
    let validity = validity(&signer, None, sign.days)?;
    let wrong = |e| format!("function {}: {e}", sign.name);
    let function =
        Function::open(&sign.name, &sql, validity.issued_s(), validity.seconds()).map_err(wrong)?;
    let mut said = function.said().clone();
    said.strong = sign.strong;
    let certificate = signer.sign_function(&sign.zone, said)?;
    write(vec![(place(dir, &sign.by, &sign.name, "function"), Document::Function(certificate))])
}
