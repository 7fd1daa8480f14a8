//! The codes that a failed ingestion carries, with what each means for the one who sent
//! it. Source: "Ingestion error codes" of the public documentation, and the longer list
//! of the official Java client.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What a failure is about; the first column of the documented table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCategory {
    /// The data is not what the format says.
    BadFormat,
    /// The request asks for something impossible.
    BadRequest,
    /// The service may not read the source or write the table.
    DataAccessNotAuthorized,
    /// The source cannot be fetched.
    DownloadFailed,
    /// Database, table or mapping are missing.
    EntityNotFound,
    /// Too much in one piece.
    FileTooLarge,
    /// A fault of the service.
    InternalServiceError,
    /// An update policy failed, and the ingestion with it.
    UpdatePolicyFailure,
    /// The one who ingests lacks the role.
    UserAccessNotAuthorized,
    /// The engine has too much to do.
    ThrottledOnEngine,
    /// The service tried as often as it does.
    RetryAttemptsExceeded,
    /// The same blob twice in a batch; one copy is used.
    BlobAlreadyReceived,
    /// None of these.
    Unknown,
}

macro_rules! codes {
    ($($variant:ident = $name:literal $(| $alias:literal)*, $category:ident, $permanent:literal, $hint:literal;)*) => {
        /// Why an ingestion failed. Codes that this library does not know keep their name.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum IngestionErrorCode {
            $(#[doc = concat!("`", $name, "`: ", $hint)] $variant,)*
            /// A code that is not in the list.
            Other(String),
        }

        impl IngestionErrorCode {
            /// Every known code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Reads a code; case does not matter.
            pub fn parse(text: &str) -> Self {
                $(if text.eq_ignore_ascii_case($name) $(|| text.eq_ignore_ascii_case($alias))* { return Self::$variant; })*
                Self::Other(text.to_owned())
            }

            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $name,)* Self::Other(name) => name }
            }

            /// What the failure is about.
            pub fn category(&self) -> FailureCategory {
                match self { $(Self::$variant => FailureCategory::$category,)* Self::Other(_) => FailureCategory::Unknown }
            }

            /// Whether the same source can never succeed as it is. `None` for codes that are
            /// not in the list.
            pub fn is_permanent(&self) -> Option<bool> {
                match self { $(Self::$variant => Some($permanent),)* Self::Other(_) => None }
            }

            /// What to do about it.
            pub fn hint(&self) -> &'static str {
                match self { $(Self::$variant => $hint,)* Self::Other(_) => "see the details of the failure" }
            }
        }
    };
}

