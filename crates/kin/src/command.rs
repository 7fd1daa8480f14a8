//! Runs the commands.

mod ingest;
mod query;
mod serve;
mod status;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

/// Runs one command.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Ingest(arguments) => ingest::run(arguments).await,
        Command::Serve(arguments) => serve::run(arguments).await,
        Command::Query(arguments) => query::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
    }
}
