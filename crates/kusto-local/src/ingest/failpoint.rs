//! Places where a crash test ends the process, as `kill -9` would: no clean-up runs.

/// The steps between which a crash must lose nothing: those of a queued source in their
/// order, then those of a streamed one.
pub(crate) const STEPS: [&str; 10] = [
    "message-put",
    "source-accepted",
    "batch-sealed",
    "load-begun",
    "extent-written",
    "batch-committed",
    "reports-drained",
    "rows-streamed",
    "rows-written",
    "rows-sealed",
];

/// Ends the process here when the configuration says so.
pub(crate) fn reach(configured: Option<&str>, step: &'static str) {
    debug_assert!(STEPS.contains(&step), "unknown step {step}");
    if configured == Some(step) {
        std::process::abort();
    }
}
