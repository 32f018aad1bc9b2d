//! Who may ask: programs, and pages that this agent has served itself.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::error::Refused;

/// Refuses what a foreign page could make a browser send.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    match allowed(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn allowed(method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    // A name could be anybody's who leads it here; an address cannot.
    let bare =
        host.rsplit_once(':').map_or(host, |(bare, port)| if port.ends_with(']') { host } else { bare });
    let address = bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if bare != "localhost" && address.is_err() {
        let message =
            format!("`{host}` is not the address of this agent: ask it as localhost or by its IP address");
        return Err(Refused::new(StatusCode::FORBIDDEN, message));
    }
    if text(header::ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return Err(Refused::new(StatusCode::FORBIDDEN, "pages of other servers may not ask this agent"));
    }
    let json = text(header::CONTENT_TYPE).is_some_and(|of| of.starts_with("application/json"));
    if matches!(*method, Method::POST | Method::PUT | Method::PATCH) && !json {
        let message = "say Content-Type: application/json";
        return Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(method: Method, headers: &[(header::HeaderName, &str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        allowed(&method, &headers.collect()).is_ok()
    }

    #[test]
    fn pages_of_others_may_not_ask() {
        use header::{CONTENT_TYPE, HOST, ORIGIN};
        assert!(may(Method::GET, &[(HOST, "127.0.0.1:4805")]));
        assert!(may(Method::GET, &[(HOST, "localhost:4805")]) && may(Method::GET, &[(HOST, "[::1]:4805")]));
        assert!(may(Method::GET, &[(HOST, "[::1]")]) && may(Method::GET, &[(HOST, "10.0.0.1")]));
        assert!(!may(Method::GET, &[(HOST, "evil.example:4805")]) && !may(Method::GET, &[]));
        let own = (HOST, "127.0.0.1:4805");
        assert!(may(Method::GET, &[own.clone(), (ORIGIN, "http://127.0.0.1:4805")]));
        assert!(!may(Method::GET, &[own.clone(), (ORIGIN, "http://evil.example")]));
        assert!(!may(Method::GET, &[own.clone(), (ORIGIN, "null")]));
        assert!(!may(Method::POST, std::slice::from_ref(&own)));
        assert!(!may(Method::POST, &[own.clone(), (CONTENT_TYPE, "text/plain")]));
        assert!(may(Method::POST, &[own, (CONTENT_TYPE, "application/json")]));
    }
}
