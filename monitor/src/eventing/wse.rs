//! WS-Eventing: the agent is an event source, and manages the subscriptions to it.
//!
//! After [Web Services Eventing](https://www.w3.org/Submission/WS-Eventing/) (Box, Cabrera, Critchley et al., 2004 and 2006; its namespace is that of
//! August 2004). What the text leaves to an event source: delivery is pushed; a filter is needed, and is a standing query ([`DIALECT`]); a subscription
//! without `Expires` is granted [`LONGEST`]; what cannot be delivered is said again, as `deliver` says it.
//!
//! | message | is answered with |
//! |---|---|
//! | `Subscribe` | `SubscribeResponse`: the subscription's identifier, and until when it is granted |
//! | `Renew`, `GetStatus` | `RenewResponse`, `GetStatusResponse`: until when it is granted |
//! | `Unsubscribe` | `UnsubscribeResponse` |
//! | an event | nothing: it is delivered when the status is 2xx |
//! | `SubscriptionEnd` | nothing; it is sent if the subscription ends before its time and `EndTo` was given |

use std::{fmt::Write as _, time::Duration};

use axum::http::{HeaderName, HeaderValue, header};
use serde::{
    Deserialize as _,
    de::{IntoDeserializer as _, value::Error as NoVariant},
};

use super::{
    Asked, How, Mode,
    deliver::{Deliveries, Encoding, Ending, Order, OrderError, PATIENCE},
    post::{Message, Target},
    soap::{Endpoint, Fault, Letter, Manner, Request, Soap, WSE, reference},
    time::{self, Expires},
    xml::{Element, escaped},
};
use crate::{
    daemon::events::AskError,
    display,
    value::Value,
    zones::event::{Event, Told},
};

/// The dialect of filters: a standing query in SQL.
pub const DIALECT: &str = "urn:gcs-monitor:sql";
/// The namespace of what is the agent's own: attributes of filters, and events.
pub const SPACE: &str = "urn:gcs-monitor:eventing";
/// The longest time that a subscription is granted at once.
pub const LONGEST: Duration = Duration::from_secs(86_400);
/// The only way in which events are delivered.
const PUSH: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing/DeliveryModes/Push";
const WSDL: &str = include_str!("wse.wsdl");

/// What the agent can do, for programs: `address` is where it is asked.
#[must_use]
pub(crate) fn wsdl(address: &str) -> String {
    WSDL.replace("{ADDRESS}", &escaped(address))
}

/// Where events go, and how they are written.
#[derive(Clone, Debug)]
pub struct Notify {
    soap: Soap,
    to: Endpoint,
    end: Option<(Target, Endpoint)>,
    /// Where the subscription is managed.
    manager: String,
}

/// As HTTP answers it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// How a program is asked for what is in the body, and how the answer is called.
struct Said {
    action: String,
    body: String,
}

fn said(name: &str, content: &str) -> Said {
    Said { action: format!("{WSE}/{name}"), body: format!("<wse:{name}>{content}</wse:{name}>") }
}

/// Answers a message; `address` is where it was sent, `content_type` what it was said to be.
pub(crate) async fn answer(deliveries: &Deliveries, address: &str, content_type: &str, text: &str) -> Answer {
    let xml = content_type.trim_start().to_ascii_lowercase().starts_with("text/xml");
    let request = Request::read(text, if xml { Soap::V11 } else { Soap::V12 });
    let (manner, id, answered) = match request {
        Err((manner, fault)) => (manner, None, Err(fault)),
        Ok(request) => {
            let manner = Manner { soap: request.soap, wsa: request.wsa };
            let answered = asked(deliveries, address, &request).await;
            (manner, request.id, answered)
        }
    };
    let Manner { soap, wsa } = manner;
    let (status, Said { action, body }) = match answered {
        Ok(said) => (200, said),
        Err(fault) => (fault.status(soap), Said { action: wsa.fault(), body: fault.body(soap) }),
    };
    let relates_to = id.as_deref();
    let letter = Letter { soap, wsa, action: &action, to: None, id: None, relates_to, body: &body };
    Answer { status, content_type: soap.content_type(&action), body: letter.write() }
}

