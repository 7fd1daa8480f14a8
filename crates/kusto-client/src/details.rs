//! What a client tells the service about itself: application, user and version, in the
//! headers and the grammar of the official clients (`Name:{value}|Name2:{value}`).

use std::fmt::Write;

/// The name, user and version of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDetails {
    pub(crate) application: String,
    pub(crate) user: String,
    pub(crate) version: String,
}

/// Runs of characters that the grammar uses, and line ends, become `_`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('{');
    let mut in_run = false;
    for c in text.chars() {
        let special = matches!(c, '\r' | '\n' | ' ' | '{' | '}' | '|') || c.is_control();
        if !special {
            escaped.push(c);
        } else if !in_run {
            escaped.push('_');
        }
        in_run = special;
    }
    escaped.push('}');
    escaped
}

fn join(pairs: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let bar = if text.is_empty() { "" } else { "|" };
        // Writing to a String cannot fail.
        let _ok = write!(text, "{bar}{name}:{}", escape(value));
    }
    text
}

/// Only printable ASCII may be in a header.
pub(crate) fn header_value(text: &str) -> String {
    text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect()
}

fn own_version() -> (String, String) {
    ("Kusto.Rust.Client".to_owned(), env!("CARGO_PKG_VERSION").to_owned())
}

impl Default for ClientDetails {
    /// `Kusto.Rust.Client:{version}`, application `kusto-client`, no user.
    fn default() -> Self {
        Self {
            application: "kusto-client".to_owned(),
            user: "[none]".to_owned(),
            version: join(&[own_version()]),
        }
    }
}

impl ClientDetails {
    /// The details of a connector: a product that ingests for its users. `application` is
    /// the program around it; `fields` are more names and values to trace by.
    pub fn connector(
        name: &str,
        version: &str,
        application: Option<(&str, &str)>,
        user: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Self {
        let mut pairs = vec![(format!("Kusto.{name}"), version.to_owned())];
        if let Some((name, version)) = application {
            pairs.push((format!("App.{}", escape(name)), version.to_owned()));
        }
        pairs.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self {
            application: join(&pairs),
            user: user.unwrap_or("[none]").to_owned(),
            version: join(&[own_version()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_follow_the_grammar() {
        let details = ClientDetails::connector(
            "My Connector",
            "1.0 beta|2",
            Some(("host app", "3.1")),
            None,
            &[("Region", "a{b}c")],
        );
        assert_eq!(
            details.application,
            "Kusto.My Connector:{1.0_beta_2}|App.{host_app}:{3.1}|Region:{a_b_c}"
        );
        assert_eq!(details.user, "[none]");
        assert_eq!(header_value("Zoë\r\n"), "Zo???");
    }
}
