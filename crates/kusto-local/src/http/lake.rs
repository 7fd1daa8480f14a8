//! The three "Path" operations of Data Lake Storage Gen2 that uploads need: create,
//! append, flush. A file is a blob whose appended pieces are its blocks, named by their
//! positions.

use super::{Call, storage_error};
use crate::ServiceError;
use crate::state::State;
use crate::store::blobs;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// Which operation a request is, if it is one of these.
pub(super) fn operation(call: &Call) -> Option<Operation> {
    let is =
        |name: &str, value: &str| call.query.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value));
    let position = || call.query.get("position").and_then(|text| text.parse().ok());
    match call.method.as_str() {
        "PUT" if is("resource", "file") => Some(Operation::Create),
        "PATCH" if is("action", "append") => Some(Operation::Append { position: position()? }),
        "PATCH" if is("action", "flush") => Some(Operation::Flush { length: position()? }),
        _ => None,
    }
}

/// A request to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// An empty file, in place of what was there.
    Create,
    /// Bytes at a position.
    Append { position: u64 },
    /// The appended bytes become the file, of this length.
    Flush { length: u64 },
}

fn answer(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Carries an operation out.
pub(super) async fn serve(
    state: &Arc<State>,
    call: Call,
    container: String,
    name: String,
    operation: Operation,
) -> Result<Response, ServiceError> {
    match operation {
        Operation::Create => {
            crate::store::blocking(&state.store, move |store| {
                store.transact(|transaction| {
                    blobs::unstage(transaction, &container, &name)?;
                    blobs::commit(transaction, &container, &name, &[], 0)?;
                    Ok::<_, ServiceError>(answer(StatusCode::CREATED))
                })
            })
            .await
        }
        Operation::Append { position } => {
            let (file, size) = match super::blob::receive(state, call).await? {
                Ok(received) => received,
                Err(answer) => return Ok(answer),
            };
            crate::store::blocking(&state.store, move |store| {
                store.transact(|transaction| {
                    let block = format!("{position:020}");
                    blobs::stage_block(transaction, &container, &name, &block, &file, size)?;
                    Ok::<_, ServiceError>(answer(StatusCode::ACCEPTED))
                })
            })
            .await
        }
        Operation::Flush { length } => {
            crate::store::blocking(&state.store, move |store| {
                store.transact(|transaction| {
                    let staged = blobs::staged(transaction, &container, &name)?;
                    let flushed = blobs::find(transaction, &container, &name)?;
                    if staged.is_empty() && flushed.is_some_and(|file| file.size == length) {
                        // The same flush again, after its answer was lost.
                        return Ok(answer(StatusCode::OK));
                    }
                    let mut end = 0;
                    for (block, size) in &staged {
                        if block.parse() != Ok(end) {
                            return Ok(storage_error(
                                400,
                                "InvalidFlushPosition",
                                "the appended bytes have a gap or overlap",
                            ));
                        }
                        end += size;
                    }
                    if end != length {
                        return Ok(storage_error(
                            400,
                            "InvalidFlushPosition",
                            "the position is not the end of the appended bytes",
                        ));
                    }
                    let blocks: Vec<String> = staged.into_iter().map(|(block, _)| block).collect();
                    blobs::commit_blocks(transaction, &container, &name, &blocks)?;
                    Ok::<_, ServiceError>(answer(StatusCode::OK))
                })
            })
            .await
        }
    }
}
