//! The canonical text of a guid.

/// Lower-case `8-4-4-4-12` text of a guid written with or without hyphens, braces or
/// parentheses; `None` when the text is not one.
pub fn canonical_guid(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or(text);
    uuid::Uuid::try_parse(text).ok().map(|id| id.hyphenated().to_string())
}