async fn asked(deliveries: &Deliveries, address: &str, request: &Request) -> Result<Said, Fault> {
    let body = &request.body;
    let what = if body.name.namespace == WSE { body.name.local.as_str() } else { "" };
    if request.action.as_ref().is_some_and(|action| *action != format!("{WSE}/{what}")) {
        return Err(Fault::invalid("the header Action does not say what the body is"));
    }
    match what {
        "Subscribe" => subscribe(deliveries, address, request).await,
        "Renew" => {
            let name = subscription(request)?;
            let granted = Granted::new(body, deliveries.now_s())?;
            if !deliveries.renew(&name, granted.time) {
                let reason = format!("there is no subscription {name}: its time may be over");
                return Err(Fault {
                    blame: super::soap::Blame::Receiver,
                    ..Fault::sender("UnableToRenew", reason)
                });
            }
            Ok(said("RenewResponse", &granted.element()))
        }
        "GetStatus" => {
            let name = subscription(request)?;
            let left = deliveries.left(&name).ok_or_else(|| unknown(&name))?;
            let expires = format!("<wse:Expires>{}</wse:Expires>", duration(left));
            Ok(said("GetStatusResponse", &expires))
        }
        "Unsubscribe" => {
            let name = subscription(request)?;
            if !deliveries.unsubscribe(&name) {
                return Err(unknown(&name));
            }
            Ok(Said { action: format!("{WSE}/UnsubscribeResponse"), body: String::new() })
        }
        _ => Err(Fault::invalid(format!(
            "the body is {}: Subscribe, Renew, GetStatus and Unsubscribe of {WSE} are answered",
            body.name.local.chars().take(50).collect::<String>()
        ))),
    }
}

fn unknown(name: &str) -> Fault {
    Fault::invalid(format!("there is no subscription {name}: its time may be over"))
}

/// The name of the subscription that a request means.
fn subscription(request: &Request) -> Result<String, Fault> {
    let none = || Fault::invalid("there is no header wse:Identifier that says which subscription is meant");
    let identifier = request.identifier.as_deref().ok_or_else(none)?;
    let name = identifier.strip_prefix("urn:gcs-monitor:").unwrap_or(identifier);
    Ok(name.chars().take(100).collect())
}

fn identifier(name: &str) -> String {
    format!("urn:gcs-monitor:{name}")
}

/// As `xs:duration`, in whole seconds and at least one.
fn duration(time: Duration) -> String {
    format!("PT{}S", time.as_secs().max(1))
}

/// Until when a subscription is granted, written as it was asked for.
struct Granted {
    time: Duration,
    written: String,
}

impl Granted {
    /// From the `Expires` of a request.
    fn new(request: &Element, now_s: u64) -> Result<Self, Fault> {
        let invalid = |why: &str| Fault::sender("InvalidExpirationTime", why);
        let Some(expires) = request.child(WSE, "Expires") else {
            return Ok(Self { time: LONGEST, written: duration(LONGEST) });
        };
        let asked = Expires::parse(expires.trimmed()).ok_or_else(|| {
            invalid("Expires is no positive xs:duration and no xs:dateTime: write it as PT10M")
        })?;
        match asked {
            Expires::After(time) if time.is_zero() => Err(invalid("Expires is no time at all")),
            Expires::After(time) => {
                let time = Duration::from_secs(time.min(LONGEST).as_secs().max(1));
                Ok(Self { time, written: duration(time) })
            }
            Expires::At(at_s) if at_s <= now_s => Err(invalid("Expires is over")),
            Expires::At(at_s) => {
                let time = Duration::from_secs(at_s - now_s).min(LONGEST);
                Ok(Self { time, written: time::written((now_s + time.as_secs()) * 1000) })
            }
        }
    }

    fn element(&self) -> String {
        format!("<wse:Expires>{}</wse:Expires>", self.written)
    }
}

