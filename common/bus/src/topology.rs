//! Streams and consumers as data: the files under `nats/`, and the pure plan that makes them so.
//!
//! Only keys present in a file are compared, since the server adds defaults. A *safety* field
//! that differs is repaired, and so is a *speed* field; any other difference is an administrator's choice and is kept.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_nats::jetstream;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::{ApiError, info, request};
use crate::names::{ConsumerRef, ResourceName};
use types::event_streams::{EVENTS, EventStream, EventStreams};

/// A configuration as the server's API takes it.
pub type Config = Map<String, Value>;

/// Fields that correctness depends on. Sizes, ages and replicas are the administrator's.
const SAFETY: [&str; 6] = [
    "subjects",
    "retention",
    "discard",
    "filter_subject",
    "ack_policy",
    "max_deliver",
];

/// Fields that only speed depends on: a stream that was made before them gets them, and works without.
const SPEED: [&str; 1] = [ATOMIC];

/// Whether a stream takes groups ([`crate::atomic_group`]).
pub const ATOMIC: &str = "allow_atomic";

const STREAMS: [&str; 10] = [
    include_str!("../../../nats/streams/EVENTS.json"),
    include_str!("../../../nats/streams/JOBS.json"),
    include_str!("../../../nats/streams/REPLAY.json"),
    include_str!("../../../nats/streams/ALERTS.json"),
    include_str!("../../../nats/streams/DEAD.json"),
    include_str!("../../../nats/streams/ADMIN.json"),
    include_str!("../../../nats/streams/KV_api_keys.json"),
    include_str!("../../../nats/streams/KV_settings.json"),
    include_str!("../../../nats/streams/KV_workers.json"),
    include_str!("../../../nats/streams/KV_store.json"),
];
const CONSUMERS: [(&str, &str); 9] = [
    (
        "EVENTS",
        include_str!("../../../nats/consumers/EVENTS.persist.json"),
    ),
    (
        "JOBS",
        include_str!("../../../nats/consumers/JOBS.aggregate.json"),
    ),
    (
        "JOBS",
        include_str!("../../../nats/consumers/JOBS.aggregate-replay.json"),
    ),
    (
        "JOBS",
        include_str!("../../../nats/consumers/JOBS.normalize.json"),
    ),
    (
        "JOBS",
        include_str!("../../../nats/consumers/JOBS.normalize-replay.json"),
    ),
    (
        "JOBS",
        include_str!("../../../nats/consumers/JOBS.alert.json"),
    ),
    (
        "JOBS",
        include_str!("../../../nats/consumers/JOBS.alert-replay.json"),
    ),
    (
        "ADMIN",
        include_str!("../../../nats/consumers/ADMIN.webhook-admin.json"),
    ),
    (
        "REPLAY",
        include_str!("../../../nats/consumers/REPLAY.persist-replay.json"),
    ),
];

/// What the files declare, with the batches spread over so many streams. The files of EVENTS hold for each of them, but
/// for its name, its subjects, and its part of the bytes.
///
/// # Panics
/// Never in a released build: a test reads every file.
#[must_use]
pub fn declared(streams: EventStreams) -> BTreeMap<ResourceName, Config> {
    let mut declared = BTreeMap::new();
    for (name, config) in FILES.iter() {
        if name.stream != EVENTS {
            declared.insert(name.clone(), config.clone());
            continue;
        }
        declared.extend(streams.all().map(|stream| {
            let of_stream = ResourceName {
                stream: stream.to_string(),
                consumer: name.consumer.clone(),
            };
            (of_stream, one_of_several(config, stream))
        }));
    }
    declared
}

/// What the files declare of this stream or consumer; nothing if they do not name it.
#[must_use]
pub fn declared_as(name: &ResourceName) -> Config {
    let Some(stream) = EventStream::named(&name.stream) else {
        return FILES.get(name).cloned().unwrap_or_default();
    };
    let file = ResourceName {
        stream: EVENTS.to_owned(),
        consumer: name.consumer.clone(),
    };
    let config = FILES.get(&file);
    config.map_or_else(Config::new, |config| one_of_several(config, stream))
}

/// What the file of EVENTS, or of its consumer, declares for one of the streams of batches.
fn one_of_several(file: &Config, stream: EventStream) -> Config {
    let subjects = stream.all_subjects();
    let share = |bytes: i64| bytes / i64::from(stream.streams().number());
    let mut config = file.clone();
    for (field, value) in &mut config {
        match field.as_str() {
            "name" => *value = json!(stream.to_string()),
            "subjects" => *value = json!([subjects]),
            "filter_subject" => *value = json!(subjects),
            "max_bytes" => {
                if let Some(bytes) = value.as_i64() {
                    *value = json!(share(bytes));
                }
            }
            _ => {}
        }
    }
    config
}

