//! What `devtrail trace` was asked for. Pure.

use store::{Clue, Submission};
use types::event_streams::StreamSequence;
use types::id::Src;
use types::job::JobId;

/// What to look up in the store, and which of the results fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceQuery {
    text: String,
    clue: Clue,
    src: Option<Src>,
    /// The stream of a sequence; `None` if it is looked for in all.
    stream: Option<String>,
    developer: Option<String>,
}

impl TraceQuery {
    /// Reads `seq:N`, `seq:STREAM:N`, `job:SRC:SEQ:KIND…`, `alert:ID`, `id:ID`; anything else is an id.
    pub fn parse(text: &str, developer: Option<&str>) -> Self {
        let developer = developer.map(str::to_owned);
        let as_id = |id: &str| Clue::Id {
            id: id.to_owned(),
            developer: developer.clone(),
        };
        let mut clue = as_id(text);
        let mut src = None;
        let mut stream = None;
        match text.split_once(':') {
            Some(("id", id)) => clue = as_id(id),
            Some(("alert", id)) => clue = Clue::Alert(id.to_owned()),
            Some(("seq", number)) => {
                if let Ok(seq) = number.parse() {
                    clue = Clue::Sequence(seq);
                } else if let Ok(sequence) = number.parse::<StreamSequence>() {
                    clue = Clue::Sequence(sequence.seq);
                    stream = Some(sequence.stream);
                }
            }
            Some(("job", id)) => {
                if let Some(job) = JobId::parse(id) {
                    clue = Clue::Sequence(job.batch.seq);
                    src = Some(job.batch.src);
                }
            }
            _ => {}
        }
        Self {
            text: text.to_owned(),
            clue,
            src,
            stream,
            developer,
        }
    }

    /// What to ask the store for.
    pub fn clue(&self) -> Clue {
        self.clue.clone()
    }

    /// The id, if the query is for one.
    pub fn id(&self) -> Option<&str> {
        match &self.clue {
            Clue::Id { id, .. } => Some(id),
            Clue::Sequence(_) | Clue::Alert(_) => None,
        }
    }

    /// Whether the store may give batches that do not fit.
    pub fn is_narrowed_here(&self) -> bool {
        self.id().is_none()
    }

    pub fn fits(&self, batch: &Submission) -> bool {
        self.fits_incarnation(batch.at.src)
            && self
                .developer
                .as_ref()
                .is_none_or(|developer| *developer == batch.developer)
    }

    /// The sequence, if the query is for one: what was never stored is known by it alone.
    pub fn sequence(&self) -> Option<u64> {
        match self.clue {
            Clue::Sequence(seq) => Some(seq),
            Clue::Id { .. } | Clue::Alert(_) => None,
        }
    }

    /// Whether messages of this incarnation of the stream fit.
    pub fn fits_incarnation(&self, src: Src) -> bool {
        self.src.is_none_or(|named| named == src)
    }

    /// Whether messages of the stream of this name fit.
    pub fn fits_stream(&self, stream: &str) -> bool {
        self.stream.as_ref().is_none_or(|named| named == stream)
    }

    /// The error text if nothing is found.
    pub fn not_found(&self) -> String {
        let whose = self
            .developer
            .as_ref()
            .map(|name| format!(" of {name}"))
            .unwrap_or_default();
        let try_next = match &self.clue {
            Clue::Id { .. } if self.developer.is_some() => {
                "Try it without --developer, or with seq:N of its reply"
            }
            Clue::Id { .. } => {
                "Try the stream_sequence of its reply as seq:N, or its X-Correlation-Id"
            }
            Clue::Sequence(_) => "Try the batch id, or an event's id",
            Clue::Alert(_) => "`devtrail alerts list --json` shows the ids of alerts",
        };
        format!(
            "Nothing is known of {:?}{whose}. {try_next}. A batch appears once a worker has stored it; \
             `devtrail status` shows those that wait.",
            self.text
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clue(text: &str) -> Clue {
        TraceQuery::parse(text, None).clue()
    }

    fn id(id: &str) -> Clue {
        Clue::Id {
            id: id.to_owned(),
            developer: None,
        }
    }

    #[test]
    fn sequences_jobs_and_alerts_are_recognized() {
        assert_eq!(clue("seq:4711"), Clue::Sequence(4711));
        assert_eq!(clue("seq:EVENTS-1-of-3:4711"), Clue::Sequence(4711));
        assert_eq!(clue("job:2:17:normalize"), Clue::Sequence(17));
        assert_eq!(clue("job:2:17:alert:replay-1:r3"), Clue::Sequence(17));
        assert_eq!(clue("alert:9f:3c"), Clue::Alert("9f:3c".to_owned()));
        assert_eq!(clue("0198c0de"), id("0198c0de"));
    }

    #[test]
    fn an_id_that_only_looks_like_something_else_is_an_id() {
        for text in [
            "seq:",
            "seq:-1",
            "seq:new",
            "seq:EVENTS-3-of-3:1",
            "job:nightly",
            "job:1:2",
            "job:1:2:bake",
            "a:b",
        ] {
            assert_eq!(clue(text), id(text));
        }
        assert_eq!(clue("id:seq:5"), id("seq:5"));
    }

    #[test]
    fn a_job_is_of_one_incarnation_and_a_developer_narrows_all() {
        let batch = crate::trace::timeline::tests::batch();
        let fits = |text: &str, developer| TraceQuery::parse(text, developer).fits(&batch);
        assert!(fits("job:1:4711:alert", None) && !fits("job:2:4711:alert", None));
        assert!(fits("seq:4711", Some("ada")) && !fits("seq:4711", Some("bob")));
    }

    #[test]
    fn a_sequence_may_be_of_one_of_several_streams() {
        let fits = |text: &str| TraceQuery::parse(text, None).fits_stream("EVENTS-1-of-3");
        assert!(fits("seq:4711") && fits("seq:EVENTS-1-of-3:4711"));
        assert!(!fits("seq:EVENTS-0-of-3:4711"));
    }

    #[test]
    fn an_empty_result_says_what_to_try() {
        let text = TraceQuery::parse("b1", Some("ada")).not_found();
        assert!(
            text.contains("\"b1\" of ada") && text.contains("without --developer"),
            "{text}"
        );
        assert!(
            TraceQuery::parse("alert:x", None)
                .not_found()
                .contains("alerts list")
        );
    }
}
