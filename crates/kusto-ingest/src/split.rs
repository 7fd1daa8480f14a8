//! Finds where a large source may be cut: at the end of a record, for the formats whose
//! records end with a line. Pure; bytes come in pieces of any size.

use kusto_types::DataFormat;

/// How the end of a record is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Records {
    /// Every line feed.
    Lines,
    /// A line feed outside quotes; a quote opens a field only at its start (RFC 4180).
    Quoted { separator: u8 },
    /// A line feed that no backslash stands before.
    Escaped,
}

/// Where within a record the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    FieldStart,
    Field,
    Quoted,
    /// Behind a quote within a quoted field: its end, or half of a doubled quote.
    Quote,
    /// Behind a backslash.
    Escape,
}

/// Watches bytes go by and says where a part may end.
#[derive(Debug, Clone)]
pub(crate) struct Splitter {
    records: Records,
    place: Place,
    limit: u64,
    seen: u64,
}

impl Splitter {
    /// A splitter that ends parts behind the first record that reaches `limit` bytes;
    /// `None` for formats that cannot be cut.
    pub(crate) fn new(format: DataFormat, limit: u64) -> Option<Self> {
        let records = match format {
            DataFormat::Csv => Records::Quoted { separator: b',' },
            DataFormat::Tsv => Records::Quoted { separator: b'\t' },
            DataFormat::Scsv => Records::Quoted { separator: b';' },
            DataFormat::Psv => Records::Quoted { separator: b'|' },
            DataFormat::Sohsv => Records::Quoted { separator: 1 },
            DataFormat::Tsve => Records::Escaped,
            DataFormat::Txt | DataFormat::Json => Records::Lines,
            // A document, a header that the rest needs, or a file with an index.
            _ => return None,
        };
        Some(Self { records, place: Place::FieldStart, limit, seen: 0 })
    }

    /// How many of these bytes belong to the current part when it ends within them; then
    /// the next call begins the next part.
    pub(crate) fn cut(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            self.seen += 1;
            if self.step(*byte) && self.seen >= self.limit {
                self.seen = 0;
                self.place = Place::FieldStart;
                return Some(index + 1);
            }
        }
        None
    }

    /// Takes a byte; whether a record ends with it.
    fn step(&mut self, byte: u8) -> bool {
        match self.records {
            Records::Lines => byte == b'\n',
            Records::Escaped => {
                let ends = byte == b'\n' && self.place != Place::Escape;
                self.place = match (self.place, byte) {
                    (Place::Escape, _) => Place::Field,
                    (_, b'\\') => Place::Escape,
                    _ => Place::Field,
                };
                ends
            }
            Records::Quoted { separator } => {
                let quoted = matches!(self.place, Place::Quoted);
                self.place = match (self.place, byte) {
                    (Place::FieldStart | Place::Quote, b'"') => Place::Quoted,
                    (Place::Quoted, b'"') => Place::Quote,
                    (Place::Quoted, _) => Place::Quoted,
                    (_, b'\n') => Place::FieldStart,
                    (_, byte) if byte == separator => Place::FieldStart,
                    _ => Place::Field,
                };
                byte == b'\n' && !quoted
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a text, fed in pieces of `step` bytes.
    fn parts(format: DataFormat, text: &str, limit: u64, step: usize) -> Vec<String> {
        let mut splitter = Splitter::new(format, limit).unwrap();
        let mut parts = vec![String::new()];
        for piece in text.as_bytes().chunks(step) {
            let mut rest = piece;
            while let Some(cut) = splitter.cut(rest) {
                parts.last_mut().unwrap().push_str(std::str::from_utf8(&rest[..cut]).unwrap());
                parts.push(String::new());
                rest = &rest[cut..];
            }
            parts.last_mut().unwrap().push_str(std::str::from_utf8(rest).unwrap());
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    #[test]
    fn records_stay_whole_whatever_the_pieces() {
        for (format, text, expected) in [
            (DataFormat::Csv, "a,b\nc,d\ne,f", vec!["a,b\n", "c,d\n", "e,f"]),
            (DataFormat::Csv, "\"a\nb\",1\n\"c\"\"\nd\",2\n", vec!["\"a\nb\",1\n", "\"c\"\"\nd\",2\n"]),
            // A quote inside a field opens nothing.
            (DataFormat::Csv, "5\" tube,x\ny,z\n", vec!["5\" tube,x\n", "y,z\n"]),
            (DataFormat::Tsv, "a\t\"b\nc\"\r\nd\te\r\n", vec!["a\t\"b\nc\"\r\n", "d\te\r\n"]),
            (DataFormat::Tsve, "a\\\nb\tc\nd\\\\\ne\n", vec!["a\\\nb\tc\n", "d\\\\\n", "e\n"]),
            (DataFormat::Json, "{\"a\":\"\\\"\"}\n{}\n", vec!["{\"a\":\"\\\"\"}\n", "{}\n"]),
        ] {
            for step in 1..text.len() {
                assert_eq!(parts(format, text, 1, step), expected, "{text:?} by {step}");
            }
        }
        assert_eq!(parts(DataFormat::Csv, "a\nb\nc\nd\n", 4, 3), ["a\nb\n", "c\nd\n"]);
        assert!(Splitter::new(DataFormat::Parquet, 1).is_none());
        assert!(Splitter::new(DataFormat::MultiJson, 1).is_none());
    }
}
