//! Files of keys that a command is given, and what is signed with them.

use std::path::{Path, PathBuf};

use gcs_monitor::{
    trust::{Anchor, Document, Identity},
    zones::function::Said,
};

use crate::client::{Api, Unanswered, path_part};

type Fault = Box<dyn std::error::Error>;

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the operator's clock says from when on something that is signed is valid"
)]
pub(crate) fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Names may have dots, so that endings are added and never take the place of one.
pub(crate) fn with(stem: &Path, ending: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

pub(crate) fn other<T>(file: &Path, wanted: &str) -> Result<T, Fault> {
    Err(format!("{} is not {wanted}; look at it with `gcs-monitor ca show`", file.display()).into())
}

/// Who signs: NAME.key with NAME.cert beside it, or else with NAME.pub, an authority that is trusted. `file` is one of them, or NAME.
pub(crate) fn identity(file: &Path) -> Result<Identity, Fault> {
    let stem = match file.extension().and_then(|ending| ending.to_str()) {
        Some("key" | "cert") => file.with_extension(""),
        _ => file.to_owned(),
    };
    let (secret, cert, anchor) = (with(&stem, "key"), with(&stem, "cert"), with(&stem, "pub"));
    let Document::SecretKey(key) = Document::load(&secret)? else { return other(&secret, "a secret key") };
    if cert.exists() {
        let Document::Chain(chain) = Document::load(&cert)? else { return other(&cert, "a certificate") };
        return Ok(Identity::new(key, chain)?);
    }
    match Document::load(&anchor)? {
        Document::Anchor(known) if known.key == key.public() => Ok(Identity::anchor(key, known.zone)),
        _ => other(&anchor, "the authority that this secret key belongs to"),
    }
}

/// An authority to be trusted.
pub(crate) fn authority(file: &Path) -> Result<Anchor, Fault> {
    match Document::load(file)? {
        Document::Anchor(anchor) => Ok(anchor),
        _ => other(file, "an authority, such as root.pub"),
    }
}

/// A function that a zone has, by name, of whatever kind.
pub(crate) fn held(api: Api, zone: &str, name: &str) -> Result<Option<Said>, Fault> {
    let found = match api.get(&format!("/v1/functions/{}", path_part(name)), &[("zone", zone)]) {
        Ok(found) => found,
        // Whatever else is wrong with the zone is said when something is done with it.
        Err(Unanswered::Refused { .. }) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match Document::from_text(found["document"].as_str().unwrap_or_default())? {
        Document::Function(said) => Ok(Some(said)),
        _ => Ok(None),
    }
}

/// Signs a function for a zone and gives it to the agent.
pub(crate) fn sign_and_give(
    api: Api,
    signer: &Path,
    zone: &str,
    said: Said,
) -> Result<serde_json::Value, Fault> {
    let text = said.text.clone();
    let signed = identity(signer)?.sign_function(&zone.parse()?, said)?;
    let given = give(api, &Document::Function(signed))?;
    Ok(given.map_err(|e| e.under(&text))?)
}

/// Gives a document to the agent.
pub(crate) fn give(api: Api, document: &Document) -> Result<Result<serde_json::Value, Unanswered>, Fault> {
    let text = document.to_text()?;
    Ok(api.post("/v1/signed", &serde_json::json!({ "document": text.as_str() })))
}
