//! Who may ask over HTTP: programs, and pages that this program has served itself.
//!
//! A page from elsewhere can make a browser on this machine send requests. It is kept out by what browsers cannot leave away or make up:
//! another `Origin`, a `Host` that is a name (whoever leads a name can make it mean this machine; an address is what was connected to),
//! content that is not said to be JSON or SOAP, and `Sec-Fetch-Site`, which tells of pictures and frames too. Answers say what a browser may do
//! with them: as good as nothing, if they are a page of ours.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use thiserror::Error;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Foreign {
    /// It is for somebody else.
    #[error("`{0}` is not the address of this agent: ask it as localhost or by its IP address")]
    Host(String),
    /// It comes from a page of somebody else.
    #[error("pages of other servers may not ask this agent; use a program")]
    Page,
    /// A form could have sent it.
    #[error("the content is not said to be JSON; send the header Content-Type: application/json")]
    Content,
}

impl Foreign {
    /// As HTTP says it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Page => StatusCode::FORBIDDEN,
            Self::Content => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }
}

/// Content that no form can send, and a page of somebody else only if it is allowed to: JSON, and SOAP of both kinds.
const PROGRAMS: [&str; 3] = ["application/json", "application/soap+xml", "text/xml"];
/// Bytes of a foreign name that are said back.
const NAME_SHOWN: usize = 100;

/// What a browser may do with an answer: run and show what comes from here, and what is not written into the page itself. `trusted-types`
/// makes an error of every attempt to read text as HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const SAID: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Refuses what a foreign page could make a browser send, in the words of the server that it guards.
pub(crate) async fn guard<E: From<Foreign> + IntoResponse>(request: Request, next: Next) -> Response {
    let mut response = match allowed(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(foreign) => E::from(foreign).into_response(),
    };
    let headers = response.headers_mut();
    headers.extend(SAID.map(|(name, says)| (name, HeaderValue::from_static(says))));
    response
}

fn allowed(method: &Method, headers: &HeaderMap) -> Result<(), Foreign> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if headers.get_all(header::HOST).iter().count() != 1 || !is_address(host) {
        return Err(Foreign::Host(host.chars().take(NAME_SHOWN).collect()));
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if origin != Some(host) {
            return Err(Foreign::Page);
        }
    }
    let fetch = |of: &'static str| text(HeaderName::from_static(of));
    // A link to the dashboard may be anywhere; what it leads to is a page of its own, and not a frame in another.
    let link = method == Method::GET
        && fetch("sec-fetch-mode") == Some("navigate")
        && fetch("sec-fetch-dest") == Some("document");
    let own = matches!(fetch("sec-fetch-site"), None | Some("same-origin" | "none"));
    if !(own || link) {
        return Err(Foreign::Page);
    }
    let kind = text(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let programs = PROGRAMS.iter().any(|known| kind.eq_ignore_ascii_case(known));
    if matches!(*method, Method::POST | Method::PUT | Method::PATCH) && !programs {
        return Err(Foreign::Content);
    }
    Ok(())
}

/// Whether this can only mean the machine that was connected to.
fn is_address(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let bare = authority.host();
    bare.eq_ignore_ascii_case("localhost")
        || bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(method: Method, headers: &[(&'static str, &str)]) -> bool {
        let headers =
            headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        allowed(&method, &headers.collect()).is_ok()
    }

    #[test]
    fn names_of_others_are_not_this_machine() {
        for good in
            ["localhost", "LOCALHOST:80", "127.0.0.1:9876", "127.9.9.9", "[::1]:80", "[::1]", "10.0.0.1"]
        {
            assert!(may(Method::GET, &[("host", good)]), "{good}");
        }
        for bad in [
            "evil.example:4805",
            "localhost.evil.example",
            "",
            "x@localhost",
            "[::1",
            "127.0.0.1.evil.example",
        ] {
            assert!(!may(Method::GET, &[("host", bad)]), "{bad}");
        }
        assert!(!may(Method::GET, &[]), "nobody");
    }

    #[test]
    fn pages_of_others_may_not_ask() {
        let own = ("host", "127.0.0.1:4805");
        assert!(may(Method::GET, &[own, ("origin", "http://127.0.0.1:4805")]));
        for origin in ["http://evil.example", "null", "https://127.0.0.1:4805", "http://127.0.0.1:80"] {
            assert!(!may(Method::GET, &[own, ("origin", origin)]), "{origin}");
        }
        assert!(!may(Method::POST, &[own]));
        assert!(!may(Method::PUT, &[own, ("content-type", "text/plain")]));
        assert!(!may(Method::POST, &[own, ("content-type", "application/jsonp")]));
        assert!(!may(Method::POST, &[own, ("content-type", "multipart/form-data")]));
        assert!(may(Method::POST, &[own, ("content-type", "text/xml; charset=utf-8")]));
        assert!(may(Method::POST, &[own, ("content-type", "application/json; charset=utf-8")]));
    }

    #[test]
    fn pictures_and_frames_of_others_are_not_served_and_links_are_followed() {
        let own = ("host", "127.0.0.1:4805");
        for site in ["cross-site", "same-site", "else"] {
            let from = ("sec-fetch-site", site);
            assert!(!may(Method::GET, &[own, from, ("sec-fetch-mode", "no-cors")]));
            let navigate = ("sec-fetch-mode", "navigate");
            assert!(!may(Method::GET, &[own, from, navigate, ("sec-fetch-dest", "iframe")]));
            let document = ("sec-fetch-dest", "document");
            assert!(may(Method::GET, &[own, from, navigate, document]));
            let json = ("content-type", "application/json");
            assert!(!may(Method::POST, &[own, from, navigate, document, json]), "a form");
        }
        assert!(may(Method::GET, &[own, ("sec-fetch-site", "same-origin")]));
        assert!(may(Method::GET, &[own, ("sec-fetch-site", "none")]));
    }
}
