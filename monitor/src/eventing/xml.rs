//! [`Element`]: XML from outside, read into a small tree with namespaces, and written again.
//!
//! What is read has no document type, no entities but the five that XML has, and no processing instructions: SOAP forbids all of it, and
//! hostile documents live on it. Bounds: [`DEPTH_MAX`], [`NODES_MAX`], [`ATTRIBUTES_MAX`], those of the parser on namespaces (128 in scope), and
//! the bytes of the request.

use std::fmt::Write as _;

use quick_xml::{
    NsReader, XmlVersion,
    escape::escape,
    events::{BytesStart, Event},
    name::{NamespaceResolver, ResolveResult},
};
use thiserror::Error;

/// Elements in each other.
const DEPTH_MAX: usize = 24;
/// Elements in all.
const NODES_MAX: usize = 1024;
/// Attributes of one element, namespaces included.
const ATTRIBUTES_MAX: usize = 32;

/// Why a text is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum XmlError {
    /// Not XML.
    #[error("the content is not XML: {0}")]
    Syntax(String),
    /// Nothing that SOAP has.
    #[error("the content has {0}, which SOAP forbids: leave it away")]
    Forbidden(&'static str),
    /// An entity that nobody has declared.
    #[error("the content has an entity other than &lt; &gt; &amp; &quot; &apos; and characters by number")]
    Entity,
    /// It is too large.
    #[error(
        "the content has more than {DEPTH_MAX} levels, {NODES_MAX} elements or {ATTRIBUTES_MAX} attributes: say less"
    )]
    Large,
}

/// A name with its namespace, which is empty if there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) namespace: String,
    pub(crate) local: String,
}

/// An element. Text between elements is kept as the text of the one around them, all in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: Name,
    pub(crate) attributes: Vec<(Name, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

fn syntax(e: impl ToString) -> XmlError {
    XmlError::Syntax(e.to_string().chars().take(100).collect::<String>().escape_default().to_string())
}

/// Whether XML 1.0 has this character.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn checked(text: &str) -> Result<&str, XmlError> {
    if text.chars().all(is_char) { Ok(text) } else { Err(syntax("it has characters that XML does not have")) }
}

fn name(resolved: &ResolveResult<'_>, local: &str) -> Result<Name, XmlError> {
    let namespace = match resolved {
        ResolveResult::Unbound => String::new(),
        ResolveResult::Bound(namespace) => namespace.0.to_owned(),
        ResolveResult::Unknown(prefix) => return Err(syntax(format!("no namespace is called {prefix}"))),
    };
    Ok(Name { namespace, local: local.to_owned() })
}

fn begun(start: &BytesStart<'_>, resolver: &NamespaceResolver) -> Result<Element, XmlError> {
    let (resolved, local) = resolver.resolve_element(start.name());
    let mut element = Element { name: name(&resolved, local.into_inner())?, ..Element::default() };
    for (n, attribute) in start.attributes().enumerate() {
        if n == ATTRIBUTES_MAX {
            return Err(XmlError::Large);
        }
        let attribute = attribute.map_err(syntax)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (resolved, local) = resolver.resolve_attribute(attribute.key);
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| XmlError::Entity)?;
        element.attributes.push((name(&resolved, local.into_inner())?, checked(&value)?.to_owned()));
    }
    Ok(element)
}

impl Element {
    /// Reads a document.
    ///
    /// # Errors
    /// See [`XmlError`].
    pub(crate) fn parse(text: &str) -> Result<Self, XmlError> {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_end_names = true;
        let (mut open, mut root, mut nodes) = (Vec::<Self>::new(), None, 0);
        loop {
            let event = reader.read_event().map_err(syntax)?;
            let mut ends = false;
            match event {
                Event::Start(ref start) | Event::Empty(ref start) => {
                    nodes += 1;
                    if open.len() == DEPTH_MAX || nodes > NODES_MAX {
                        return Err(XmlError::Large);
                    }
                    if open.is_empty() && root.is_some() {
                        return Err(syntax("there is more than one element on the outside"));
                    }
                    open.push(begun(start, reader.resolver())?);
                    ends = matches!(event, Event::Empty(_));
                }
                Event::End(_) => ends = true,
                Event::Text(text) => said(&mut open, &text.xml10_content())?,
                Event::CData(text) => said(&mut open, &text.xml10_content())?,
                Event::GeneralRef(entity) => {
                    let character = entity.resolve_char_ref().map_err(|_| XmlError::Entity)?;
                    let character = match (character, entity.xml10_content().as_ref()) {
                        (Some(character), _) => character,
                        (None, "lt") => '<',
                        (None, "gt") => '>',
                        (None, "amp") => '&',
                        (None, "quot") => '"',
                        (None, "apos") => '\'',
                        _ => return Err(XmlError::Entity),
                    };
                    said(&mut open, character.encode_utf8(&mut [0; 4]))?;
                }
                Event::Comment(_) => {}
                Event::Decl(declared) => {
                    let encoding = declared.encoding().transpose().map_err(syntax)?;
                    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("utf-8")) {
                        return Err(XmlError::Forbidden("another encoding than UTF-8"));
                    }
                }
                Event::PI(_) => return Err(XmlError::Forbidden("a processing instruction")),
                Event::DocType(_) => return Err(XmlError::Forbidden("a document type")),
                Event::Eof if open.is_empty() => {
                    return root.ok_or_else(|| syntax("there is no element"));
                }
                Event::Eof => return Err(syntax("it ends within an element")),
            }
            if ends {
                // The parser has seen to it that what ends has begun.
                let Some(done) = open.pop() else { return Err(syntax("an element ends that has not begun")) };
                match open.last_mut() {
                    Some(around) => around.children.push(done),
                    None => root = Some(done),
                }
            }
        }
    }

    /// Whether it is called that.
    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        self.name.namespace == namespace && self.name.local == local
    }

    /// The first element in it that is called that.
    pub(crate) fn child(&self, namespace: &str, local: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(namespace, local))
    }

    /// An attribute.
    pub(crate) fn attribute(&self, namespace: &str, local: &str) -> Option<&str> {
        let is = |name: &Name| name.namespace == namespace && name.local == local;
        self.attributes.iter().find(|(name, _)| is(name)).map(|(_, value)| value.as_str())
    }

    /// Its text, without what is around it.
    pub(crate) fn trimmed(&self) -> &str {
        self.text.trim()
    }

    /// Writes it, with the namespaces that it needs.
    pub(crate) fn write(&self, out: &mut String) {
        // A String takes everything.
        let _ = write!(out, "<{} xmlns=\"{}\"", self.name.local, escaped(&self.name.namespace));
        for (n, (name, value)) in self.attributes.iter().enumerate() {
            let (namespace, local, value) = (escaped(&name.namespace), &name.local, escaped(value));
            let _ = match &*name.namespace {
                "" => write!(out, " {local}=\"{value}\""),
                "http://www.w3.org/XML/1998/namespace" => write!(out, " xml:{local}=\"{value}\""),
                _ => write!(out, " xmlns:a{n}=\"{namespace}\" a{n}:{local}=\"{value}\""),
            };
        }
        out.push('>');
        out.push_str(&escaped(&self.text));
        self.children.iter().for_each(|child| child.write(out));
        let _ = write!(out, "</{}>", self.name.local);
    }
}

