//! [`Trust`]: whether anybody looks.

use super::{
    chain::Chain,
    function::FunctionCertificate,
    key::Signature,
    may::Need,
    refusal::Refusal,
    statement::{Gone, Request, RowIssue},
    verifier::Verifier,
};

/// Whether what others say is believed because of what they are, or anyway.
#[derive(Debug)]
pub enum Trust {
    /// Anyway: for trying out.
    Open,
    /// Because certificates say so.
    Keys(Box<Verifier>),
}

impl Trust {
    /// What to say at start where nobody looks.
    #[must_use]
    pub const fn warning(&self) -> Option<&'static str> {
        match self {
            Self::Open => Some(
                "no keys are given, so whoever reaches this port can change everything: make keys with `gcs-monitor ca`, or let nobody reach it",
            ),
            Self::Keys(_) => None,
        }
    }

    fn ask(&mut self, look: impl FnOnce(&mut Verifier) -> Result<(), Refusal>) -> Result<(), Refusal> {
        match self {
            Self::Open => Ok(()),
            Self::Keys(verifier) => look(verifier),
        }
    }

    /// As [`Verifier::row`].
    ///
    /// # Errors
    /// Why not; never if it is open.
    pub fn row(
        &mut self,
        now_s: u64,
        by: &Chain,
        row: &RowIssue<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        self.ask(|verifier| verifier.row(now_s, by, row, signature))
    }

    /// As [`Verifier::gone`].
    ///
    /// # Errors
    /// Why not; never if it is open.
    pub fn gone(
        &mut self,
        now_s: u64,
        by: &Chain,
        gone: &Gone<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        self.ask(|verifier| verifier.gone(now_s, by, gone, signature))
    }

    /// As [`Verifier::function`].
    ///
    /// # Errors
    /// Why not. If it is open, only what is wrong with its text.
    pub fn function(&mut self, now_s: u64, function: &FunctionCertificate) -> Result<(), Refusal> {
        match self {
            Self::Open => function.function().check().map(drop),
            Self::Keys(verifier) => verifier.function(now_s, function).map(drop),
        }
    }

    /// As [`Verifier::request`].
    ///
    /// # Errors
    /// Why not; never if it is open.
    pub fn request(
        &mut self,
        now_s: u64,
        by: &Chain,
        request: &Request<'_>,
        need: Need<'_>,
        signature: &Signature,
    ) -> Result<(), Refusal> {
        self.ask(|verifier| verifier.request(now_s, by, request, need, signature))
    }
}
