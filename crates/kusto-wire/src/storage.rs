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

/// A blob as a listing has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedBlob {
    /// Its name, from the container on.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// When it was written, RFC 1123.
    pub modified: String,
    /// Its entity tag.
    pub etag: String,
}

/// A page of a container's blobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlobPage {
    /// What was asked for: how names begin. Clients ask for the next page with what they are
    /// told here.
    pub prefix: String,
    /// What was asked for: where names are cut into folders.
    pub delimiter: String,
    /// What was asked for: what began this page.
    pub marker: String,
    /// What was asked for: most names of a page.
    pub max_results: Option<u32>,
    /// The blobs.
    pub blobs: Vec<ListedBlob>,
    /// What names have in common up to the delimiter, when one was asked for.
    pub prefixes: Vec<String>,
    /// What asks for the next page; empty on the last one.
    pub next_marker: String,
}

/// The body of List Blobs.
pub fn encode_blob_page(container: &str, page: &BlobPage) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"{}\">",
        escape(container)
    );
    let most = page.max_results.map(|most| most.to_string()).unwrap_or_default();
    for (name, value) in [
        ("Prefix", &page.prefix),
        ("Marker", &page.marker),
        ("MaxResults", &most),
        ("Delimiter", &page.delimiter),
    ] {
        if !value.is_empty() {
            xml.push_str(&format!("<{name}>{}</{name}>", escape(value.as_str())));
        }
    }
    xml.push_str("<Blobs>");
    for blob in &page.blobs {
        xml.push_str(&format!(
            "<Blob><Name>{}</Name><Properties><Last-Modified>{}</Last-Modified><Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>",
            escape(blob.name.as_str()),
            escape(blob.modified.as_str()),
            escape(blob.etag.as_str()),
            blob.size
        ));
    }
    for prefix in &page.prefixes {
        xml.push_str(&format!("<BlobPrefix><Name>{}</Name></BlobPrefix>", escape(prefix.as_str())));
    }
    xml.push_str(&format!(
        "</Blobs><NextMarker>{}</NextMarker></EnumerationResults>",
        escape(page.next_marker.as_str())
    ));
    xml
}

/// Reads the body of List Blobs.
pub fn decode_blob_page(xml: &str) -> Result<BlobPage, XmlError> {
    let state = std::cell::RefCell::new((BlobPage::default(), ListedBlob::default(), false));
    walk(
        xml.trim_start_matches('\u{feff}'),
        |name, text| {
            let (page, current, _) = &mut *state.borrow_mut();
            match name {
                "Name" => current.name = text,
                "Content-Length" => current.size = text.parse().unwrap_or(0),
                "Last-Modified" => current.modified = text,
                "Etag" => current.etag = text,
                "NextMarker" => page.next_marker = text,
                "Prefix" => page.prefix = text,
                "Delimiter" => page.delimiter = text,
                "Marker" => page.marker = text,
                "MaxResults" => page.max_results = text.parse().ok(),
                _ => {}
            }
        },
        |name| {
            let (page, current, is_listing) = &mut *state.borrow_mut();
            match name {
                "Blob" => page.blobs.push(std::mem::take(current)),
                "BlobPrefix" => page.prefixes.push(std::mem::take(current).name),
                "EnumerationResults" => *is_listing = true,
                _ => {}
            }
        },
    )?;
    let (page, _, is_listing) = state.into_inner();
    if is_listing { Ok(page) } else { Err(XmlError::Missing("EnumerationResults")) }
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
        let page = BlobPage {
            blobs: vec![
                ListedBlob { name: "a/<b>.csv".into(), size: 7, modified: "m".into(), etag: "\"e\"".into() },
                ListedBlob { name: "c".into(), ..Default::default() },
            ],
            prefixes: vec!["d&/".into()],
            next_marker: "n".into(),
            prefix: "a&".into(),
            delimiter: "/".into(),
            marker: "m".into(),
            max_results: Some(7),
        };
        assert_eq!(decode_blob_page(&encode_blob_page("c", &page)).unwrap(), page);
        let azurite = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><EnumerationResults ServiceEndpoint=\"x\" ContainerName=\"c\"><Prefix/><MaxResults>2</MaxResults><Blobs><Blob><Name>a</Name><Properties><Content-Length>3</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>";
        assert_eq!(decode_blob_page(azurite).unwrap().blobs[0].size, 3);
    }

    #[test]
    fn faults_are_errors() {
        for xml in ["", "<a>", "<QueueMessage></QueueMessage>", "not xml"] {
            assert!(decode_put_message(xml).is_err(), "{xml}");
        }
        assert!(decode_block_list("<x/>").is_err());
        assert!(decode_blob_page("<Error><Code>x</Code></Error>").is_err());
        assert_eq!(decode_block_list("<BlockList/>").unwrap(), Vec::<String>::new());
    }
}
