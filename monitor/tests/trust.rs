//! Who may say what: everything that is refused, and that nothing forged is not.

#[cfg(test)]
mod trust {
    mod agents;
    pub(crate) mod fleet;
    mod forged;
    mod functions;
    mod processes;
    mod program;
    mod refused;
    mod requests;
}
