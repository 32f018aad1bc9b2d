//! `gcs-monitor publish`.

use std::path::PathBuf;

use clap::Args;
use gcs_monitor::trust::Document;

use crate::{Outcome, client::Api, keys};

#[derive(Args)]
pub(crate) struct Publish {
    /// A function, a removal or a revocation that `gcs-monitor ca` has made.
    #[arg(required = true)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn run(publish: &Publish) -> Outcome {
    for file in &publish.file {
        let document = Document::load(file)?;
        if !matches!(document, Document::Function(_) | Document::Revocation(_)) {
            return keys::other(file, "a function or a revocation");
        }
        let done = keys::give(publish.api, &document)?.map_err(|e| format!("{}: {e}", file.display()))?;
        let new = if done["new"] == false { ", which was known" } else { "" };
        say!("{}: the {} is with all agents soon{new}", file.display(), document.kind());
    }
    Ok(())
}
