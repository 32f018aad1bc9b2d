//! Who may say what: everything that is refused, and that nothing forged is not.

#[cfg(test)]
mod trust {
    mod agents;
    mod events;
    pub(crate) mod fleet;
    mod forged;
    mod functions;
    mod leases;
    mod processes;
    mod program;
    mod refused;
    mod requests;
}
