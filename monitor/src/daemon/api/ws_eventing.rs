//! WS-Eventing over HTTP.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::error::Refused;
use crate::eventing::{deliver::Deliveries, wse};

/// Where it is asked.
pub(super) const PATH: &str = "/v1/ws-eventing";

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Where this agent was asked. Only addresses of it come this far.
fn address(headers: &HeaderMap) -> String {
    format!("http://{}{PATH}", text(headers, header::HOST))
}

/// `POST /v1/ws-eventing`, a SOAP message.
pub(super) async fn post(
    State(deliveries): State<Arc<Deliveries>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let kind = text(&headers, header::CONTENT_TYPE);
    let answer = wse::answer(&deliveries, &address(&headers), kind, &body).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

/// `GET /v1/ws-eventing?wsdl`
pub(super) async fn get(RawQuery(query): RawQuery, headers: HeaderMap) -> Result<Response, Refused> {
    if !query.is_some_and(|query| query.eq_ignore_ascii_case("wsdl")) {
        let message = format!("SOAP messages are posted here; {PATH}?wsdl says which");
        return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, message));
    }
    let wsdl = wse::wsdl(&address(&headers));
    Ok(([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], wsdl).into_response())
}
