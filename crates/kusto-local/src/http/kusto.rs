//! Management, queries and the auth metadata.

use super::{Call, set, text};
use crate::ServiceError;
use crate::access::Caller;
use crate::command::{self, CommandResult, Context};
use crate::running::{RunningKind, Stop};
use crate::state::State;
use axum::response::Response;
use http::{Method, StatusCode};
use kusto_types::DateTime;
use kusto_wire::{DataSetV1, DataSetV2, Framing, OneApiError, Request, RequestProperties};
use serde_json::{Value, json};
use std::sync::Arc;

/// Most bytes of a request body: an inline ingestion may be large.
const MAX_BODY: usize = 128 * 1024 * 1024;

/// Where users of the public cloud sign in, and for what.
const LOGIN: &str = "https://login.microsoftonline.com";
const ORGANIZATIONS: &str = "https://login.microsoftonline.com/organizations";
const RESOURCE: &str = "https://kusto.kusto.windows.net";

/// Which result format an endpoint gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResultFormat {
    V1,
    V2,
}

/// The ids of one request.
pub(crate) struct Ids {
    client: String,
    activity: String,
    /// What the client says it is.
    application: String,
}

impl Ids {
    pub(crate) fn of(call: &Call) -> Self {
        let activity = uuid::Uuid::new_v4().to_string();
        let client = call
            .header("x-ms-client-request-id")
            .map_or_else(|| format!("unspecified;{activity}"), str::to_owned);
        let application = call.header("x-ms-app").unwrap_or_default().to_owned();
        Self { client, activity, application }
    }

    /// The service's id of the request.
    pub(crate) fn activity(&self) -> &str {
        &self.activity
    }

    fn stamp(&self, mut response: Response) -> Response {
        set(&mut response, "x-ms-client-request-id", &self.client);
        set(&mut response, "x-ms-activity-id", &self.activity);
        response
    }

    pub(crate) fn answer(&self, body: &Value) -> Response {
        self.answer_text(body.to_string())
    }

    fn answer_text(&self, json: String) -> Response {
        self.stamp(text(StatusCode::OK, "application/json; charset=utf-8", json))
    }

    pub(crate) fn fail(&self, error: &ServiceError) -> Response {
        let (status, body) = error.response(&self.activity);
        if status >= 500 {
            tracing::error!(
                activity = self.activity,
                error = error as &dyn std::error::Error,
                "a request failed"
            );
        }
        let mut response = self.error(status, &body);
        let after = match error {
            ServiceError::Throttled { after, .. } => *after,
            ServiceError::NoRoom { .. } => Some(crate::room::AGAIN),
            _ => None,
        };
        if let Some(after) = after {
            set(&mut response, "retry-after", &after.as_secs().max(1).to_string());
        }
        response
    }

    /// The answer to a request whose sender is not known: where to sign in, and for what.
    pub(crate) fn refuse(&self, state: &State, error: &ServiceError) -> Response {
        let mut response = self.fail(error);
        if matches!(error, ServiceError::Unauthenticated(_)) {
            let (issuer, resource) = state.issuers.sign_in().unwrap_or((ORGANIZATIONS, RESOURCE));
            // Java's v2 client sends its token only after this.
            let challenge =
                format!("Bearer realm=\"\", authorization_uri=\"{issuer}\", resource=\"{resource}\"");
            set(&mut response, "www-authenticate", &challenge);
        }
        response
    }

    fn error(&self, status: u16, body: &OneApiError) -> Response {
        let body = body.clone().with_client_request_id(&self.client);
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.stamp(text(status, "application/json", serde_json::to_string(&body).unwrap_or_default()))
    }
}

/// Where tokens come from: nowhere when nobody is asked for one, and clients then send
/// none; else what the public cloud says, which all clients know.
pub(crate) fn auth_metadata(state: &State) -> Response {
    let sign_in = if state.config.access.is_open() {
        Value::Null
    } else {
        let (issuer, resource) = state.issuers.sign_in().unwrap_or((LOGIN, RESOURCE));
        // Clients put the tenant behind the endpoint themselves.
        let login = url::Url::parse(issuer)
            .map_or_else(|_| LOGIN.to_owned(), |url| url.origin().ascii_serialization());
        json!({
            "LoginEndpoint": login, "LoginMfaRequired": false,
            "KustoClientAppId": "db662dc1-0cfe-4e1c-a843-19a68e65be58",
            "KustoClientRedirectUri": "https://microsoft/kustoclient", "KustoServiceResourceId": resource,
            "FirstPartyAuthorityUrl": format!("{login}/f8cdef31-a31e-4b4a-93e4-5f571e91255a"),
        })
    };
    text(StatusCode::OK, "application/json", json!({ "AzureAD": sign_in }).to_string())
}

pub(crate) fn not_found(call: &Call) -> Response {
    let ids = Ids::of(call);
    let detail = format!("{} {} is no endpoint of this service", call.method, call.path);
    ids.error(
        404,
        &OneApiError::new(
            "NotFound",
            "Kusto.Data.Exceptions.KustoBadRequestException",
            &detail,
            true,
            &ids.activity,
        ),
    )
}

/// A request for the log of requests.
struct Asked {
    client: String,
    activity: String,
    application: String,
    caller: Caller,
    database: Option<String>,
    text: String,
    started: DateTime,
}