/// Parsed once: each binding compares with it.
static FILES: LazyLock<BTreeMap<ResourceName, Config>> = LazyLock::new(|| {
    let parse = |text: &str| {
        serde_json::from_str::<Config>(text).expect("an embedded file is a JSON object")
    };
    let text = |config: &Config, key: &str| {
        config[key]
            .as_str()
            .expect("a file names itself")
            .to_owned()
    };
    let streams = STREAMS.iter().map(|file| {
        let config = parse(file);
        (ResourceName::stream(&text(&config, "name")), config)
    });
    let consumers = CONSUMERS.iter().map(|(stream, file)| {
        let config = parse(file);
        (
            ResourceName {
                stream: (*stream).to_owned(),
                consumer: Some(text(&config, "durable_name")),
            },
            config,
        )
    });
    streams.chain(consumers).collect()
});

/// A field that is not as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The field's name in the API.
    pub field: String,
    /// As the file has it.
    pub declared: Value,
    /// As the server has it.
    pub live: Value,
}

/// What `devtrail streams apply` would do with one stream or consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigChange {
    /// It is missing.
    Create(Config),
    /// Safety or speed fields differ: they are set back, all else is kept.
    Repair {
        /// The live configuration with these fields as declared.
        config: Config,
        /// What differed.
        differences: Vec<Difference>,
    },
    /// An administrator changed these on purpose.
    Keep(Vec<Difference>),
}

/// Compares the declared with the live configurations. Pure; names without a difference are left out.
#[must_use]
pub fn plan(
    declared: &BTreeMap<ResourceName, Config>,
    live: &BTreeMap<ResourceName, Config>,
) -> Vec<(ResourceName, ConfigChange)> {
    let change = |name: &ResourceName, expected: &Config| {
        let Some(have) = live.get(name) else {
            return Some(ConfigChange::Create(expected.clone()));
        };
        let Differences {
            safety,
            speed,
            others,
        } = differences(expected, have);
        let repaired = [safety, speed].concat();
        if !repaired.is_empty() {
            let fields = repaired
                .iter()
                .map(|one| (one.field.clone(), one.declared.clone()));
            let mut config = have.clone();
            config.extend(fields);
            return Some(ConfigChange::Repair {
                config,
                differences: repaired,
            });
        }
        (!others.is_empty()).then_some(ConfigChange::Keep(others))
    };
    declared
        .iter()
        .filter_map(|(name, expected)| Some((name.clone(), change(name, expected)?)))
        .collect()
}

/// The fields of a configuration that differ.
#[derive(Debug, Default)]
pub struct Differences {
    /// Fields that correctness depends on.
    pub safety: Vec<Difference>,
    /// Fields that only speed depends on.
    pub speed: Vec<Difference>,
    /// Fields that are the administrator's choice.
    pub others: Vec<Difference>,
}

/// The fields that differ between the declared and the live configuration.
#[must_use]
pub fn differences(declared: &Config, live: &Config) -> Differences {
    let differing = declared.iter().filter_map(|(field, declared)| {
        let live = live.get(field).cloned().unwrap_or(Value::Null);
        let same = *declared == live || (live.is_null() && is_default(declared));
        (!same).then(|| Difference {
            field: field.clone(),
            declared: declared.clone(),
            live,
        })
    });
    let mut differences = Differences::default();
    for one in differing {
        let list = match one.field.as_str() {
            field if SAFETY.contains(&field) => &mut differences.safety,
            field if SPEED.contains(&field) => &mut differences.speed,
            _ => &mut differences.others,
        };
        list.push(one);
    }
    differences
}

/// Whether the server leaves such a value out of its answers.
fn is_default(value: &Value) -> bool {
    *value == json!(false) || *value == json!(0) || *value == json!("") || *value == json!([])
}

/// The live configurations of what is declared.
///
/// # Errors
/// Returns [`ApiError`] if the server does not answer or refuses.
pub async fn live(
    js: &jetstream::Context,
    declared: &BTreeMap<ResourceName, Config>,
) -> Result<BTreeMap<ResourceName, Config>, ApiError> {
    let mut live = BTreeMap::new();
    for name in declared.keys() {
        let config = info(js, name)
            .await?
            .and_then(|info| info["config"].as_object().cloned());
        live.extend(config.map(|config| (name.clone(), config)));
    }
    Ok(live)
}

/// Carries out the plan; what is kept is left alone.
///
/// # Errors
/// Returns [`ApiError`] for the first change that the server refuses; those before it are done.
pub async fn apply(
    js: &jetstream::Context,
    plan: &[(ResourceName, ConfigChange)],
) -> Result<(), ApiError> {
    for (name, change) in plan {
        let (config, verb) = match change {
            ConfigChange::Create(config) => (config, "CREATE"),
            ConfigChange::Repair { config, .. } => (config, "UPDATE"),
            ConfigChange::Keep(_) => continue,
        };
        let missing = || ApiError::new(name.clone(), "its stream is missing".to_owned());
        match &name.consumer {
            None => request(js, name, verb, json!(config))
                .await?
                .ok_or_else(missing)?,
            Some(_) => {
                // One verb creates and updates consumers.
                let body = json!({"stream_name": name.stream, "config": config});
                request(js, name, "CREATE", body)
                    .await?
                    .ok_or_else(missing)?
            }
        };
    }
    Ok(())
}