async fn subscribe(deliveries: &Deliveries, address: &str, request: &Request) -> Result<Said, Fault> {
    let body = &request.body;
    let delivery = body.child(WSE, "Delivery").ok_or_else(|| Fault::invalid("there is no Delivery"))?;
    if delivery.attribute("", "Mode").is_some_and(|mode| mode != PUSH) {
        let detail = format!("<wse:SupportedDeliveryMode>{PUSH}</wse:SupportedDeliveryMode>");
        let fault = Fault::sender(
            "DeliveryModeRequestedUnavailable",
            "events are pushed, and not otherwise delivered",
        );
        return Err(Fault { detail, ..fault });
    }
    let to = delivery.child(WSE, "NotifyTo").ok_or_else(|| Fault::invalid("there is no NotifyTo"))?;
    let to = Endpoint::read(to)?;
    let target: Target = to.address.parse().map_err(Fault::invalid)?;
    let end = body.child(WSE, "EndTo").map(Endpoint::read).transpose()?;
    let end =
        end.map(|end| Ok::<_, Fault>((end.address.parse().map_err(Fault::invalid)?, end))).transpose()?;
    let granted = Granted::new(body, deliveries.now_s())?;
    let (asked, patience) = filter(body)?;
    let wanted = asked.wanted().map_err(Fault::invalid)?;
    let wsa = to.wsa;
    let notify = Notify { soap: request.soap, to, end, manager: address.to_owned() };
    let encoding = Encoding::Soap(Box::new(notify));
    let order = Order { wanted, target, encoding, expires: Some(granted.time), patience };
    let begun = deliveries.begin(order).await.map_err(|e| match e {
        OrderError::Ask(AskError::Function(e)) => Fault::invalid(e),
        e => Fault::unable(e),
    })?;
    let manager = reference(wsa, address, &identifier(&begun.name));
    let manager = format!("<wse:SubscriptionManager>{manager}</wse:SubscriptionManager>");
    Ok(said("SubscribeResponse", &format!("{manager}{}", granted.element())))
}

/// What the filter of a request asks for, and how long nobody may take it.
fn filter(request: &Element) -> Result<(Asked, Duration), Fault> {
    let Some(filter) = request.child(WSE, "Filter") else {
        return Err(Fault::invalid(format!(
            "there is no Filter: give one with Dialect=\"{DIALECT}\", a standing query"
        )));
    };
    if filter.attribute("", "Dialect").map(str::trim) != Some(DIALECT) {
        let detail = format!("<wse:SupportedDialect>{DIALECT}</wse:SupportedDialect>");
        let reason = format!("the dialect of filters is {DIALECT}, a standing query in SQL");
        return Err(Fault { detail, ..Fault::sender("FilteringRequestedUnavailable", reason) });
    }
    let own = |name: &str| filter.attribute(SPACE, name).map(str::trim);
    let wrong =
        |name: &str, right: &str| Fault::invalid(format!("the attribute {name} of Filter is not {right}"));
    let time = |name: &str| {
        let parsed = own(name).map(|text| time::duration(text).ok_or_else(|| wrong(name, "an xs:duration")));
        parsed.transpose()
    };
    let mode = own("mode").map(|text| {
        let parsed: Result<Mode, NoVariant> = Mode::deserialize(text.into_deserializer());
        parsed.map_err(|_| wrong("mode", "edge or level"))
    });
    let delivery = own("delivery").map(|text| {
        let parsed: Result<How, NoVariant> = How::deserialize(text.into_deserializer());
        parsed.map_err(|_| wrong("delivery", "at-least-once or at-most-once"))
    });
    let every = time("every")?.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
    let asked = Asked {
        sql: filter.trimmed().to_owned(),
        zone: own("zone").unwrap_or_default().to_owned(),
        mode: mode.transpose()?.unwrap_or_default(),
        delivery: delivery.transpose()?.unwrap_or_default(),
        every_ms: every,
    };
    Ok((asked, time("patience")?.unwrap_or(PATIENCE)))
}

