//! Data formats and compressions: their wire names, file extensions and first bytes.

use crate::MappingKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A data format that Kusto ingests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum DataFormat {
    /// RFC 4180 comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// Tab-separated values with backslash escapes.
    Tsve,
    /// Semicolon-separated values.
    Scsv,
    /// Values separated by the byte 0x01.
    Sohsv,
    /// Pipe-separated values.
    Psv,
    /// One string field a line.
    Txt,
    /// The whole source as one string field.
    Raw,
    /// One JSON object a line.
    Json,
    /// JSON objects in an array or one after another, each over any number of lines.
    MultiJson,
    /// One JSON object.
    SingleJson,
    /// Apache Avro.
    Avro,
    /// Apache Avro read with logical types.
    ApacheAvro,
    /// Apache Parquet.
    Parquet,
    /// Apache ORC.
    Orc,
    /// W3C extended log file.
    W3cLogFile,
}

/// How the records of a format are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatFamily {
    /// Rows of fields; columns are matched by position.
    Delimited,
    /// JSON records; columns are matched by name or path.
    Json,
    /// Self-describing binary files; columns are matched by name or path.
    Binary,
}

/// A text that names no data format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a data format; known ones: csv, tsv, tsve, scsv, sohsv, psv, txt, raw, json, multijson, singlejson, avro, apacheavro, parquet, orc, w3clogfile"
)]
pub struct UnknownFormat(pub String);

impl DataFormat {
    /// Every format.
    pub const ALL: [DataFormat; 16] = [
        Self::Csv,
        Self::Tsv,
        Self::Tsve,
        Self::Scsv,
        Self::Sohsv,
        Self::Psv,
        Self::Txt,
        Self::Raw,
        Self::Json,
        Self::MultiJson,
        Self::SingleJson,
        Self::Avro,
        Self::ApacheAvro,
        Self::Parquet,
        Self::Orc,
        Self::W3cLogFile,
    ];

    /// The name on the wire, lower case.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Tsve => "tsve",
            Self::Scsv => "scsv",
            Self::Sohsv => "sohsv",
            Self::Psv => "psv",
            Self::Txt => "txt",
            Self::Raw => "raw",
            Self::Json => "json",
            Self::MultiJson => "multijson",
            Self::SingleJson => "singlejson",
            Self::Avro => "avro",
            Self::ApacheAvro => "apacheavro",
            Self::Parquet => "parquet",
            Self::Orc => "orc",
            Self::W3cLogFile => "w3clogfile",
        }
    }

    /// Reads a wire name; case does not matter.
    pub fn parse(text: &str) -> Result<Self, UnknownFormat> {
        let text = text.trim();
        Self::ALL
            .into_iter()
            .find(|format| format.wire_name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownFormat(text.to_owned()))
    }

    /// How its records are read.
    pub fn family(self) -> FormatFamily {
        match self {
            Self::Csv
            | Self::Tsv
            | Self::Tsve
            | Self::Scsv
            | Self::Sohsv
            | Self::Psv
            | Self::Txt
            | Self::Raw => FormatFamily::Delimited,
            Self::Json | Self::MultiJson | Self::SingleJson | Self::W3cLogFile => FormatFamily::Json,
            Self::Avro | Self::ApacheAvro | Self::Parquet | Self::Orc => FormatFamily::Binary,
        }
    }

    /// The kind of ingestion mapping that goes with the format.
    pub fn mapping_kind(self) -> MappingKind {
        match self {
            Self::Csv
            | Self::Tsv
            | Self::Tsve
            | Self::Scsv
            | Self::Sohsv
            | Self::Psv
            | Self::Txt
            | Self::Raw => MappingKind::Csv,
            Self::Json | Self::MultiJson | Self::SingleJson => MappingKind::Json,
            Self::Avro | Self::ApacheAvro => MappingKind::Avro,
            Self::Parquet => MappingKind::Parquet,
            Self::Orc => MappingKind::Orc,
            Self::W3cLogFile => MappingKind::W3cLogFile,
        }
    }

    /// Whether a client gains by gzipping it; the binary formats compress themselves
    /// and the service must not be sent a gzipped one.
    pub fn is_compressible(self) -> bool {
        self.family() != FormatFamily::Binary
    }

    /// Whether streaming ingestion takes it; Parquet and ORC must be queued.
    pub fn is_streamable(self) -> bool {
        !matches!(self, Self::Parquet | Self::Orc)
    }

    /// The format that a file name tells, after `.gz` or `.zip` is taken off.
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.split(['?', ';']).next().unwrap_or(path);
        let name = name.rsplit(['/', '\\']).next().unwrap_or(name).to_ascii_lowercase();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zip")).unwrap_or(&name);
        let (_, extension) = name.rsplit_once('.')?;
        match extension {
            "log" => Some(Self::W3cLogFile),
            "jsonl" | "ndjson" => Some(Self::Json),
            other => Self::parse(other).ok(),
        }
    }

    /// The format that the first bytes of a file tell, for the formats that have a
    /// signature.
    pub fn from_magic(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"PAR1") {
            Some(Self::Parquet)
        } else if head.starts_with(b"Obj\x01") {
            Some(Self::Avro)
        } else if head.starts_with(b"ORC") {
            Some(Self::Orc)
        } else {
            None
        }
    }
}

impl TryFrom<String> for DataFormat {
    type Error = UnknownFormat;
    fn try_from(text: String) -> Result<Self, UnknownFormat> {
        Self::parse(&text)
    }
}

impl From<DataFormat> for String {
    fn from(format: DataFormat) -> String {
        format.wire_name().to_owned()
    }
}

impl std::str::FromStr for DataFormat {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::parse(text)
    }
}

impl fmt::Display for DataFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire_name())
    }
}

/// How the bytes of a source are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, one or more members.
    Gzip,
    /// A zip archive.
    Zip,
}

impl Compression {
    /// What a file name tells.
    pub fn from_path(path: &str) -> Self {
        let name = path.split(['?', ';']).next().unwrap_or(path).to_ascii_lowercase();
        if name.ends_with(".gz") {
            Self::Gzip
        } else if name.ends_with(".zip") {
            Self::Zip
        } else {
            Self::None
        }
    }
}

/// What the first bytes tell: the truth, whatever the name says.
pub fn sniff_compression(head: &[u8]) -> Compression {
    if head.starts_with(&[0x1f, 0x8b]) {
        Compression::Gzip
    } else if head.starts_with(b"PK\x03\x04") {
        Compression::Zip
    } else {
        Compression::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        for (path, format, compression) in [
            ("a/b/rows.csv.gz", Some(DataFormat::Csv), Compression::Gzip),
            ("https://x/c/db__t__id__rows.JSON?sig=1.gz", Some(DataFormat::Json), Compression::None),
            ("stream.gz", None, Compression::Gzip),
            ("x.parquet", Some(DataFormat::Parquet), Compression::None),
            ("x.ndjson", Some(DataFormat::Json), Compression::None),
            ("noextension", None, Compression::None),
        ] {
            assert_eq!(DataFormat::from_path(path), format, "{path}");
            assert_eq!(Compression::from_path(path), compression, "{path}");
        }
        for format in DataFormat::ALL {
            assert_eq!(DataFormat::parse(&format.wire_name().to_uppercase()), Ok(format));
        }
    }
}
