//! The queue endpoint: put, peek, get and delete messages.

use super::{Call, http_date, no_room, storage_error, storage_headers, text};
use crate::ServiceError;
use crate::ingest::failpoint::reach;
use crate::state::{QUEUES, State};
use crate::store::queues::{self, ByReceipt, StoredMessage};
use crate::store::reports::{FAILURE_QUEUE, SUCCESS_QUEUE};
use axum::body::Body;
use axum::response::Response;
use http::{Method, StatusCode};
use kusto_wire::storage::{QueueMessage, decode_put_message, encode_messages};
use std::sync::Arc;
use std::time::Duration;

/// Azure's limit for a message.
const MAX_MESSAGE: usize = 64 * 1024;

pub(crate) async fn serve(state: &Arc<State>, call: Call, queue: &str, id: Option<String>) -> Response {
    let known = QUEUES.contains(&queue) || [SUCCESS_QUEUE, FAILURE_QUEUE].contains(&queue);
    let peek = call.query.get("peekonly").is_some_and(|peek| peek.eq_ignore_ascii_case("true"));
    let permission = match (&call.method, peek) {
        (&Method::POST, _) => 'a',
        (&Method::GET, true) => 'r',
        (&Method::GET | &Method::DELETE, _) => 'p',
        _ => 'u',
    };
    if !state.signer.allows(&format!("queue/{queue}"), permission, &call.query) {
        return storage_error(
            403,
            "AuthenticationFailed",
            "the shared access signature is missing, expired or not for this operation",
        );
    }
    if !known {
        return storage_error(404, "QueueNotFound", "there is no such queue");
    }
    if permission == 'a' && state.room.is_low() {
        return no_room();
    }
    let queue = queue.to_owned();
    let seconds = |name: &str, default: u64| {
        Duration::from_secs(
            call.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(default).min(7 * 86_400),
        )
    };
    let count = call.query.get("numofmessages").and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
    if !(1..=32).contains(&count) {
        return storage_error(400, "OutOfRangeQueryParameterValue", "numofmessages must be within 1 and 32");
    }
    let answer = match (&call.method, id) {
        (&Method::POST, None) => {
            let hidden = seconds("visibilitytimeout", 0);
            put(state, call, queue, hidden).await
        }
        (&Method::GET, None) => {
            let hidden = seconds("visibilitytimeout", 30);
            crate::store::blocking(&state.store, move |store| {
                let messages = store.transact(|transaction| {
                    if peek {
                        queues::peek(transaction, &queue, count)
                    } else {
                        queues::receive(transaction, &queue, count, hidden)
                    }
                })?;
                let messages: Vec<QueueMessage> =
                    messages.into_iter().map(|message| on_wire(message, !peek, true)).collect();
                Ok(text(StatusCode::OK, "application/xml", encode_messages(&messages)))
            })
            .await
        }
        (&Method::DELETE, Some(id)) => {
            let receipt = call.query.get("popreceipt").cloned().unwrap_or_default();
            crate::store::blocking(&state.store, move |store| {
                let done =
                    store.transact(|transaction| queues::delete(transaction, &queue, &id, &receipt))?;
                Ok(match done {
                    ByReceipt::Done => {
                        let mut response = Response::new(Body::empty());
                        *response.status_mut() = StatusCode::NO_CONTENT;
                        response
                    }
                    ByReceipt::NotFound => storage_error(404, "MessageNotFound", "there is no such message"),
                    ByReceipt::WrongReceipt => storage_error(
                        400,
                        "PopReceiptMismatch",
                        "the pop receipt is not the message's current one",
                    ),
                })
            })
            .await
        }
        _ => return storage_error(405, "UnsupportedHttpVerb", "the operation is not supported here"),
    };
    match answer {
        Ok(mut response) => {
            storage_headers(&mut response);
            response
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a queue request failed");
            storage_error(500, "InternalError", "the service could not complete the request")
        }
    }
}

fn on_wire(message: StoredMessage, with_receipt: bool, with_text: bool) -> QueueMessage {
    QueueMessage {
        id: message.id,
        inserted: http_date(message.inserted),
        expires: http_date(message.expires),
        pop_receipt: if with_receipt { message.receipt } else { String::new() },
        next_visible: if with_receipt { http_date(message.visible) } else { String::new() },
        dequeue_count: message.dequeued,
        text: if with_text { message.text } else { String::new() },
    }
}

async fn put(
    state: &Arc<State>,
    call: Call,
    queue: String,
    hidden: Duration,
) -> Result<Response, ServiceError> {
    let Ok(xml) = call.text(MAX_MESSAGE + 1024).await else {
        return Ok(storage_error(413, "RequestBodyTooLarge", "a message has at most 64 KiB"));
    };
    let Ok(message) = decode_put_message(&xml) else {
        return Ok(storage_error(400, "InvalidXmlDocument", "the body is not a QueueMessage document"));
    };
    if message.len() > MAX_MESSAGE {
        return Ok(storage_error(413, "MessageTooLarge", "a message has at most 64 KiB"));
    }
    let stored = crate::store::blocking(&state.store, move |store| {
        Ok(store.transact(|transaction| queues::put(transaction, &queue, &message, hidden))?)
    })
    .await?;
    reach(state.config.crash_at.as_deref(), "message-put");
    state.arrivals.notify_one();
    Ok(text(StatusCode::CREATED, "application/xml", encode_messages(&[on_wire(stored, true, false)])))
}
