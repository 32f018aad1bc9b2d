//! `gcs-monitor ca show`.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use gcs_monitor::{
    row::Row,
    sql::{Context, Limits, Query},
    trust::{Certificate, Chain, Document, FunctionSeal, Kind, Refusal, Validity, Verifier},
    value::Value,
    zones::function::Said,
};
use serde_json::Value as Json;

use super::{DAY_S, Fault};

#[derive(Args)]
pub(crate) struct Show {
    /// A file that `ca` has made.
    file: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Look whether it follows from this authority, such as root.pub; if not, say why, and fail.
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

pub(crate) fn run(show: &Show, now_s: u64) -> Result<(), Fault> {
    let document = Document::load(&show.file)?;
    let shown = described(&document, now_s)?;
    if show.json {
        println!("{:#}", as_json(&shown));
    } else {
        print!("{}", as_text(&shown, 0));
    }
    let Some(authority) = &show.authority else { return Ok(()) };
    let anchor = crate::keys::authority(authority)?;
    let who = format!("the authority of {}", anchor.zone);
    let mut verifier = Verifier::new(vec![anchor])?;
    match &document {
        Document::Chain(chain) => verifier.chain(now_s, chain)?,
        Document::Function(function) => drop(verifier.function(now_s, function)?),
        Document::Revocation(revocation) => drop(verifier.revoke(now_s, revocation)?),
        _ => return Err(Refusal::NoCertificate.into()),
    }
    if !show.json {
        println!("it follows from {who}");
    }
    Ok(())
}

/// A name and what it stands for.
type Part = (&'static str, Shown);

enum Shown {
    One(Json),
    /// Who has signed, from the nearest one on; last comes an authority that is not in the file.
    Signers(Vec<Vec<Part>>),
}

fn one(name: &'static str, value: impl Into<Json>) -> Part {
    (name, Shown::One(value.into()))
}

/// What is in a file, in the order in which it is shown. Nothing of a secret.
fn described(document: &Document, now_s: u64) -> Result<Vec<Part>, Fault> {
    let mut parts = vec![one("kind", document.kind())];
    match document {
        Document::SecretKey(key) => parts.push(one("public key", hex(key.public().as_bytes()))),
        Document::PublicKey(key) => parts.push(one("key", hex(key.as_bytes()))),
        Document::Anchor(anchor) => {
            parts.extend([one("zone", anchor.zone.as_str()), one("key", hex(anchor.key.as_bytes()))]);
        }
        Document::Chain(chain) => {
            if let Some(subject) = chain.subject() {
                parts.extend(certificate(subject, now_s)?);
            }
            parts.push(("issued by", signers(chain, 1, now_s)?));
        }
        Document::Function(said) => parts.extend(function(said, now_s)?),
        Document::Revocation(revocation) => {
            parts.push(one("zone", revocation.zone().as_str()));
            parts.push(one("revokes", hex(revocation.id().as_bytes())));
            parts.extend(times(revocation.validity(), now_s)?);
            parts.push(("signed by", signers(revocation.signer(), 0, now_s)?));
        }
    }
    Ok(parts)
}

fn function(said: &Said, now_s: u64) -> Result<Vec<Part>, Fault> {
    let seal = FunctionSeal::decode(&said.seal)?;
    let mut parts = vec![
        one("name", said.name.as_str()),
        one("zone", seal.zone().as_str()),
        one("strength", if said.strong { "strong" } else { "weak" }),
        if said.text.is_empty() { one("removed", true) } else { one("sql", said.text.as_str()) },
    ];
    parts.extend(times(Validity::new(said.issued_s, said.expires_s.saturating_sub(said.issued_s)), now_s)?);
    parts.push(("signed by", signers(seal.signer(), 0, now_s)?));
    Ok(parts)
}

fn certificate(certificate: &Certificate, now_s: u64) -> Result<Vec<Part>, Fault> {
    let grant = certificate.grant();
    let mut parts = match &grant.kind {
        Kind::Zone => vec![one("of", "zone authority")],
        Kind::Agent => vec![one("of", "agent")],
        Kind::Client { name, may } => {
            vec![one("of", "client"), one("name", name.as_str()), one("may", may.to_string())]
        }
    };
    parts.push(one("zone", grant.zone.as_str()));
    parts.push(one("key", hex(grant.key.as_bytes())));
    parts.push(one("id", hex(certificate.id().as_bytes())));
    parts.extend(times(grant.validity, now_s)?);
    Ok(parts)
}

/// Without the last few of the chain.
fn signers(chain: &Chain, without: usize, now_s: u64) -> Result<Shown, Fault> {
    let all = chain.certificates().iter().rev().skip(without);
    Ok(Shown::Signers(all.map(|link| certificate(link, now_s)).collect::<Result<_, Fault>>()?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn times(validity: Validity, now_s: u64) -> Result<[Part; 3], Fault> {
    let left = i128::from(validity.expires_s()) - i128::from(now_s);
    let days = i64::try_from(left.div_euclid(i128::from(DAY_S))).unwrap_or(i64::MAX);
    Ok([
        one("valid from", date(validity.issued_s())?),
        one("valid until", date(validity.expires_s())?),
        one("days left", days),
    ])
}

/// A moment as text, by the functions of our own SQL.
fn date(seconds: u64) -> Result<String, Fault> {
    let query = Query::parse("SELECT MAX(STRFTIME('%Y-%m-%dT%H:%M:%SZ', t)) AS t", &Limits::default())?;
    let row = Row::new([("t", Value::Int(i64::try_from(seconds).unwrap_or(i64::MAX)))]);
    let summary = query.summarise([&row], &Context::default())?;
    Ok(summary.row.get("t").as_text().map_or_else(|| format!("{seconds} s after 1970"), str::to_owned))
}

fn as_json(parts: &[Part]) -> Json {
    let value = |shown: &Shown| match shown {
        Shown::One(value) => value.clone(),
        Shown::Signers(all) => all.iter().map(|parts| as_json(parts)).collect(),
    };
    Json::Object(parts.iter().map(|(name, shown)| (name.replace(' ', "_"), value(shown))).collect())
}

/// A name and a value on each line. What comes from elsewhere does nothing to the terminal.
fn as_text(parts: &[Part], depth: usize) -> String {
    let indent = "    ".repeat(depth);
    parts.iter().fold(String::new(), |mut out, (name, shown)| {
        let _ = match shown {
            Shown::One(Json::String(text)) => writeln!(out, "{indent}{name:<12} {}", printable(text)),
            Shown::One(value) => writeln!(out, "{indent}{name:<12} {value}"),
            Shown::Signers(all) => {
                let each = all.iter().map(|signer| as_text(signer, depth + 1)).collect::<Vec<_>>();
                let last = format!("{indent}    an authority that is not in this file\n");
                writeln!(out, "{indent}{name}").and_then(|()| write!(out, "{}{last}", each.join("\n")))
            }
        };
        out
    })
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
