//! Microprotocols.
