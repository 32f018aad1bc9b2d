//! [`Refused`]: a request that cannot be answered, in one sentence.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    daemon::node::SpreadError,
    guard::Foreign,
    sql::{EvalError, SqlError},
    trust::Refusal,
    zones::{
        agent::{InstallError, LookupError},
        function::FunctionError,
        kind::KindError,
        name::ZoneNameError,
    },
};

/// Why there is no answer; `{"error": {"message", "line", "column"}}`, the last two where a text has a mistake.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    message: String,
    at: Option<(usize, usize)>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl ToString) -> Self {
        Self { status, message: message.to_string(), at: None }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (line, column) = self.at.unzip();
        let error = json!({ "error": { "message": self.message, "line": line, "column": column } });
        (self.status, Json(error)).into_response()
    }
}

impl From<Foreign> for Refused {
    fn from(foreign: Foreign) -> Self {
        Self::new(foreign.status(), foreign)
    }
}

impl From<SqlError> for Refused {
    fn from(e: SqlError) -> Self {
        let at = e.position().map(|at| (at.line as usize, at.column as usize));
        Self { status: StatusCode::BAD_REQUEST, message: e.to_string(), at }
    }
}

impl From<FunctionError> for Refused {
    fn from(e: FunctionError) -> Self {
        match e {
            FunctionError::Sql(e) | FunctionError::Kind(KindError::Sql(e)) => e.into(),
            other => Self::new(StatusCode::BAD_REQUEST, other),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(e: Refusal) -> Self {
        let status = match e {
            Refusal::Malformed | Refusal::Long => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        Self::new(status, e)
    }
}

impl From<ZoneNameError> for Refused {
    fn from(e: ZoneNameError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, e)
    }
}

impl From<EvalError> for Refused {
    fn from(e: EvalError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, e)
    }
}

impl From<LookupError> for Refused {
    fn from(e: LookupError) -> Self {
        let status = match e {
            LookupError::NoSuchZone(_) => StatusCode::NOT_FOUND,
            LookupError::Busy => StatusCode::TOO_MANY_REQUESTS,
            LookupError::Silent(_) => StatusCode::GATEWAY_TIMEOUT,
        };
        Self::new(status, e)
    }
}

impl From<SpreadError> for Refused {
    fn from(e: SpreadError) -> Self {
        match e {
            SpreadError::Lookup(e) => e.into(),
            SpreadError::Install(InstallError::Refused(e)) => e.into(),
            SpreadError::Install(e @ InstallError::Full) => Self::new(StatusCode::INSUFFICIENT_STORAGE, e),
            other => Self::new(StatusCode::CONFLICT, other),
        }
    }
}
