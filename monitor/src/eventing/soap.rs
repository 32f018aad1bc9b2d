//! SOAP 1.1 and 1.2 messages, with WS-Addressing as of August 2004 or as W3C recommends it (2005/08): read, and written.

use std::fmt::Write as _;

use super::xml::{Element, XmlError, escaped};

const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// The namespace of WS-Eventing.
pub(super) const WSE: &str = "http://schemas.xmlsoap.org/ws/2004/08/eventing";
/// Bytes of what an endpoint wants to find in messages to it.
const PARAMETERS_MAX: usize = 4096;

/// Which SOAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Soap {
    V11,
    V12,
}

/// Which WS-Addressing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wsa {
    #[default]
    V2004,
    V2005,
}

impl Soap {
    fn namespace(self) -> &'static str {
        match self {
            Self::V11 => SOAP_11,
            Self::V12 => SOAP_12,
        }
    }

    /// What a message of this kind is said to be over HTTP.
    pub(super) fn content_type(self, action: &str) -> String {
        match self {
            Self::V11 => "text/xml; charset=utf-8".to_owned(),
            Self::V12 => format!("application/soap+xml; charset=utf-8; action=\"{action}\""),
        }
    }
}

impl Wsa {
    fn namespace(self) -> &'static str {
        match self {
            Self::V2004 => "http://schemas.xmlsoap.org/ws/2004/08/addressing",
            Self::V2005 => "http://www.w3.org/2005/08/addressing",
        }
    }

    /// Whoever is at the other end of the connection.
    fn anonymous(self) -> &'static str {
        match self {
            Self::V2004 => "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous",
            Self::V2005 => "http://www.w3.org/2005/08/addressing/anonymous",
        }
    }

    /// The action of a fault of WS-Eventing.
    pub(super) fn fault(self) -> String {
        format!("{}/fault", self.namespace())
    }

    fn of(namespace: &str) -> Option<Self> {
        [Self::V2004, Self::V2005].into_iter().find(|wsa| wsa.namespace() == namespace)
    }
}

/// Whose mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    Sender,
    Receiver,
    MustUnderstand,
    VersionMismatch,
}

/// Why a request is not answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) blame: Blame,
    /// As WS-Eventing calls it.
    pub(super) subcode: Option<&'static str>,
    /// One sentence.
    pub(super) reason: String,
    /// XML.
    pub(super) detail: String,
}

impl Fault {
    /// The mistake of who has asked.
    pub(super) fn sender(subcode: &'static str, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self { blame: Blame::Sender, subcode: Some(subcode), reason, detail: String::new() }
    }

    /// Nobody's mistake.
    pub(super) fn unable(reason: impl ToString) -> Self {
        Self { blame: Blame::Receiver, ..Self::sender("EventSourceUnableToProcess", reason) }
    }

    /// A message that nothing can be done with.
    pub(super) fn invalid(reason: impl ToString) -> Self {
        Self::sender("InvalidMessage", reason)
    }

    /// The status that HTTP gives it.
    pub(super) fn status(&self, soap: Soap) -> u16 {
        if soap == Soap::V12 && self.blame == Blame::Sender { 400 } else { 500 }
    }

    /// As the content of a body.
    pub(super) fn body(&self, soap: Soap) -> String {
        let (reason, detail) = (escaped(&self.reason), &self.detail);
        let code = match (self.blame, soap) {
            (Blame::Sender, Soap::V12) => "Sender",
            (Blame::Sender, Soap::V11) => "Client",
            (Blame::Receiver, Soap::V12) => "Receiver",
            (Blame::Receiver, Soap::V11) => "Server",
            (Blame::MustUnderstand, _) => "MustUnderstand",
            (Blame::VersionMismatch, _) => "VersionMismatch",
        };
        match (soap, self.subcode) {
            (Soap::V11, subcode) => {
                let code = subcode.map_or_else(|| format!("s:{code}"), |subcode| format!("wse:{subcode}"));
                let detail =
                    if detail.is_empty() { String::new() } else { format!("<detail>{detail}</detail>") };
                format!(
                    "<s:Fault><faultcode>{code}</faultcode><faultstring xml:lang=\"en\">{reason}</faultstring>{detail}</s:Fault>"
                )
            }
            (Soap::V12, subcode) => {
                let subcode = subcode.map_or_else(String::new, |subcode| {
                    format!("<s:Subcode><s:Value>wse:{subcode}</s:Value></s:Subcode>")
                });
                let detail =
                    if detail.is_empty() { String::new() } else { format!("<s:Detail>{detail}</s:Detail>") };
                format!(
                    "<s:Fault><s:Code><s:Value>s:{code}</s:Value>{subcode}</s:Code><s:Reason><s:Text xml:lang=\"en\">{reason}</s:Text></s:Reason>{detail}</s:Fault>"
                )
            }
        }
    }
}

