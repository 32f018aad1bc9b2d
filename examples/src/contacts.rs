//! Where a program looks for its group, as its command line says it.

use gcs::group::Builder;
use std::{net::SocketAddr, path::PathBuf};

/// Whom to ask for the group.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Contacts {
    /// Addresses of members, or of those who will be; one's own does no harm. A host's name stands for all its addresses, and
    /// is looked up again and again.
    #[arg(long, value_name = "ADDR:PORT|NAME:PORT", value_delimiter = ',')]
    pub contact: Vec<String>,
    /// A file with more of them, one a line. It is read again and again, and need not exist at first.
    #[arg(long, value_name = "PATH")]
    pub contact_file: Option<PathBuf>,
}

impl Contacts {
    /// Tells the builder.
    pub fn tell(self, mut builder: Builder) -> Builder {
        for contact in self.contact {
            builder = match contact.parse::<SocketAddr>() {
                Ok(addr) => builder.contact(addr),
                Err(_) => builder.contact_name(&contact),
            };
        }
        match self.contact_file {
            Some(path) => builder.contact_file(path),
            None => builder,
        }
    }
}