impl Notify {
    fn letter(&self, to: &Endpoint, action: &str, id: &str, body: &str) -> Message {
        let (soap, wsa, id) = (self.soap, to.wsa, Some(id));
        let letter = Letter { soap, wsa, action, to: Some(to), id, relates_to: None, body };
        let text = |text: String| HeaderValue::try_from(text).ok();
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        headers.extend(text(soap.content_type(action)).map(|value| (header::CONTENT_TYPE, value)));
        if soap == Soap::V11 {
            let quoted = text(format!("\"{action}\""));
            headers.extend(quoted.map(|value| (HeaderName::from_static("soapaction"), value)));
        }
        Message { headers, body: letter.write().into() }
    }

    /// An event. Said again, it is the same message.
    pub(super) fn message(&self, name: &str, nth: u64, event: &Event) -> Message {
        let (kind, body) = written(event);
        self.letter(&self.to, &format!("{SPACE}/{kind}"), &format!("{}:{nth}", identifier(name)), &body)
    }

    /// That it has ended; none if nobody wants to know, or knows already.
    pub(super) fn ended(&self, name: &str, ending: Ending) -> Option<(Target, Message)> {
        let (target, to) = self.end.as_ref()?;
        let status = match ending {
            Ending::Expired | Ending::Removed => return None,
            Ending::Cancelled => "SourceCancelling",
            Ending::Failed => "DeliveryFailure",
            Ending::ShuttingDown => "SourceShuttingDown",
        };
        let body = format!(
            "<wse:SubscriptionEnd><wse:SubscriptionManager>{}</wse:SubscriptionManager><wse:Status>{WSE}/{status}</wse:Status><wse:Reason xml:lang=\"en\">{}</wse:Reason></wse:SubscriptionEnd>",
            reference(self.to.wsa, &self.manager, &identifier(name)),
            escaped(ending.says())
        );
        let id = format!("{}:end", identifier(name));
        Some((target.clone(), self.letter(to, &format!("{WSE}/SubscriptionEnd"), &id, &body)))
    }
}

/// An event as the content of a body, and what it is called.
fn written(event: &Event) -> (&'static str, String) {
    let Event { told, times, rows, lost } = event;
    let Some(Told { agent, at_ms, rows: shown }) = told else {
        let counted =
            format!("<e:Counted xmlns:e=\"{SPACE}\" Times=\"{times}\" Rows=\"{rows}\" Lost=\"{lost}\"/>");
        return ("Counted", counted);
    };
    let more = rows.saturating_sub(shown.len() as u64);
    let mut out = format!(
        "<e:Fired xmlns:e=\"{SPACE}\" Agent=\"{}\" At=\"{}\" MoreRows=\"{more}\" Lost=\"{lost}\">",
        escaped(agent),
        time::written(*at_ms)
    );
    for row in shown {
        out.push_str("<e:Row>");
        for (name, value) in row.iter() {
            let _ = write!(out, "<e:Column Name=\"{}\"", escaped(name)); // A String takes everything.
            column(value, &mut out);
            out.push_str("</e:Column>");
        }
        out.push_str("</e:Row>");
    }
    out.push_str("</e:Fired>");
    ("Fired", out)
}

/// The type of a value and the value, as the rest of an element.
fn column(value: &Value, out: &mut String) {
    let (kind, text) = match value {
        Value::Null => ("null", String::new()),
        Value::Int(int) => ("integer", int.to_string()),
        // As xs:double writes it.
        Value::Float(float) if float.is_infinite() => {
            ("real", if *float > 0.0 { "INF" } else { "-INF" }.to_owned())
        }
        Value::Float(float) => ("real", format!("{float:?}")),
        Value::Text(text) => ("text", escaped(text)),
        Value::Bytes(bytes) => ("bytes", display::hex(bytes)),
        Value::List(values) => {
            out.push_str(" Type=\"list\">");
            for value in values.iter() {
                out.push_str("<e:Item");
                column(value, out);
                out.push_str("</e:Item>");
            }
            return;
        }
    };
    // A String takes everything.
    let _ = write!(out, " Type=\"{kind}\">{text}");
}
