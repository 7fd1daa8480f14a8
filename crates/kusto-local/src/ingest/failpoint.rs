//! Places where a crash test ends the process, as `kill -9` would: no clean-up runs.

/// The steps between which a crash must lose nothing, in their order.
pub(crate) const STEPS: [&str; 7] = [
    "message-put",
    "source-accepted",
    "batch-sealed",
    "load-begun",
    "extent-written",
    "batch-committed",
    "reports-drained",
];

/// Ends the process here when the configuration says so.
pub(crate) fn reach(configured: Option<&str>, step: &'static str) {
    debug_assert!(STEPS.contains(&step), "unknown step {step}");
    if configured == Some(step) {
        std::process::abort();
    }
}
