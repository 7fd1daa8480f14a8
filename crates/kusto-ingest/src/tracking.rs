//! What became of an accepted ingestion: outcomes, handles, and the one poller behind
//! any number of them.

mod handle;
mod lookup;
mod outcome;
mod poller;
mod schedule;
mod status_queue;

pub(crate) use handle::Standing;
pub use handle::{FallbackReason, IngestionHandle, Method, Route};
pub(crate) use lookup::{Key, StatusLookup};
pub use outcome::{Outcome, SourceOutcome};
pub(crate) use poller::Tracker;
pub use schedule::PollPolicy;
pub use status_queue::{Lease, Report, ReportQueue};
