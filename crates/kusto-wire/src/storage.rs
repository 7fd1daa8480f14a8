//! The XML bodies of the Azure queue and blob services that ingestion uses.

use quick_xml::Reader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::Event;

/// A body that is not the XML that the operation takes or gives.
#[derive(Debug, thiserror::Error)]
pub enum XmlError {
    /// Not well-formed.
    #[error("the body is not well-formed XML")]
    Syntax(#[from] quick_xml::Error),
    /// Well-formed, but something is missing.
    #[error("the XML body has no {0}")]
    Missing(&'static str),
}

/// A message as a queue gives it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueMessage {
    /// Id within the queue.
    pub id: String,
    /// When it was put, RFC 1123.
    pub inserted: String,
    /// When it goes away, RFC 1123.
    pub expires: String,
    /// What deletes it; empty in a peek.
    pub pop_receipt: String,
    /// When it can be received again; empty in a peek.
    pub next_visible: String,
    /// How often it was received.
    pub dequeue_count: u32,
    /// Its text; empty in the answer to a put.
    pub text: String,
}

/// Walks the elements of a body: calls `leaf(name, text)` for each element without
/// children and `end(name)` for each that ends.
fn walk(xml: &str, mut leaf: impl FnMut(&str, String), mut end: impl FnMut(&str)) -> Result<(), XmlError> {
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<(String, String, bool)> = Vec::new();
    loop {
        match reader.read_event()? {
            Event::Start(start) => {
                if let Some(parent) = open.last_mut() {
                    parent.2 = true;
                }
                open.push((
                    String::from_utf8_lossy(start.local_name().as_ref()).into_owned(),
                    String::new(),
                    false,
                ));
            }
            Event::Empty(empty) => leaf(&String::from_utf8_lossy(empty.local_name().as_ref()), String::new()),
            Event::Text(text) => {
                if let Some(current) = open.last_mut() {
                    current.1.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Event::GeneralRef(reference) => {
                if let Some(current) = open.last_mut() {
                    current.1.push_str(&format!("&{};", String::from_utf8_lossy(&reference)));
                }
            }
            Event::CData(data) => {
                if let Some(current) = open.last_mut() {
                    current.1.push_str(&escape(String::from_utf8_lossy(&data).as_ref()));
                }
            }
            Event::End(_) => {
                if let Some((name, text, has_children)) = open.pop() {
                    if !has_children {
                        let text = unescape(&text).map_or_else(|_| text.clone(), |plain| plain.into_owned());
                        leaf(&name, text);
                    }
                    end(&name);
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

/// The text of a Put Message body.
pub fn decode_put_message(xml: &str) -> Result<String, XmlError> {
    let mut found = None;
    walk(
        xml.trim_matches(|c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}'),
        |name, text| {
            if name == "MessageText" {
                found = Some(text);
            }
        },
        |_| {},
    )?;
    found.ok_or(XmlError::Missing("MessageText"))
}

/// A Put Message body.
pub fn encode_put_message(text: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><QueueMessage><MessageText>{}</MessageText></QueueMessage>",
        escape(text)
    )
}

/// The body of Get Messages, Peek Messages and of the answer to Put Message.
pub fn encode_messages(messages: &[QueueMessage]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><QueueMessagesList>");
    for message in messages {
        xml.push_str("<QueueMessage>");
        let count = if message.dequeue_count > 0 { message.dequeue_count.to_string() } else { String::new() };
        for (name, value) in [
            ("MessageId", &message.id),
            ("InsertionTime", &message.inserted),
            ("ExpirationTime", &message.expires),
            ("PopReceipt", &message.pop_receipt),
            ("TimeNextVisible", &message.next_visible),
            ("DequeueCount", &count),
            ("MessageText", &message.text),
        ] {
            if !value.is_empty() {
                xml.push_str(&format!("<{name}>{}</{name}>", escape(value.as_str())));
            }
        }
        xml.push_str("</QueueMessage>");
    }
    xml.push_str("</QueueMessagesList>");
    xml
}

/// Reads a list of messages.
pub fn decode_messages(xml: &str) -> Result<Vec<QueueMessage>, XmlError> {
    let messages = std::cell::RefCell::new((Vec::new(), QueueMessage::default()));
    walk(
        xml.trim_start_matches('\u{feff}'),
        |name, text| {
            let current = &mut messages.borrow_mut().1;
            match name {
                "MessageId" => current.id = text,
                "InsertionTime" => current.inserted = text,
                "ExpirationTime" => current.expires = text,
                "PopReceipt" => current.pop_receipt = text,
                "TimeNextVisible" => current.next_visible = text,
                "DequeueCount" => current.dequeue_count = text.parse().unwrap_or(0),
                "MessageText" => current.text = text,
                _ => {}
            }
        },
        |name| {
            if name == "QueueMessage" {
                let mut state = messages.borrow_mut();
                let done = std::mem::take(&mut state.1);
                state.0.push(done);
            }
        },
    )?;
    Ok(messages.into_inner().0)
}

/// The block ids of a Put Block List body, in order.
pub fn decode_block_list(xml: &str) -> Result<Vec<String>, XmlError> {
    let mut ids = Vec::new();
    let mut is_list = false;
    walk(
        xml.trim_start_matches('\u{feff}'),
        |name, text| {
            if matches!(name, "Latest" | "Committed" | "Uncommitted") {
                ids.push(text.trim().to_owned());
            }
            is_list |= name == "BlockList";
        },
        |_| {},
    )?;
    if ids.is_empty() && !is_list {
        return Err(XmlError::Missing("BlockList"));
    }
    Ok(ids)
}

/// A Put Block List body.
pub fn encode_block_list(ids: &[String]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for id in ids {
        xml.push_str(&format!("<Latest>{}</Latest>", escape(id.as_str())));
    }
    xml.push_str("</BlockList>");
    xml
}

/// The error body of the blob and queue services.
pub fn encode_error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
        escape(code),
        escape(message)
    )
}

/// The code of an error body.
pub fn decode_error_code(xml: &str) -> Option<String> {
    let mut code = None;
    walk(
        xml.trim_start_matches('\u{feff}'),
        |name, text| {
            if name == "Code" {
                code = Some(text);
            }
        },
        |_| {},
    )
    .ok()?;
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_read_back() {
        let text = "a<b>&\"c\"";
        assert_eq!(decode_put_message(&encode_put_message(text)).unwrap(), text);
        let python = "<?xml version='1.0' encoding='utf-8'?>\n<QueueMessage><MessageText>QUJD</MessageText></QueueMessage>\0";
        assert_eq!(decode_put_message(python).unwrap(), "QUJD");
        let messages = vec![
            QueueMessage { id: "1".into(), text: text.into(), dequeue_count: 2, ..Default::default() },
            QueueMessage { id: "2".into(), pop_receipt: "p".into(), ..Default::default() },
        ];
        assert_eq!(decode_messages(&encode_messages(&messages)).unwrap(), messages);
        let ids = vec!["MDA=".to_owned(), "MDE=".to_owned()];
        assert_eq!(decode_block_list(&encode_block_list(&ids)).unwrap(), ids);
        assert_eq!(decode_error_code(&encode_error("BlobNotFound", "x")).as_deref(), Some("BlobNotFound"));
    }

    #[test]
    fn faults_are_errors() {
        for xml in ["", "<a>", "<QueueMessage></QueueMessage>", "not xml"] {
            assert!(decode_put_message(xml).is_err(), "{xml}");
        }
        assert!(decode_block_list("<x/>").is_err());
        assert_eq!(decode_block_list("<BlockList/>").unwrap(), Vec::<String>::new());
    }
}
