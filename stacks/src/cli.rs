//! What the command lines of programs share: the keys of a closed group, and asking a running process. Feature `cli`.

use gcs::{
    guard::Keys,
    keys::{Certificates, PreShared},
};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Keys that keep strangers out; all processes of a group have the same kind.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KeyFiles {
    /// A file with a key that all processes of the group have: only who has it is let in, and what they say to each other is
    /// encrypted. Make one with: openssl rand -hex 32 > group.key
    #[arg(long, value_name = "PATH", conflicts_with = "certificate")]
    pub key_file: Option<PathBuf>,
    /// This process's certificate (PEM, Ed25519), instead of a key for all; its alternative names include the process's name, which is its
    /// address if it is given no other.
    #[arg(long, value_name = "PATH", requires = "private_key", requires = "authority")]
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate (PEM).
    #[arg(long, value_name = "PATH", requires = "certificate")]
    pub private_key: Option<PathBuf>,
    /// The certificate of the authority that has signed those of all processes (PEM).
    #[arg(long, value_name = "PATH", requires = "certificate")]
    pub authority: Option<PathBuf>,
    /// Sign everything with the certificate's key, so that not even a member can speak in another one's name. All processes
    /// of the group do, or none; it costs processor time (see docs/performance.md).
    #[arg(long, requires = "certificate")]
    pub sign: bool,
}

impl KeyFiles {
    /// Reads them. None: the group is open.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn read(&self) -> Result<Option<Arc<dyn Keys>>, String> {
        if let Some(path) = &self.key_file {
            let key = secret(path)?;
            let keys = PreShared::new(&key).map_err(|e| format!("{}: {e}", path.display()))?;
            return Ok(Some(Arc::new(keys)));
        }
        let (Some(certificate), Some(key), Some(authority)) =
            (&self.certificate, &self.private_key, &self.authority)
        else {
            return Ok(None);
        };
        let keys = Certificates::from_pem(&bytes(certificate)?, &secret(key)?, &bytes(authority)?);
        Ok(Some(Arc::new(keys.map_err(|e| e.to_string())?)))
    }

    /// The same. Where there are none, standard error is told that whoever reaches `bind` can join.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    pub fn read_or_warn(&self, program: &str, bind: SocketAddr) -> Result<Option<Arc<dyn Keys>>, String> {
        let keys = self.read()?;
        if keys.is_none() {
            let open =
                format!("{program}: the group is open: whoever reaches {bind} can join it and read along");
            let _ = writeln!(std::io::stderr(), "{open}; give --key-file to close it");
        }
        Ok(keys)
    }

    /// The name of the stack that encrypts, if there are keys, and signs, if that is wanted.
    #[must_use]
    pub fn stack(&self, name: &str) -> String {
        let open = self.key_file.is_none() && self.certificate.is_none();
        if open || name.contains("encrypted") {
            return name.to_owned();
        }
        let name = crate::named(name).map_or_else(|_| name.to_owned(), |s| s.name().to_owned());
        let closed = if self.sign { "+encrypted+signed" } else { "+encrypted" };
        match name.strip_suffix("+check") {
            Some(base) => format!("{base}{closed}+check"),
            None => format!("{name}{closed}"),
        }
    }
}

/// The report of the process whose control socket is at `path`.
///
/// # Errors
/// Nobody answers there, in one sentence.
pub fn report(path: &Path) -> Result<String, String> {
    tell(path, "report")
}

/// Says to the process whose control socket is at `path` that the others are gone for good. Says what it does.
///
/// # Errors
/// It refuses, or nobody answers there, in one sentence.
pub fn force_primary(path: &Path) -> Result<&'static str, String> {
    match tell(path, "force-primary")?.strip_prefix("refused: ") {
        Some(why) => Err(format!("not made primary: {}", why.trim_end())),
        None => Ok("it goes on as a new primary, in a new epoch\n"),
    }
}

fn tell(path: &Path, line: &str) -> Result<String, String> {
    let mut said = String::new();
    let read = UnixStream::connect(path).and_then(|mut process| {
        process.write_all(format!("{line}\n").as_bytes())?;
        process.read_to_string(&mut said)
    });
    let no = |e| format!("nobody answers at {}: {e}; was it started with --control?", path.display());
    read.map(|_| said).map_err(no)
}

fn bytes(path: &PathBuf) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))
}

/// The same, and a warning when others can read it, too.
fn secret(path: &PathBuf) -> Result<Vec<u8>, String> {
    let read = bytes(path)?;
    if fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o077 != 0) {
        let path = path.display();
        let _ = writeln!(std::io::stderr(), "warning: other users can read {path}; chmod 600 {path}");
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_choose_the_stack_that_encrypts() {
        let closed = KeyFiles { key_file: Some("k".into()), ..KeyFiles::default() };
        assert_eq!(KeyFiles::default().stack("total"), "total");
        for (name, stack) in [
            ("total", "total+encrypted"),
            ("uniform", "total+uniform+encrypted"),
            ("fifo+check", "fifo+encrypted+check"),
            ("total+uniform+encrypted", "total+uniform+encrypted"),
        ] {
            assert_eq!(closed.stack(name), stack);
            assert!(crate::named(stack).is_ok(), "{stack}");
        }
        let signing = KeyFiles { certificate: Some("c".into()), sign: true, ..KeyFiles::default() };
        assert_eq!(signing.stack("total+check"), "total+encrypted+signed+check");
        assert!(crate::named(&signing.stack("uniform")).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_one_sentence() {
        let missing = KeyFiles { key_file: Some("/nowhere/key".into()), ..KeyFiles::default() };
        assert!(missing.read().unwrap_err().starts_with("/nowhere/key cannot be read: "));
        assert!(KeyFiles::default().read().is_ok_and(|k| k.is_none()));
    }
}
