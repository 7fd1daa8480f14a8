//! Decimal numbers travel as text; this puts a text into its one canonical form.

use bigdecimal::BigDecimal;
use std::str::FromStr;

/// The canonical text of a decimal number (no exponent, no superfluous zeros), or
/// `None` when the text is not a number or has more than 34 significant digits,
/// the precision of Kusto's decimal.
pub fn canonical_decimal(text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    let number = BigDecimal::from_str(text).ok()?.normalized();
    let (_, exponent) = number.as_bigint_and_exponent();
    if number.digits() > 34 || exponent.abs() > 6144 {
        return None;
    }
    Some(number.to_plain_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_canonical() {
        for (text, canonical) in [
            ("2.00000000000001", Some("2.00000000000001")),
            ("1.50", Some("1.5")),
            ("-0.0", Some("0")),
            ("1e3", Some("1000")),
            ("", None),
            ("NA", None),
            ("1.2.3", None),
        ] {
            assert_eq!(canonical_decimal(text).as_deref(), canonical, "{text}");
        }
    }
}
