//! Catalog, extents and query evaluation.
//!
//! The catalog is a set of tables in a SQLite database that the caller owns, so that
//! a commit can be one transaction with whatever else the caller keeps there. Extents
//! are immutable Parquet files that exist for queries only once the catalog says so.

mod alter;
mod catalog;
mod commit;
mod error;
mod eval;
mod extent;
mod function;
pub mod merge;
mod relocate;
pub mod row_store;
mod run;
mod scan;
mod stored_schema;

pub use catalog::{Catalog, CreateOutcome, ExtentRecord, MappingRecord, TableId, TableRecord};
pub use commit::{CatalogCommit, Commit, CommitOutcome, Existing, NewExtent, TableCommit};
pub use error::EngineError;
pub use extent::{ExtentFile, ExtentWriter};
pub use function::StoredFunction;
pub use row_store::StreamedRows;
pub use run::{QueryLimits, QueryResult, Tables, run_plan, run_plan_over};
pub use scan::{Chunk, ExtentScan};
pub use stored_schema::StoredSchema;
