//! The kinds of jobs, and sets of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::BatchRef;

/// A kind of job. Each is one bit of a batch's masks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Metrics of the touched windows.
    Aggregate,
    /// Normalized records.
    Normalize,
    /// Rules and their alerts.
    Alert,
}

/// A set of job kinds, as the batch row's `need`, `done` and `failed` hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mask(pub u8);

impl Mask {
    /// The kinds in the set, in the order of their bits.
    pub fn kinds(self) -> impl Iterator<Item = JobKind> {
        JobKind::ALL
            .into_iter()
            .filter(move |kind| self.0 & kind.bit().0 != 0)
    }

    /// No job.
    pub const NONE: Self = Self(0);
    /// Every job: what a batch needs that brings something new.
    pub const ALL: Self = Self(1 | 2 | 4);
}

impl JobKind {
    /// All kinds, in the order of their bits.
    pub const ALL: [Self; 3] = [Self::Aggregate, Self::Normalize, Self::Alert];

    /// The kind's bit. Stored: never renumbered.
    #[must_use]
    pub fn bit(self) -> Mask {
        match self {
            Self::Aggregate => Mask(1),
            Self::Normalize => Mask(2),
            Self::Alert => Mask(4),
        }
    }

    /// The kind's name in job ids and subjects.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::Normalize => "normalize",
            Self::Alert => "alert",
        }
    }

    /// The job id, also its `Nats-Msg-Id`: `<src>:<seq>:<kind>[:<replay_id>]`.
    #[must_use]
    pub fn id(self, batch: BatchRef, replay_id: Option<&str>) -> String {
        let replay = replay_id.map(|id| format!(":{id}")).unwrap_or_default();
        format!("{batch}:{}{replay}", self.as_str())
    }

    /// The subject that the kind's jobs of a developer are published on: a replay's never queue
    /// before live ones.
    #[must_use]
    pub fn subject(self, replay_id: Option<&str>, developer: &str) -> String {
        let lane = if replay_id.is_some() {
            "replay"
        } else {
            "live"
        };
        format!("jobs.{}.{lane}.{developer}", self.as_str())
    }
}

/// The parts of a job id, `<src>:<seq>:<kind>[:<replay_id>][:r<n>]`; `r<n>` names the n-th redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobId<'a> {
    pub batch: BatchRef,
    pub kind: JobKind,
    /// The replay that the job is of; `None` if the batch itself needs it.
    pub replay_id: Option<&'a str>,
}

impl<'a> JobId<'a> {
    /// Takes an id apart; `None` if it is no job id.
    #[must_use]
    pub fn parse(id: &'a str) -> Option<Self> {
        let mut parts = id.splitn(4, ':');
        let src = parts.next()?.parse().ok()?;
        let seq = parts.next()?.parse().ok()?;
        let name = parts.next()?;
        let kind = JobKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name)?;
        let is_redrive = |part: &str| {
            part.strip_prefix('r')
                .is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let replay_id = parts.next().filter(|rest| !is_redrive(rest));
        Some(Self {
            batch: BatchRef { src, seq },
            kind,
            replay_id: replay_id.map(|rest| match rest.rsplit_once(':') {
                Some((replay_id, last)) if is_redrive(last) => replay_id,
                _ => rest,
            }),
        })
    }
}
