//! One schema, compiled, and the check of an event against it.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::version::Version;
use crate::reference::json::shorten;

/// Longest `detail` of a refused event, in bytes: a reply never repeats a large value.
const MAX_DETAIL: usize = 300;

/// One schema: the text people read, and its compiled form.
pub(crate) struct Schema {
    /// The version of the file.
    pub(crate) version: Version,
    validator: Validator,
}

/// The first fault of an event that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SchemaViolation {
    /// JSON Pointer into the event.
    pub(crate) pointer: String,
    /// What is wrong, for people.
    pub(crate) detail: String,
}

impl Schema {
    /// Compiles a schema document.
    ///
    /// # Errors
    /// Returns the compiler's text if the document is not a valid schema.
    pub(crate) fn compile(version: Version, document: &Value) -> Result<Self, String> {
        let validator =
            jsonschema::draft202012::new(document).map_err(|error| error.to_string())?;
        Ok(Self { version, validator })
    }

    /// Checks a whole event.
    ///
    /// # Errors
    /// Returns the first fault if the event does not fit.
    pub(crate) fn check(&self, event: &Value) -> Result<(), SchemaViolation> {
        self.validator.validate(event).map_err(|error| {
            let detail = match error.kind() {
                ValidationErrorKind::Minimum { limit } => {
                    format!("{} is less than {limit}", error.instance())
                }
                ValidationErrorKind::Maximum { limit } => {
                    format!("{} is greater than {limit}", error.instance())
                }
                _ => error.to_string(),
            };
            // An error names the offending value whole; a long one is cut.
            let detail = shorten(&detail, MAX_DETAIL);
            SchemaViolation {
                pointer: error.instance_path().to_string(),
                detail,
            }
        })
    }
}