impl From<XmlError> for Fault {
    fn from(e: XmlError) -> Self {
        Self::invalid(e)
    }
}

/// Where messages go, and what they have to say to arrive there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) wsa: Wsa,
    pub(super) address: String,
    parameters: Vec<Element>,
}

impl Endpoint {
    /// From an element that refers to it, such as `NotifyTo`.
    pub(super) fn read(element: &Element) -> Result<Self, Fault> {
        let wsa = [Wsa::V2004, Wsa::V2005].into_iter();
        let mut addresses = wsa.filter_map(|wsa| Some((wsa, element.child(wsa.namespace(), "Address")?)));
        let Some((wsa, address)) = addresses.next() else {
            return Err(Fault::invalid(format!("{} has no wsa:Address", element.name.local)));
        };
        // ReferenceProperties are of 2004 alone.
        let blocks = ["ReferenceProperties", "ReferenceParameters"];
        let blocks = blocks.iter().filter_map(|name| element.child(wsa.namespace(), name));
        let parameters: Vec<Element> = blocks.flat_map(|block| block.children.iter().cloned()).collect();
        let endpoint = Self { wsa, address: address.trimmed().to_owned(), parameters };
        let bytes = endpoint.headers().len();
        if bytes > PARAMETERS_MAX {
            let name = &element.name.local;
            return Err(Fault::invalid(format!(
                "{name} has {bytes} bytes of reference parameters: {PARAMETERS_MAX} are taken"
            )));
        }
        Ok(endpoint)
    }

    /// What it wants to find among the headers.
    fn headers(&self) -> String {
        let mut out = String::new();
        for parameter in &self.parameters {
            let mut parameter = parameter.clone();
            if self.wsa == Wsa::V2005 {
                let name = super::xml::Name {
                    namespace: self.wsa.namespace().to_owned(),
                    local: "IsReferenceParameter".to_owned(),
                };
                parameter.attributes.push((name, "true".to_owned()));
            }
            parameter.write(&mut out);
        }
        out
    }
}

/// An endpoint of ours: the content of an element that refers to it.
pub(super) fn reference(wsa: Wsa, address: &str, identifier: &str) -> String {
    format!(
        "<a:Address xmlns:a=\"{0}\">{1}</a:Address><a:ReferenceParameters xmlns:a=\"{0}\"><wse:Identifier>{2}</wse:Identifier></a:ReferenceParameters>",
        wsa.namespace(),
        escaped(address),
        escaped(identifier)
    )
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) soap: Soap,
    pub(super) wsa: Wsa,
    pub(super) action: Option<String>,
    pub(super) id: Option<String>,
    /// Which subscription is meant.
    pub(super) identifier: Option<String>,
    pub(super) body: Element,
}

/// How to answer one of which not even that is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) soap: Soap,
    pub(super) wsa: Wsa,
}

impl Request {
    /// Reads one. With the fault comes how it is to be told; `assumed` is what HTTP has said that the message is.
    pub(super) fn read(text: &str, assumed: Soap) -> Result<Self, (Manner, Fault)> {
        let mut manner = Manner { soap: assumed, wsa: Wsa::default() };
        Self::parse(text, &mut manner).map_err(|fault| (manner, fault))
    }

    fn parse(text: &str, manner: &mut Manner) -> Result<Self, Fault> {
        let envelope = Element::parse(text)?;
        let Some(soap) =
            [Soap::V11, Soap::V12].into_iter().find(|soap| envelope.is(soap.namespace(), "Envelope"))
        else {
            let blame = Blame::VersionMismatch;
            let reason = "the content is no envelope of SOAP 1.1 or 1.2";
            return Err(Fault { blame, subcode: None, ..Fault::invalid(reason) });
        };
        manner.soap = soap;
        let space = soap.namespace();
        let headers = envelope.child(space, "Header").map_or(&[][..], |header| &header.children);
        let wsa = headers.iter().find_map(|header| Wsa::of(&header.name.namespace)).unwrap_or_default();
        manner.wsa = wsa;
        for header in headers {
            let must = matches!(header.attribute(space, "mustUnderstand"), Some("1" | "true"));
            let known = Wsa::of(&header.name.namespace).is_some() || header.is(WSE, "Identifier");
            if must && !known {
                let reason = format!("the header {} is not understood here", header.name.local);
                return Err(Fault { blame: Blame::MustUnderstand, subcode: None, ..Fault::invalid(reason) });
            }
        }
        let header = |space: &str, name: &str| {
            let mut all = headers.iter().filter(|header| header.is(space, name));
            let first = all.next().map(|header| header.trimmed().to_owned());
            match all.next() {
                None => Ok(first),
                Some(_) => Err(Fault::invalid(format!("there is more than one header {name}"))),
            }
        };
        let reply = headers.iter().find(|header| header.is(wsa.namespace(), "ReplyTo"));
        let reply = reply.map(Endpoint::read).transpose()?;
        if reply.is_some_and(|reply| reply.address != wsa.anonymous()) {
            return Err(Fault::invalid(format!(
                "requests are answered on their connection: give {} as ReplyTo, or none",
                wsa.anonymous()
            )));
        }
        let body = envelope.child(space, "Body").ok_or_else(|| Fault::invalid("there is no body"))?;
        let [content] = &body.children[..] else {
            return Err(Fault::invalid("the body does not have one element"));
        };
        Ok(Self {
            soap,
            wsa,
            action: header(wsa.namespace(), "Action")?,
            id: header(wsa.namespace(), "MessageID")?,
            identifier: header(WSE, "Identifier")?,
            body: content.clone(),
        })
    }
}