codes! {
    StreamWrongNumberOfFields = "Stream_WrongNumberOfFields", BadFormat, true, "records have different numbers of fields; mend the data or set a validation policy";
    StreamClosingQuoteMissing = "Stream_ClosingQuoteMissing", BadFormat, true, "a quoted field is not closed; double the quotes inside fields";
    BadRequestInvalidBlob = "BadRequest_InvalidBlob", BadFormat, true, "the content is not of the format that was said; check format and compression";
    BadRequestEmptyArchive = "BadRequest_EmptyArchive", BadFormat, true, "the archive holds no file; check zipPattern";
    BadRequestInvalidArchive = "BadRequest_InvalidArchive", BadFormat, true, "the archive is damaged";
    BadRequestInvalidMapping = "BadRequest_InvalidMapping", BadFormat, true, "the ingestion mapping cannot be read or does not fit the table";
    BadRequestInvalidMappingReference = "BadRequest_InvalidMappingReference", BadFormat, true, "the mapping's name is malformed";
    BadRequestFormatNotSupported = "BadRequest_FormatNotSupported", BadFormat, true, "the service does not take this format, or not with these options";
    BadRequestInconsistentMapping = "BadRequest_InconsistentMapping", BadFormat, true, "the mapping contradicts the table's schema";
    BadRequestUnexpectedCharacterInInputStream = "BadRequest_UnexpectedCharacterInInputStream", BadFormat, true, "a character that the format does not allow";
    BadRequestEmptyBlob = "BadRequest_EmptyBlob", BadRequest, true, "the source is empty";
    BadRequestNoRecordsOrWrongFormat = "BadRequest_NoRecordsOrWrongFormat", BadRequest, true, "no record was found; is the format right?";
    BadRequestEmptyBlobUri = "BadRequest_EmptyBlobUri", BadRequest, true, "no blob was named";
    BadRequestDuplicateMapping = "BadRequest_DuplicateMapping", BadRequest, true, "give either a mapping or its name, not both";
    BadRequestInvalidOrEmptyTableName = "BadRequest_InvalidOrEmptyTableName", BadRequest, true, "name the table";
    BadRequestEmptyDatabaseName = "BadRequest_EmptyDatabaseName", BadRequest, true, "name the database";
    BadRequestEmptyMappingReference = "BadRequest_EmptyMappingReference", BadRequest, true, "name the mapping or leave it out";
    DownloadBadRequest = "Download_BadRequest", BadRequest, true, "storage refuses the request for the source; check its URL";
    BadRequestMissingMapping = "BadRequest_MissingMappingtFailure" | "BadRequest_MissingMappingFailure", BadRequest, true, "the format needs an ingestion mapping";
    StreamNoDataToIngest = "Stream_NoDataToIngest", BadRequest, true, "the source has no data";
    StreamDynamicPropertyBagTooLarge = "Stream_DynamicPropertyBagTooLarge", BadRequest, true, "a dynamic value has too many distinct keys";
    GeneralBadRequest = "General_BadRequest", BadRequest, true, "the request is wrong; see the details";
    BadRequestCorruptedMessage = "BadRequest_CorruptedMessage", BadRequest, true, "the queue message cannot be read";
    BadRequestSyntaxError = "BadRequest_SyntaxError", BadRequest, true, "a command has a syntax error";
    BadRequestZeroRetentionPolicy = "BadRequest_ZeroRetentionPolicyWithNoUpdatePolicy", BadRequest, true, "the table keeps nothing and has no update policy";
    BadRequestCreationTimeEarlier = "BadRequest_CreationTimeEarlierThanSoftDeletePeriod", BadRequest, true, "creationTime lies before the table's retention";
    BadRequestNotSupported = "BadRequest_NotSupported", BadRequest, true, "the service does not do this";
    DownloadSourceNotFound = "Download_SourceNotFound", BadRequest, true, "the source does not exist; was it deleted before it was ingested?";
    BadRequestEntityNameIsNotValid = "BadRequest_EntityNameIsNotValid", BadRequest, true, "a name has characters that are not allowed";
    BadRequestMalformedIngestionProperty = "BadRequest_MalformedIngestionProperty", BadRequest, true, "an ingestion property cannot be read";
    BadRequestIngestionPropertyNotSupported = "BadRequest_IngestionPropertyNotSupportedInThisContext", BadRequest, true, "an ingestion property does not go with this way of ingesting";
    BadRequestNonMultiDatabaseDataConnection = "BadRequest_NonMultiDatabaseDataConnection", BadRequest, true, "the data connection may not choose the database";
    BadRequestInvalidBlobUri = "BadRequest_InvalidBlobUri", BadRequest, true, "the blob's URL is malformed";
    BadRequestDataCapacityLimitReached = "BadRequest_DataCapacityLimitReached", BadRequest, true, "the cluster holds as much as it may";
    BadRequestInvalidManagedIdentity = "BadRequest_InvalidManagedIdentity", BadRequest, true, "the cluster has no such managed identity, or may not ingest with it";
    BadRequestInvalidSchema = "BadRequest_InvalidSchema", BadRequest, true, "the schema is not possible";
    DownloadAccessConditionNotSatisfied = "Download_AccessConditionNotSatisfied", DataAccessNotAuthorized, true, "a storage condition was not met";
    DownloadForbidden = "Download_Forbidden", DataAccessNotAuthorized, true, "the service may not read the source; check the SAS or the role";
    DownloadAccountNotFound = "Download_AccountNotFound", DataAccessNotAuthorized, true, "the storage account does not exist";
    BadRequestTableAccessDenied = "BadRequest_TableAccessDenied", DataAccessNotAuthorized, true, "the role Table Ingestor is missing";
    BadRequestDatabaseAccessDenied = "BadRequest_DatabaseAccessDenied", DataAccessNotAuthorized, true, "the role Database Ingestor is missing";
    BadRequestInvalidAuthentication = "BadRequest_InvalidAuthentication", DataAccessNotAuthorized, true, "the credentials for the source are malformed";
    DownloadNotTransient = "Download_NotTransient", DownloadFailed, true, "the source cannot be fetched";
    DownloadUnknownError = "Download_UnknownError", DownloadFailed, false, "the source could not be fetched; try again";
    DownloadTransientNameResolutionFailure = "Download_TransientNameResolutionFailure", DownloadFailed, false, "the source's host was not found; try again";
    BadRequestMappingReferenceWasNotFound = "BadRequest_MappingReferenceWasNotFound", EntityNotFound, true, "create the mapping, or check its name and kind";
    BadRequestDatabaseNotExist = "BadRequest_DatabaseNotExist", EntityNotFound, true, "create the database, or check its name";
    BadRequestTableNotExist = "BadRequest_TableNotExist", EntityNotFound, true, "create the table, or check its name";
    BadRequestEntityNotFound = "BadRequest_EntityNotFound", EntityNotFound, true, "something that the request names does not exist";
    StreamInputStreamTooLarge = "Stream_InputStreamTooLarge", FileTooLarge, true, "a record or value is over the limit";
    BadRequestFileTooLarge = "BadRequest_FileTooLarge", FileTooLarge, true, "split the source";
    GeneralInternalServerError = "General_InternalServerError", InternalServiceError, false, "a fault of the service; try again";
    GeneralTransientSchemaMismatch = "General_TransientSchemaMismatch", InternalServiceError, false, "the schema changed meanwhile; try again";
    Timeout = "Timeout", InternalServiceError, false, "the service ran out of time; try again";
    OutOfMemory = "OutOfMemory", InternalServiceError, false, "the service ran out of memory; try smaller pieces";
    StreamLowMemoryCondition = "Stream_LowMemoryCondition", InternalServiceError, false, "the service ran low on memory; try again";
    SchemaPermanentUpdateFailure = "Schema_PermanentUpdateFailure", InternalServiceError, true, "the schema could not be updated";
    UpdatePolicySchemaMismatch = "UpdatePolicy_QuerySchemaDoesNotMatchTableSchema", UpdatePolicyFailure, true, "the update policy's query does not fit its table";
    UpdatePolicyFailedDescendant = "UpdatePolicy_FailedDescendantTransaction", UpdatePolicyFailure, false, "a transactional update policy failed further down";
    UpdatePolicyIngestionError = "UpdatePolicy_IngestionError", UpdatePolicyFailure, false, "the update policy's own ingestion failed";
    UpdatePolicyUnknownError = "UpdatePolicy_UnknownError", UpdatePolicyFailure, false, "the update policy failed";
    UpdatePolicyCyclic = "UpdatePolicy_Cyclic_Update_Not_Allowed", UpdatePolicyFailure, true, "the update policies form a circle";
    UpdatePolicyBadRequest = "UpdatePolicy_BadRequest", UpdatePolicyFailure, true, "the update policy is wrong";
    BadRequestInvalidKustoIdentityToken = "BadRequest_InvalidKustoIdentityToken", UserAccessNotAuthorized, true, "the identity token of the message is missing or out of date";
    Forbidden = "Forbidden", UserAccessNotAuthorized, true, "the role to do this is missing";
    GeneralThrottledIngestion = "General_ThrottledIngestion", ThrottledOnEngine, false, "the engine is busy; the service tries again";
    GeneralRetryAttemptsExceeded = "General_RetryAttemptsExceeded", RetryAttemptsExceeded, true, "the service gave up; sending the source again may work";
    BlobAlreadyFoundInBatch = "BlobAlreadyReceived_BlobAlreadyFoundInBatch", BlobAlreadyReceived, true, "the blob was sent twice; one copy is used";
    DuplicateEventGridNotification = "BlobAlreadyReceived_DuplicateEventGridNotification", BlobAlreadyReceived, true, "the blob was announced twice; one copy is used";
    StreamingIngestionPolicyNotEnabled = "BadRequest_StreamingIngestionPolicyNotEnabled", BadRequest, true, "switch streaming on for the table, or queue the source";
    Unknown = "Unknown", Unknown, false, "see the details of the failure";
}

impl fmt::Display for IngestionErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for IngestionErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for IngestionErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::parse(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_know_their_class() {
        for code in IngestionErrorCode::ALL {
            assert_eq!(&IngestionErrorCode::parse(&code.as_str().to_lowercase()), code);
            assert!(!code.hint().is_empty() && code.is_permanent().is_some());
        }
        let other = IngestionErrorCode::parse("Brand_New");
        assert_eq!((other.as_str(), other.is_permanent()), ("Brand_New", None));
        let spelt = IngestionErrorCode::parse("BadRequest_MissingMappingFailure");
        assert_eq!(spelt, IngestionErrorCode::BadRequestMissingMapping);
        assert_eq!(IngestionErrorCode::GeneralThrottledIngestion.is_permanent(), Some(false));
    }
}
