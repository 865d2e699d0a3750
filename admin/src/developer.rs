//! The developer that a command is about, and whether anyone knows them.

use std::collections::BTreeSet;

use anyhow::bail;
use store::Listings as _;
use types::id::DeveloperId;

use crate::keys::stored;
use crate::output::SELECTION;
use crate::target::{Target, with_store};

/// The developer of the key that `devtrail up` makes.
const FIRST: &str = "me";
/// Most developers named in the error about an unknown one.
const NAMED: usize = 10;

/// The developer whom a command shows; `me` if none is named.
#[derive(Debug, clap::Args)]
pub struct OwnDeveloper {
    /// The developer [default: me, the developer of the folder's first key]
    #[arg(value_name = "DEVELOPER")]
    positional: Option<DeveloperId>,
    #[arg(
        long,
        value_name = "DEVELOPER",
        hide = true,
        conflicts_with = "positional"
    )]
    developer: Option<DeveloperId>,
}

impl OwnDeveloper {
    /// The developer.
    #[must_use]
    pub fn name(&self) -> DeveloperId {
        let named = self.positional.as_ref().or(self.developer.as_ref());
        named
            .cloned()
            .unwrap_or_else(|| FIRST.parse().expect("it is a name"))
    }
}

/// Narrows a listing to one developer.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OnlyDeveloper {
    /// Only this developer's
    #[arg(long, value_name = "DEVELOPER", help_heading = SELECTION)]
    developer: Option<DeveloperId>,
    #[arg(value_name = "DEVELOPER", hide = true, conflicts_with = "developer")]
    positional: Option<DeveloperId>,
}

impl OnlyDeveloper {
    /// The developer, if the listing is narrowed.
    #[must_use]
    pub fn name(&self) -> Option<&DeveloperId> {
        self.developer.as_ref().or(self.positional.as_ref())
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        self.name().map(ToString::to_string)
    }
}

/// Refuses a developer of whom nothing is stored and who has no key. For listings that found nothing: an empty list of
/// somebody who does not exist is most often a typing error.
///
/// # Errors
/// Returns an error that names those who are known.
pub async fn ensure_known(target: &Target, developer: Option<&DeveloperId>) -> anyhow::Result<()> {
    let Some(developer) = developer else {
        return Ok(());
    };
    let people = everyone(target).await;
    if people.contains(developer.as_str()) {
        return Ok(());
    }
    bail!(unknown(developer.as_str(), &people))
}

/// Everyone with a batch or a key. One of both places may be unreachable: the other one knows most.
async fn everyone(target: &Target) -> BTreeSet<String> {
    let mut people = BTreeSet::new();
    match stored_people(target).await {
        Ok(stored) => people.extend(stored),
        Err(error) => tracing::debug!(error = format!("{error:#}"), "no developers of the store"),
    }
    match people_with_keys(target).await {
        Ok(holders) => people.extend(holders),
        Err(error) => tracing::debug!(error = format!("{error:#}"), "no developers of the keys"),
    }
    people
}

async fn stored_people(target: &Target) -> anyhow::Result<Vec<String>> {
    Ok(with_store!(target, |store| store
        .known_developers()
        .await?))
}

async fn people_with_keys(target: &Target) -> anyhow::Result<Vec<String>> {
    let js = target.connect().await?;
    let keys = stored::all(&js).await?;
    Ok(keys
        .into_iter()
        .map(|key| key.record.developer.to_string())
        .collect())
}

/// The error about a developer whom nobody knows.
fn unknown(developer: &str, people: &BTreeSet<String>) -> String {
    let known = match people.len() {
        0 => "Nobody has a key or a batch yet.".to_owned(),
        1..=NAMED => {
            let names: Vec<&str> = people.iter().map(String::as_str).collect();
            format!("Known are {}.", names.join(", "))
        }
        many => format!("{many} others are known; `devtrail keys list` shows who has a key."),
    };
    format!(
        "There is no developer {developer:?}: nothing is stored of them, and they have no key. {known} \
         `devtrail keys create {developer}` makes one."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_developer_is_answered_with_the_known_ones() {
        let people = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let text = unknown("adda", &people(&["ada", "bob"]));
        assert!(
            text.contains("no developer \"adda\"") && text.contains("Known are ada, bob."),
            "{text}"
        );
        assert!(unknown("ada", &people(&[])).contains("Nobody has a key"));
        let many: BTreeSet<String> = (0..50).map(|number| format!("p{number}")).collect();
        assert!(unknown("ada", &many).contains("50 others are known"));
    }
}
