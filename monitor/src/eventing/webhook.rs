//! Webhooks: events as JSON, signed as [Standard Webhooks](https://www.standardwebhooks.com) says.
//!
//! | header | says |
//! |---|---|
//! | `webhook-id` | which event it is: the same each time that it is said, and of no other |
//! | `webhook-timestamp` | when it is said, in seconds since 1970 |
//! | `webhook-signature` | `v1,` and in Base64 the HMAC-SHA256 of `ID.TIMESTAMP.BODY` |

use std::{str::FromStr, sync::Arc};

use aws_lc_rs::hmac;
use axum::http::{HeaderName, HeaderValue, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use thiserror::Error;

use super::post::Message;
use crate::{display, zones::event::Event};

/// Bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What the receiver shares with the agent.
#[derive(Clone, Debug)]
pub struct Secret(Arc<hmac::Key>);

/// Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the secret is not whsec_ and 24 to 64 bytes in Base64; make one with: echo whsec_$(head -c 32 /dev/urandom | base64)"
)]
pub struct SecretError;

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let bytes = text.strip_prefix("whsec_").and_then(|rest| STANDARD.decode(rest).ok());
        let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).ok_or(SecretError)?;
        Ok(Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
    }
}

impl Secret {
    fn sign(&self, id: &str, now_s: u64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{now_s}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag.as_ref()))
    }
}

/// An event as it is posted at this second.
pub(super) fn message(
    subscription: &str,
    nth: u64,
    event: &Event,
    secret: Option<&Secret>,
    now_s: u64,
) -> Message {
    let (kind, data) = display::event_json(event);
    let id = format!("{subscription}.{nth}");
    let body = json!({ "type": kind, "subscription": subscription, "nth": nth, "data": data }).to_string();
    let said = [
        ("webhook-id", id.clone()),
        ("webhook-timestamp", now_s.to_string()),
        ("webhook-signature", secret.map(|secret| secret.sign(&id, now_s, &body)).unwrap_or_default()),
    ];
    // What a header cannot say is not among these.
    let header = |(name, text): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(text).ok()?))
    };
    let mut headers: Vec<_> =
        said.into_iter().filter(|(_, text)| !text.is_empty()).filter_map(header).collect();
    headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
    Message { headers, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_standard_webhooks() {
        // The example that its libraries are tested with.
        let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_long_enough() {
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        for bad in ["", "whsec_", "secret", "whsec_!", &short, &format!("whsec_{}", STANDARD.encode([1; 65]))]
        {
            assert_eq!(bad.parse::<Secret>().unwrap_err(), SecretError, "{bad}");
        }
    }
}