/// A message of ours.
pub(super) struct Letter<'a> {
    pub(super) soap: Soap,
    pub(super) wsa: Wsa,
    pub(super) action: &'a str,
    /// None: whoever has asked.
    pub(super) to: Option<&'a Endpoint>,
    pub(super) id: Option<&'a str>,
    /// The message that this one answers.
    pub(super) relates_to: Option<&'a str>,
    /// XML.
    pub(super) body: &'a str,
}

impl Letter<'_> {
    /// As XML.
    pub(super) fn write(&self) -> String {
        let to = self.to.map_or(self.wsa.anonymous(), |to| &to.address);
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<s:Envelope xmlns:s=\"{}\" xmlns:wsa=\"{}\" xmlns:wse=\"{WSE}\"><s:Header><wsa:To>{}</wsa:To><wsa:Action>{}</wsa:Action>",
            self.soap.namespace(),
            self.wsa.namespace(),
            escaped(to),
            escaped(self.action)
        );
        // A String takes everything.
        for (name, text) in [("MessageID", self.id), ("RelatesTo", self.relates_to)] {
            let _ = text.map(|text| write!(out, "<wsa:{name}>{}</wsa:{name}>", escaped(text)));
        }
        out.push_str(&self.to.map_or_else(String::new, Endpoint::headers));
        let _ = write!(out, "</s:Header><s:Body>{}</s:Body></s:Envelope>", self.body);
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str = "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/' xmlns:a='http://www.w3.org/2005/08/addressing' \
        xmlns:e='http://schemas.xmlsoap.org/ws/2004/08/eventing'><s:Header><a:Action>urn:a</a:Action><a:MessageID>urn:m</a:MessageID>\
        <e:Identifier> urn:i </e:Identifier></s:Header><s:Body><e:GetStatus/></s:Body></s:Envelope>";

    #[test]
    fn what_is_written_can_be_read() {
        let request = Request::read(MESSAGE, Soap::V12).unwrap();
        assert_eq!((request.soap, request.wsa), (Soap::V11, Wsa::V2005));
        assert_eq!(request.identifier.as_deref(), Some("urn:i"));
        let fault = Fault { detail: "<wse:x/>".to_owned(), ..Fault::invalid("a < b") };
        for (soap, wsa) in [(Soap::V11, Wsa::V2004), (Soap::V12, Wsa::V2005)] {
            let (body, to, id, relates_to) = (fault.body(soap), None, request.id.as_deref(), Some("urn:x"));
            let letter = Letter { soap, wsa, action: "urn:b", to, id, relates_to, body: &body }.write();
            let read = Request::read(&letter, soap).unwrap();
            assert_eq!((read.soap, read.wsa, read.action.as_deref()), (soap, wsa, Some("urn:b")));
            assert!(
                read.body.is(soap.namespace(), "Fault") && read.id.as_deref() == Some("urn:m"),
                "{letter}"
            );
        }
    }

    #[test]
    fn a_header_that_is_there_twice_is_refused() {
        let twice = MESSAGE.replace("<a:Action>", "<a:Action>urn:x</a:Action><a:Action>");
        let (manner, fault) = Request::read(&twice, Soap::V12).unwrap_err();
        assert_eq!((manner.soap, fault.subcode), (Soap::V11, Some("InvalidMessage")));
        assert!(fault.reason.contains("more than one header Action"), "{}", fault.reason);
    }

    proptest! {
        #[test]
        fn damaged_messages_are_read_or_refused(at in 0..MESSAGE.len(), len in 0..40_usize, by in "[<>/a&;:='\" ]{0,4}") {
            let end = (at + len).min(MESSAGE.len());
            let damaged = format!("{}{by}{}", &MESSAGE[..at], &MESSAGE[end..]);
            drop(Request::read(&damaged, Soap::V12));
        }
    }
}
