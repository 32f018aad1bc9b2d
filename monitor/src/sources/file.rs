//! One attribute from one file.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use rustix::fs::OFlags;

use super::{
    blocking::Worker,
    config,
    extract::{Extract, ExtractError},
    limits,
    name::Name,
    poll::{Read, ReadError, Reading, Said},
};

/// A file, opened anew for each reading: it may have been replaced.
#[derive(Debug)]
pub(super) struct Source {
    worker: Worker,
    name: Name,
    path: Arc<Path>,
    extract: Arc<Extract>,
}

impl Source {
    pub(super) fn new(config: &config::File) -> Result<Self, ExtractError> {
        let extract = Extract::new(config.pointer.as_deref(), config.pattern.as_deref(), config.text)?;
        let (name, path) = (config.name.clone(), config.path.as_path().into());
        Ok(Self { worker: Worker::default(), name, path, extract: Arc::new(extract) })
    }
}

impl Read for Source {
    async fn read(&mut self) -> Reading {
        let (path, extract) = (self.path.clone(), self.extract.clone());
        let value = self.worker.run(move || {
            let document = if extract.reads_the_end() {
                read_end(&path, limits::TAIL_BYTES)?
            } else {
                read_all(&path, limits::DOCUMENT_BYTES)?
            };
            Ok::<_, ReadError>(extract.value(&document)?)
        });
        Ok((vec![Said::new(self.name.clone(), value.await??)], None))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Opens a regular file. A pipe that nobody writes to would hold up who opens it, and a terminal or a disk is not meant.
pub(super) fn open(path: &Path) -> Result<File, ReadError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(ReadError::io(shown(path)))?;
    let kind = file.metadata().map_err(ReadError::io(shown(path)))?;
    if kind.is_file() { Ok(file) } else { Err(ReadError::NotAFile(shown(path))) }
}

/// All of a file that has at most `limit` bytes, whatever it says that it has: files of /proc say 0.
pub(super) fn read_all(path: &Path, limit: usize) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(ReadError::io(shown(path)))?;
    if bytes.len() > limit {
        return Err(ReadError::TooLarge { what: shown(path), limit });
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotUtf8(shown(path)))
}

/// The last `limit` bytes of a file; those that are no text are replaced.
fn read_end(path: &Path, limit: usize) -> Result<String, ReadError> {
    let mut file = open(path)?;
    let length = file.metadata().map_err(ReadError::io(shown(path)))?.len();
    if length > limit as u64 {
        file.seek(SeekFrom::Start(length - limit as u64)).map_err(ReadError::io(shown(path)))?;
    }
    let mut bytes = Vec::new();
    file.take(limit as u64).read_to_end(&mut bytes).map_err(ReadError::io(shown(path)))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
