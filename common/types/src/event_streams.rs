//! The streams of batches: one, or several that share the developers. Pure.
//!
//! A developer's batches are all in one stream, so that "the first of two events with one id" has a meaning. Each name
//! says of how many streams its stream is one: a program that goes by another number finds no stream at all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, OneOf, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::id::DeveloperId;

/// The name of the stream if there is one, and the beginning of each name if there are several.
pub const EVENTS: &str = "EVENTS";
/// The most streams that batches may be spread over.
pub const MAX_EVENT_STREAMS: u16 = 32;

/// How many streams the batches are spread over. Fixed once the streams exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventStreams(u16);

/// A number of streams that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of event streams: use 1 to {MAX_EVENT_STREAMS}")]
pub struct BadEventStreams(String);

impl EventStreams {
    /// One stream for all developers.
    pub const ONE: Self = Self(1);

    /// How many there are.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Each of them, by partition.
    pub fn all(self) -> impl Iterator<Item = EventStream> {
        (0..self.0).map(move |partition| EventStream {
            partition,
            streams: self,
        })
    }

    /// The stream of a developer's batches.
    #[must_use]
    pub fn of(self, developer: &DeveloperId) -> EventStream {
        self.of_token(developer.as_str())
    }

    /// The stream that nats-server's `partition()` gives for a token of a subject.
    #[must_use]
    pub fn of_token(self, token: &str) -> EventStream {
        let partition = fnv_1a(token.as_bytes()) % u32::from(self.0);
        EventStream {
            // Below the number of streams, which is a u16.
            partition: u16::try_from(partition).unwrap_or_default(),
            streams: self,
        }
    }

    /// What a server's configuration needs for those who publish to `events.batch.<developer>`; empty for one stream.
    #[must_use]
    pub fn server_mapping(self) -> String {
        let number = self.0;
        if self == Self::ONE {
            return String::new();
        }
        let mapped = format!("events.batch.{{{{partition({number},1)}}}}.{{{{wildcard(1)}}}}");
        format!("mappings = {{\n  \"events.batch.*\": \"{mapped}\"\n}}\n")
    }
}

impl FromStr for EventStreams {
    type Err = BadEventStreams;

    fn from_str(text: &str) -> Result<Self, BadEventStreams> {
        let number = text.parse().ok();
        let number = number.filter(|number| (1..=MAX_EVENT_STREAMS).contains(number));
        number
            .map(Self)
            .ok_or_else(|| BadEventStreams(text.to_owned()))
    }
}

impl fmt::Display for EventStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// FNV-1a with 32 bits, by which nats-server's `partition()` hashes.
fn fnv_1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// One of the streams of batches. It is displayed as its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventStream {
    partition: u16,
    streams: EventStreams,
}

impl EventStream {
    /// The stream of this name; `None` if a stream of this name holds no batches.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let stream = match name.strip_prefix(EVENTS)?.strip_prefix('-') {
            None => Self {
                partition: 0,
                streams: EventStreams::ONE,
            },
            Some(rest) => {
                let (partition, number) = rest.split_once("-of-")?;
                Self {
                    partition: partition.parse().ok()?,
                    streams: number.parse().ok()?,
                }
            }
        };
        (stream.partition < stream.streams.0 && stream.to_string() == name).then_some(stream)
    }

    /// Its number among them, from 0.
    #[must_use]
    pub fn partition(self) -> u16 {
        self.partition
    }

    /// Of how many streams it is one.
    #[must_use]
    pub fn streams(self) -> EventStreams {
        self.streams
    }

    /// The subject that the developer's batches have in this stream.
    #[must_use]
    pub fn subject(self, developer: &DeveloperId) -> String {
        self.subjects(developer.as_str())
    }

    /// The subjects of all batches in this stream.
    #[must_use]
    pub fn all_subjects(self) -> String {
        self.subjects("*")
    }

    fn subjects(self, developer: &str) -> String {
        if self.streams == EventStreams::ONE {
            format!("events.batch.{developer}")
        } else {
            format!("events.batch.{}.{developer}", self.partition)
        }
    }
}

impl fmt::Display for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.streams == EventStreams::ONE {
            f.write_str(EVENTS)
        } else {
            write!(f, "{EVENTS}-{}-of-{}", self.partition, self.streams)
        }
    }
}

/// The developer whom a subject of a batch names.
#[must_use]
pub fn developer_of_subject(subject: &str) -> Option<&str> {
    let rest = subject.strip_prefix("events.batch.")?;
    let developer = rest
        .split_once('.')
        .map_or(rest, |(_, developer)| developer);
    (!developer.contains('.')).then_some(developer)
}

/// The sequence of a message in a stream of batches, as people and programs write it: the number alone if there is one
/// stream, else `STREAM:N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSequence {
    /// The stream's name.
    pub stream: String,
    /// The sequence in it, from 1.
    pub seq: u64,
}

/// A text that is not a stream sequence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no stream sequence: use a number, or STREAM:N such as EVENTS-0-of-3:4711 if there are several event \
     streams"
)]
pub struct BadStreamSequence(String);

impl StreamSequence {
    /// The sequence `seq` of the stream with this name.
    #[must_use]
    pub fn new(stream: impl Into<String>, seq: u64) -> Self {
        Self {
            stream: stream.into(),
            seq,
        }
    }

    /// Whether it is of one of several event streams.
    fn is_of_several(&self) -> bool {
        let stream = EventStream::named(&self.stream);
        stream.is_some_and(|stream| stream.streams() != EventStreams::ONE)
    }
}

impl fmt::Display for StreamSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, seq } = self;
        if self.is_of_several() {
            write!(f, "{stream}:{seq}")
        } else {
            seq.fmt(f)
        }
    }
}

