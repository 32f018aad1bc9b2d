//! Requests that come from pages in browsers, and those that are not meant for this host.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::Sorry;

/// Lets through what no page can send.
pub(super) async fn guard(listen: IpAddr, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        let error = "pages in browsers may not do this; use a program";
        return Sorry::new(StatusCode::FORBIDDEN, error).into_response();
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(|host| is_meant(host, listen)) {
        let error = "this request is for another host; address it to localhost, or to the address that is listened at";
        return Sorry::new(StatusCode::MISDIRECTED_REQUEST, error).into_response();
    }
    next.run(request).await
}

/// Whether `host` is this host. A name other than `localhost` may have been made to mean anything.
fn is_meant(host: &str, listen: IpAddr) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(address) => address.is_loopback() || address == listen || listen.is_unspecified(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_not_this_host() {
        let here: IpAddr = "127.0.0.1".parse().unwrap();
        for good in ["localhost", "LOCALHOST:80", "127.0.0.1:9876", "127.9.9.9", "[::1]:80"] {
            assert!(is_meant(good, here), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "10.0.0.1", "", "x@localhost", "[::1"] {
            assert!(!is_meant(bad, here), "{bad}");
        }
        assert!(is_meant("10.0.0.1:80", "10.0.0.1".parse().unwrap()));
        assert!(is_meant("10.0.0.1:80", "0.0.0.0".parse().unwrap()));
        assert!(!is_meant("evil.example", "0.0.0.0".parse().unwrap()));
    }
}