impl Asked {
    fn of(ids: &Ids, caller: &Caller, request: &Request) -> Self {
        Self {
            client: ids.client.clone(),
            activity: ids.activity.clone(),
            application: ids.application.clone(),
            caller: caller.clone(),
            database: request.db.clone(),
            text: request.csl.clone(),
            started: DateTime::now(),
        }
    }

    fn record(self, state: &State, failure: Option<&ServiceError>) {
        state.requests.record(
            (&self.client, &self.activity, &self.application),
            &self.caller,
            self.database.as_deref(),
            &self.text,
            self.started,
            failure.map(ToString::to_string),
        );
    }
}

async fn read(call: Call) -> Result<Request, ServiceError> {
    if call.method == Method::GET {
        // A link is followed by whoever shows it: it asks, and changes nothing.
        return match call.query.get("csl").map(|csl| csl.trim()) {
            None | Some("") => {
                Err(ServiceError::BadRequest("the query is missing: ?db=...&csl=...".to_owned()))
            }
            Some(csl) if csl.starts_with('.') => {
                Err(ServiceError::BadRequest("commands are sent by POST; a GET is for queries".to_owned()))
            }
            Some(csl) => Ok(Request {
                db: call.query.get("db").cloned(),
                csl: csl.to_owned(),
                properties: Value::Null,
            }),
        };
    }
    let body = call.text(MAX_BODY).await.map_err(|_| {
        ServiceError::BadRequest(format!("the request body is over {MAX_BODY} bytes or broke off"))
    })?;
    serde_json::from_str(&body).map_err(|error| {
        ServiceError::BadRequest(format!("the request body is not {{db, csl, properties}}: {error}"))
    })
}

/// Runs a query under its client's id, by which it can be stopped.
fn run_query(
    state: &State,
    caller: &Caller,
    request: &Request,
    properties: &RequestProperties,
    client: &str,
) -> Result<Vec<kusto_engine::QueryResult>, ServiceError> {
    let database = request.db.as_deref();
    let place = (database.unwrap_or_default(), request.csl.as_str());
    let stop = Stop::of_query(properties);
    let ticket = state.running.enter(RunningKind::Query, (client, "Query"), caller, place, stop);
    crate::query::run(state, caller, database, &request.csl, properties, &ticket.stop)
}

pub(crate) async fn management(state: &Arc<State>, call: Call) -> Response {
    let ids = Ids::of(&call);
    let (address, caller) = (call.address.clone(), call.caller.clone());
    let request = match read(call).await {
        Ok(request) => request,
        Err(error) => return ids.fail(&error),
    };
    let (log, asked) = (state.clone(), Asked::of(&ids, &caller, &request));
    let state = state.clone();
    let client = ids.client.clone();
    let answer = tokio::task::spawn_blocking(move || -> Result<Value, ServiceError> {
        let trimmed = request.csl.trim_start();
        if trimmed.starts_with('.') {
            let context = Context {
                database: request.db.as_deref(),
                address: &address,
                caller: &caller,
                client: &client,
            };
            return Ok(match command::run(&state, trimmed, &context)? {
                CommandResult::Table(table) => DataSetV1::single(table).encode(),
                CommandResult::Queried(tables) => DataSetV1 { tables }.encode_with_contents(),
            });
        }
        let properties =
            request.properties().map_err(|error| ServiceError::BadRequest(format!("properties: {error}")))?;
        let results = run_query(&state, &caller, &request, &properties, &client)?;
        Ok(DataSetV1 { tables: results.iter().map(crate::query::to_table).collect() }.encode_with_contents())
    })
    .await;
    let answer = answer.map_err(ServiceError::from).and_then(|answer| answer);
    asked.record(&log, answer.as_ref().err());
    match answer {
        Ok(body) => ids.answer(&body),
        Err(error) => ids.fail(&error),
    }
}

pub(crate) async fn query(state: &Arc<State>, call: Call, format: ResultFormat) -> Response {
    let ids = Ids::of(&call);
    let (address, caller) = (call.address.clone(), call.caller.clone());
    let request = match read(call).await {
        Ok(request) => request,
        Err(error) => return ids.fail(&error),
    };
    let (log, asked) = (state.clone(), Asked::of(&ids, &caller, &request));
    let state = state.clone();
    let (client, activity) = (ids.client.clone(), ids.activity.clone());
    let answer = tokio::task::spawn_blocking(move || -> Result<String, ServiceError> {
        let mut framing = Framing::Plain;
        let tables = if request.csl.trim_start().starts_with('.') {
            let context = Context {
                database: request.db.as_deref(),
                address: &address,
                caller: &caller,
                client: &client,
            };
            command::run(&state, request.csl.trim_start(), &context)?.tables()
        } else {
            let properties = request
                .properties()
                .map_err(|error| ServiceError::BadRequest(format!("properties: {error}")))?;
            if properties.is_on("results_v2_fragment_primary_tables") {
                framing = Framing::Fragmented;
            }
            let results = run_query(&state, &caller, &request, &properties, &client)?;
            results.iter().map(crate::query::to_table).collect()
        };
        Ok(match format {
            ResultFormat::V1 => DataSetV1 { tables }.encode_with_contents().to_string(),
            ResultFormat::V2 => DataSetV2 { tables }.encode(framing, &client, &activity),
        })
    })
    .await;
    let answer = answer.map_err(ServiceError::from).and_then(|answer| answer);
    asked.record(&log, answer.as_ref().err());
    match answer {
        Ok(body) => ids.answer_text(body),
        Err(error) => ids.fail(&error),
    }
}