/// Has a durable consumer deliver its stream again from the first message: it is deleted and recreated, as an
/// administrator configured it. Workers that pull from it bind again.
///
/// # Errors
/// Returns [`ApiError`] if the server does not answer or refuses; run again, it does the rest.
pub async fn restart_consumer(
    js: &jetstream::Context,
    consumer: &ConsumerRef,
) -> Result<(), ApiError> {
    let name = consumer.resource();
    let declared = declared_as(&name);
    let live = info(js, &name).await?;
    let live = live.and_then(|info| info["config"].as_object().cloned());
    let mut config = live.unwrap_or_else(|| declared.clone());
    let policy = declared.get("deliver_policy").cloned();
    config.extend(policy.map(|policy| ("deliver_policy".to_owned(), policy)));
    config.retain(|field, _| !field.starts_with("opt_start_"));
    // One that is gone already is as good.
    request(js, &name, "DELETE", json!({})).await?;
    let body = json!({"stream_name": name.stream, "config": config});
    let made = request(js, &name, "CREATE", body).await?;
    made.map(drop)
        .ok_or_else(|| ApiError::new(name, "its stream is missing".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> BTreeMap<ResourceName, Config> {
        declared(EventStreams::ONE)
    }

    fn events() -> ResourceName {
        ResourceName::stream("EVENTS")
    }

    fn change_of(edit: impl FnOnce(&mut Config)) -> Option<ConfigChange> {
        let declared = one();
        let mut live = declared.clone();
        edit(live.get_mut(&events()).unwrap());
        plan(&declared, &live).pop().map(|(_, change)| change)
    }

    #[test]
    fn what_is_missing_is_created_streams_first() {
        assert_eq!(plan(&one(), &one()), []);
        let all = plan(&one(), &BTreeMap::new());
        assert!(
            all.iter()
                .all(|(_, change)| matches!(change, ConfigChange::Create(_)))
        );
        let place = |expected: &str| {
            all.iter()
                .position(|(name, _)| name.to_string() == expected)
                .unwrap()
        };
        assert!(place("stream EVENTS") < place("consumer EVENTS/persist"));
    }

    #[test]
    fn a_safety_field_is_repaired_and_sizes_are_kept() {
        let Some(ConfigChange::Repair {
            config,
            differences,
        }) = change_of(|live| {
            live.insert("discard".into(), json!("old"));
            live.insert("max_bytes".into(), json!(1));
        })
        else {
            panic!("not repaired")
        };
        assert_eq!(
            (config["discard"].clone(), config["max_bytes"].clone()),
            (json!("new"), json!(1))
        );
        assert_eq!(differences.len(), 1);
        let kept = change_of(|live| drop(live.insert("max_bytes".into(), json!(1))));
        assert!(matches!(kept, Some(ConfigChange::Keep(fields)) if fields[0].field == "max_bytes"));
    }

    #[test]
    fn an_older_stream_gets_what_makes_it_fast_and_is_safe_without() {
        let declared = one();
        let mut older = declared[&events()].clone();
        older.remove(ATOMIC);
        let differences = differences(&declared[&events()], &older);
        assert!(differences.safety.is_empty() && differences.speed.len() == 1);
        let Some(ConfigChange::Repair { config, .. }) = change_of(|live| drop(live.remove(ATOMIC)))
        else {
            panic!("not repaired")
        };
        assert_eq!(config[ATOMIC], json!(true));
    }

    #[test]
    fn one_event_stream_is_declared_as_the_files_have_it() {
        assert_eq!(one(), *FILES);
        assert!(
            FILES
                .iter()
                .all(|(name, config)| declared_as(name) == *config)
        );
    }

    #[test]
    fn several_event_streams_have_their_own_subjects_and_share_the_bytes() {
        let three = declared("3".parse().unwrap());
        assert!(!three.keys().any(|name| name.stream == EVENTS));
        assert_eq!(three.len(), FILES.len() + 4);
        let name = ResourceName::stream("EVENTS-2-of-3");
        let stream = &three[&name];
        assert_eq!(
            (&stream["name"], &stream["subjects"]),
            (&json!("EVENTS-2-of-3"), &json!(["events.batch.2.*"]))
        );
        let whole = FILES[&events()]["max_bytes"].as_i64().unwrap();
        assert_eq!(stream["max_bytes"], json!(whole / 3));
        let consumer = ConsumerRef::new("EVENTS-2-of-3", "persist").resource();
        assert_eq!(
            three[&consumer]["filter_subject"],
            json!("events.batch.2.*")
        );
        assert!(
            three
                .iter()
                .all(|(name, config)| declared_as(name) == *config)
        );
    }

    #[test]
    fn fields_that_the_server_leaves_out_or_adds_are_no_difference() {
        assert_eq!(change_of(|live| drop(live.remove("max_age"))), None);
        assert_eq!(
            change_of(|live| drop(live.insert("compression".into(), json!("none")))),
            None
        );
    }
}
