//! The ingestion batching policy as a pure state machine: (event, now) → actions.
//! No clock, no I/O, no ids of its own: the caller injects all three and persists the
//! actions before it acts on them.

mod batcher;
mod policy;

pub use batcher::{Action, Batcher, Incoming, OpenBatch, SealCause};
pub use policy::{BatchingPolicy, PolicyError};
