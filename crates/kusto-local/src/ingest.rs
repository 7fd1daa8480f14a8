//! The data-management part: takes messages off the queue, batches them, loads the
//! batches, reports the outcomes, cleans up.

pub(crate) mod accept;
pub(crate) mod by_table;
pub(crate) mod duplicate;
pub(crate) mod extend;
pub(crate) mod failpoint;
pub(crate) mod fetch;
pub(crate) mod janitor;
pub(crate) mod listing;
pub(crate) mod load;
pub(crate) mod merge;
mod path_format;
pub(crate) mod seal;
pub(crate) mod stage;
pub(crate) mod stream;
pub(crate) mod submit;
pub(crate) mod target;
pub(crate) mod update;
pub(crate) mod work;