impl FromStr for StreamSequence {
    type Err = BadStreamSequence;

    fn from_str(text: &str) -> Result<Self, BadStreamSequence> {
        let (stream, seq) = text.rsplit_once(':').unwrap_or((EVENTS, text));
        let is_stream = EventStream::named(stream).is_some();
        let seq = seq.parse().ok().filter(|_| is_stream);
        seq.map(|seq| Self::new(stream, seq))
            .ok_or_else(|| BadStreamSequence(text.to_owned()))
    }
}

/// A number if there is one stream, else a text.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenSequence {
    Number(u64),
    Text(String),
}

impl Serialize for StreamSequence {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = if self.is_of_several() {
            WrittenSequence::Text(self.to_string())
        } else {
            WrittenSequence::Number(self.seq)
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StreamSequence {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match WrittenSequence::deserialize(deserializer)? {
            WrittenSequence::Number(seq) => Ok(Self::new(EVENTS, seq)),
            WrittenSequence::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl PartialSchema for StreamSequence {
    fn schema() -> RefOr<Schema> {
        let number = Object::builder()
            .schema_type(SchemaType::new(Type::Integer))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0));
        let text = Object::builder()
            .schema_type(SchemaType::new(Type::String))
            .pattern(Some("^EVENTS-[0-9]+-of-[0-9]+:[0-9]+$"));
        OneOf::builder().item(number).item(text).into()
    }
}

impl ToSchema for StreamSequence {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn streams(number: u16) -> EventStreams {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn one_stream_has_the_plain_name_and_subjects() {
        let ada = "ada".parse().unwrap();
        let stream = EventStreams::ONE.of(&ada);
        assert_eq!(stream.to_string(), "EVENTS");
        assert_eq!(stream.subject(&ada), "events.batch.ada");
        assert_eq!(stream.all_subjects(), "events.batch.*");
        assert_eq!(EventStreams::ONE.server_mapping(), "");
    }

    #[test]
    fn several_streams_name_partition_and_number() {
        let ada = "ada".parse().unwrap();
        let stream = streams(3).of(&ada);
        let named = EventStream::named(&stream.to_string()).unwrap();
        assert_eq!(named, stream);
        let partition = stream.partition;
        assert_eq!(stream.to_string(), format!("EVENTS-{partition}-of-3"));
        assert_eq!(
            stream.subject(&ada),
            format!("events.batch.{partition}.ada")
        );
        let names: Vec<String> = streams(2).all().map(|one| one.to_string()).collect();
        assert_eq!(names, ["EVENTS-0-of-2", "EVENTS-1-of-2"]);
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // The published test vectors of FNV-1a with 32 bits.
        assert_eq!(
            [fnv_1a(b""), fnv_1a(b"a"), fnv_1a(b"foobar")],
            [0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]
        );
    }

    #[test]
    fn other_names_are_no_event_streams() {
        for name in [
            "JOBS",
            "EVENTS2",
            "EVENTS-",
            "EVENTS-0",
            "EVENTS-0-of-1",
            "EVENTS-3-of-3",
            "EVENTS-00-of-3",
            "EVENTS-0-of-33",
            "EVENTS--1-of-3",
        ] {
            assert_eq!(EventStream::named(name), None, "{name}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_refused() {
        for text in ["0", "33", "-1", "three", "3.0"] {
            let refusal = text.parse::<EventStreams>().unwrap_err().to_string();
            assert!(
                refusal.contains(text) && refusal.contains("1 to 32"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn a_subject_names_its_developer() {
        assert_eq!(developer_of_subject("events.batch.ada"), Some("ada"));
        assert_eq!(developer_of_subject("events.batch.2.ada"), Some("ada"));
        assert_eq!(developer_of_subject("events.batch.2.ada.x"), None);
        assert_eq!(developer_of_subject("jobs.alert.live.ada"), None);
    }

    #[test]
    fn a_sequence_is_a_number_only_in_the_one_stream() {
        for (sequence, json) in [
            (StreamSequence::new(EVENTS, 7), "7"),
            (
                StreamSequence::new("EVENTS-1-of-3", 7),
                "\"EVENTS-1-of-3:7\"",
            ),
        ] {
            assert_eq!(serde_json::to_string(&sequence).unwrap(), json);
            assert_eq!(
                serde_json::from_str::<StreamSequence>(json).unwrap(),
                sequence
            );
            assert_eq!(sequence.to_string(), json.trim_matches('"'));
        }
        for text in [
            "",
            "-1",
            "JOBS:7",
            "EVENTS-1-of-3",
            "EVENTS-1-of-3:",
            "EVENTS-3-of-3:7",
        ] {
            assert!(text.parse::<StreamSequence>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_developer_has_one_of_the_streams(name in "[A-Za-z0-9_-]{1,64}", number in 1..=MAX_EVENT_STREAMS) {
            let developer: DeveloperId = name.parse().unwrap();
            let stream = streams(number).of(&developer);
            prop_assert!(streams(number).all().any(|one| one == stream));
            prop_assert_eq!(EventStream::named(&stream.to_string()), Some(stream));
            let subject = stream.subject(&developer);
            prop_assert_eq!(developer_of_subject(&subject), Some(name.as_str()));
        }

        #[test]
        fn a_sequence_is_read_as_it_is_written(number in 1..=MAX_EVENT_STREAMS, seq in any::<u64>()) {
            for stream in streams(number).all() {
                let sequence = StreamSequence::new(stream.to_string(), seq);
                prop_assert_eq!(sequence.to_string().parse(), Ok(sequence));
            }
        }
    }
}
