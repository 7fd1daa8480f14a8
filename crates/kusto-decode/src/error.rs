//! Why a source cannot be ingested, with the code that Kusto reports.

use kusto_types::DataFormat;

/// A fault of a source. Every one is permanent: the same bytes fail again.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the source is empty")]
    Empty,
    /// Bytes, but no record of the format.
    #[error("the source has no record of the format{}", first_fault.as_ref().map(|fault| format!("; the first fault: {fault}")).unwrap_or_default())]
    NoRecords {
        /// Why the first record was dropped.
        first_fault: Option<String>,
    },
    /// A row with another number of fields than the first.
    #[error("record {record} has {found} fields where the first has {expected}")]
    FieldCount {
        /// Number of the record in its source, from 1.
        record: u64,
        /// Fields of the first record.
        expected: usize,
        /// Fields of this one.
        found: usize,
    },
    /// A quoted field that does not end.
    #[error("record {record}: a quoted field is not closed before the end of the source")]
    ClosingQuote {
        /// Number of the record, from 1.
        record: u64,
    },
    /// A record over 64 MB.
    #[error("record {record} is larger than 64 MB")]
    RecordTooLarge {
        /// Number of the record, from 1.
        record: u64,
    },
    /// The bytes are not of the format.
    #[error("record {record}: {problem}")]
    Malformed {
        /// Number of the record, from 1.
        record: u64,
        /// What is wrong.
        problem: String,
    },
    /// The source ends within a record, or before what it began with is closed.
    #[error("record {record}: {problem}")]
    CutOff {
        /// Number of the record, from 1.
        record: u64,
        /// What is wrong.
        problem: String,
    },
    /// The bytes are not of the format, whatever the record.
    #[error("the source is not {format}: {problem}")]
    WrongFormat {
        /// The format that was said.
        format: DataFormat,
        /// What is wrong.
        problem: String,
    },
    /// The compressed stream is damaged.
    #[error("the compressed stream is damaged or cut off after {bytes} uncompressed bytes")]
    Compression {
        /// Bytes that could be read.
        bytes: u64,
        /// The decompressor's words.
        #[source]
        source: std::io::Error,
    },
    /// The source cannot be read (a fault of the machine, not of the data).
    #[error("the source cannot be read")]
    Io(#[source] std::io::Error),
    /// A format that is not read here.
    #[error("format {0} is not supported here; every format of Kusto is but sstream and azmonstream")]
    FormatNotSupported(DataFormat),
    /// A zip archive that cannot be read.
    #[error("the zip archive cannot be read: {0}")]
    InvalidArchive(String),
    /// A zip archive without a file that is wanted.
    #[error("the zip archive has no file, or none that zipPattern takes")]
    EmptyArchive,
    /// A fault of a file in a zip archive.
    #[error("in {file}")]
    InArchive {
        /// Its name there.
        file: String,
        /// What is wrong with it.
        #[source]
        fault: Box<DecodeError>,
    },
    /// The mapping's kind does not go with the format.
    #[error("a {kind} mapping does not go with format {format}")]
    MappingKind {
        /// The mapping's kind.
        kind: kusto_types::MappingKind,
        /// The format.
        format: DataFormat,
    },
    /// The mapping names a column that the table lacks, or of another type.
    #[error("the mapping does not match the table: {0}")]
    MappingMismatch(String),
    /// The receiver of the batches failed.
    #[error("the decoded rows could not be stored")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DecodeError {
    /// Kusto's error code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "BadRequest_EmptyBlob",
            Self::NoRecords { .. } => "BadRequest_NoRecordsOrWrongFormat",
            Self::FieldCount { .. } => "Stream_WrongNumberOfFields",
            Self::ClosingQuote { .. } => "Stream_ClosingQuoteMissing",
            Self::RecordTooLarge { .. } => "Stream_InputStreamTooLarge",
            Self::Malformed { .. }
            | Self::CutOff { .. }
            | Self::WrongFormat { .. }
            | Self::Compression { .. } => "BadRequest_InvalidBlob",
            Self::Io(_) => "Download_UnknownError",
            Self::FormatNotSupported(_) => "BadRequest_FormatNotSupported",
            Self::InvalidArchive(_) => "BadRequest_InvalidArchive",
            Self::EmptyArchive => "BadRequest_EmptyArchive",
            Self::InArchive { fault, .. } => fault.code(),
            Self::MappingKind { .. } => "BadRequest_InvalidMapping",
            Self::MappingMismatch(_) => "BadRequest_InconsistentMapping",
            Self::Sink(_) => "General_InternalServerError",
        }
    }

    /// Whether the same source can never succeed.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Io(_) | Self::Sink(_) => false,
            Self::InArchive { fault, .. } => fault.is_permanent(),
            _ => true,
        }
    }
}
