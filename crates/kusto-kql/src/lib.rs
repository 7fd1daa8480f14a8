//! The KQL subset and the management commands: lexer, parser with spans, and the
//! check of names and types. Knows nothing of Arrow or of stored data; an evaluator
//! takes the checked plan.

pub mod ast;
mod check;
mod command;
mod command_parse;
mod error;
mod functions;
mod lexer;
mod literal;
mod parse;
pub mod plan;

pub use check::{Scope, check_pipeline, check_query};
pub use command::{
    Absent, Batching, BlobListing, Cancelled, Command, CommandText, CreateMode, DatabaseView, Duplicated,
    Effect, Execution, ExtentChoice, ExtentsOf, FillMode, FunctionCommand, FunctionMode, MappingMode,
    NewTable, OtherTexts, PathPart, PolicyAction, PolicyEntity, PolicyKind, PrincipalChange, QueuedLoad,
    QueuedSource, RequestLog, Role, SchemaShape, StreamingLog, TableText, TagChange, TagCondition, TagTest,
};
pub use command_parse::parse_command;
pub use error::{ErrorKind, KqlError};
pub use functions::{AggregateFunction, Function, Period};
pub use literal::Literal;
pub use parse::{Parser, parse_function, parse_query};
