//! OneApiError: the JSON body of every failed request.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The body: `{"error": {...}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneApiError {
    /// The error itself.
    pub error: OneApiErrorBody,
}

/// What went wrong, and whether trying again can help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OneApiErrorBody {
    /// Code such as `General_BadRequest`.
    pub code: String,
    /// One sentence without detail.
    #[serde(default)]
    pub message: String,
    /// .NET exception type.
    #[serde(default, rename = "@type")]
    pub exception: String,
    /// The whole message.
    #[serde(default, rename = "@message")]
    pub detail: String,
    /// Ids and times of the failed activity.
    #[serde(default, rename = "@context")]
    pub context: Value,
    /// Whether the same request can never succeed. Absent means unknown.
    #[serde(default, rename = "@permanent", skip_serializing_if = "Option::is_none")]
    pub permanent: Option<bool>,
    /// The cause, if the service tells one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub innererror: Option<Value>,
}

impl OneApiError {
    /// Builds an error body.
    pub fn new(code: &str, exception: &str, detail: &str, permanent: bool, activity_id: &str) -> Self {
        let context = json!({
            "timestamp": kusto_types::DateTime::now().to_string(),
            "serviceAlias": "kusto-local",
            "machineName": "localhost",
            "processName": "kusto-local",
            "processId": std::process::id(),
            "threadId": 0,
            "clientRequestId": "",
            "activityId": activity_id,
            "subActivityId": activity_id,
            "activityType": "",
            "parentActivityId": activity_id,
            "activityStack": "",
        });
        Self {
            error: OneApiErrorBody {
                code: code.to_owned(),
                message: if permanent {
                    "Request is invalid and cannot be executed.".to_owned()
                } else {
                    "Request could not be executed.".to_owned()
                },
                exception: exception.to_owned(),
                detail: detail.to_owned(),
                context,
                permanent: Some(permanent),
                innererror: None,
            },
        }
    }

    /// The same with an inner error of this code (`SEM0100`, `SYN0002`).
    #[must_use]
    pub fn with_inner(mut self, code: &str) -> Self {
        self.error.innererror = Some(json!({
            "code": code,
            "message": self.error.detail,
            "@type": self.error.exception,
            "@message": self.error.detail,
            "@permanent": self.error.permanent,
        }));
        self
    }

    /// The client request id put into the context.
    #[must_use]
    pub fn with_client_request_id(mut self, id: &str) -> Self {
        self.error.context["clientRequestId"] = id.into();
        self
    }

    /// Reads a body; `None` when it is not one.
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}
