//! One schema, compiled, and the check of an event against it.

use std::borrow::Cow;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, Validator};
use serde_json::Value;

use super::representation::BorrowedJson;
use super::version::Version;
use crate::json::{BorrowedValue, shorten};

/// Longest `detail` of a refused event, in bytes: a reply never repeats a large value.
const MAX_DETAIL: usize = 300;

/// One schema: the text people read, and its compiled form.
pub struct Schema {
    /// The version of the file.
    pub version: Version,
    /// The JSON Schema document.
    pub text: Cow<'static, str>,
    validator: Validator<BorrowedJson>,
}

/// The first fault of an event that does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaViolation {
    /// JSON Pointer into the event.
    pub pointer: String,
    /// What is wrong, for people.
    pub detail: String,
}

impl Schema {
    /// Compiles a schema document.
    ///
    /// # Errors
    /// Returns the compiler's text if the document is not a valid schema.
    pub(super) fn compile(
        version: Version,
        text: Cow<'static, str>,
        document: &Value,
    ) -> Result<Self, String> {
        let validator = jsonschema::options_for::<BorrowedJson>()
            .with_draft(Draft::Draft202012)
            .build(document)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            version,
            text,
            validator,
        })
    }

    /// Checks a whole event.
    ///
    /// # Errors
    /// Returns the first fault if the event does not fit.
    pub fn check(&self, event: &BorrowedValue<'_>) -> Result<(), SchemaViolation> {
        // Most events fit, which takes less to find out than what is wrong with one.
        if self.validator.is_valid(event) {
            return Ok(());
        }
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