fn said(open: &mut [Element], text: &str) -> Result<(), XmlError> {
    let text = checked(text)?;
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim_start_matches('\u{feff}').trim().is_empty() => {}
        None => return Err(syntax("there is text outside of the element")),
    }
    Ok(())
}

/// As content of an element or an attribute; a character that XML does not have becomes U+FFFD.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            // Readers would make a space or another line end of them.
            '\t' | '\n' | '\r' => drop(write!(out, "&#{};", u32::from(c))),
            c if is_char(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_read_can_be_written_and_read_again() {
        let text = "<?xml version='1.0' encoding='UTF-8'?>\n<a:b xmlns:a='urn:a' x='1 &amp; 2' a:y='&#xe4;'><!-- no -->\
            <c xmlns='urn:c'>t&lt;<![CDATA[<raw>&]]>&#33;</c><d/></a:b>";
        let read = Element::parse(text).unwrap();
        assert!(read.is("urn:a", "b") && read.child("", "d").is_some());
        assert_eq!((read.attribute("", "x"), read.attribute("urn:a", "y")), (Some("1 & 2"), Some("ä")));
        assert_eq!(read.child("urn:c", "c").unwrap().text, "t<<raw>&!");
        let mut again = String::new();
        read.write(&mut again);
        assert_eq!(Element::parse(&again).unwrap(), read, "{again}");
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "<a>".repeat(10_000);
        let wide = format!("<a>{}</a>", "<b/>".repeat(5_000));
        let many: String = (0..200).map(|n| format!(" a{n}='1'")).collect();
        let spaces: String = (0..200).map(|n| format!(" xmlns:a{n}='urn:{n}'")).collect();
        for (text, right) in [
            (deep.as_str(), XmlError::Large),
            (&wide, XmlError::Large),
            (&format!("<a{many}/>"), XmlError::Large),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", XmlError::Forbidden("a document type")),
            ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", XmlError::Forbidden("a document type")),
            ("<?php x?><a/>", XmlError::Forbidden("a processing instruction")),
            (
                "<?xml version='1.0' encoding='latin1'?><a/>",
                XmlError::Forbidden("another encoding than UTF-8"),
            ),
            ("<a>&b;</a>", XmlError::Entity),
            ("<a b='&c;'/>", XmlError::Entity),
            ("<a>&#0;</a>", XmlError::Entity),
        ] {
            assert_eq!(Element::parse(text), Err(right), "{}", text.chars().take(60).collect::<String>());
        }
        let unbound = format!("<a{spaces}/>");
        for text in [
            "",
            " ",
            "x",
            "<a",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<a/>x",
            "<b:a/>",
            "<a b:c='1'/>",
            "<a b='1' b='2'/>",
            "<a>\u{1}</a>",
            "<a>&#1;</a>",
            "<a b=c/>",
            &unbound,
        ] {
            assert!(matches!(Element::parse(text), Err(XmlError::Syntax(_))), "{text}");
        }
        assert_eq!(escaped("a\u{0}<"), "a\u{fffd}&lt;");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[<>/a&;!\\[\\]?='\" x:#0-9-]{0,60}") {
            drop(Element::parse(&text));
        }

        #[test]
        fn all_text_survives(text in any::<String>()) {
            let element = Element { text: text.clone(), ..Element::default() };
            let element = Element { name: Name { namespace: "urn:a".into(), local: "a".into() }, ..element };
            let mut written = String::new();
            element.write(&mut written);
            let right: String = text.chars().map(|c| if is_char(c) { c } else { '\u{fffd}' }).collect();
            prop_assert_eq!(Element::parse(&written).unwrap().text, right);
        }
    }
}
