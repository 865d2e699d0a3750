//! What Devtrail promises, against real processes: one file a promise. README.md says what is where.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin_alerts;
mod breakers;
mod cloudevents;
mod collector_shutdown;
mod concurrent_workers;
mod crashes;
mod dead_letters;
mod exactly_once;
mod failing_output;
mod first_minutes;
mod formats;
mod fsync;
mod full_disk;
mod history;
mod http;
mod keys_shown;
mod kill_and_restart;
mod late_events;
mod latency;
mod lookup;
mod metrics_and_health;
mod nats_login;
mod openapi;
mod order;
mod outbox;
mod passwords;
mod poison;
mod private_files;
mod puback_to_reply;
mod quarantine;
mod queries;
mod rates;
mod readmission;
mod real_input;
mod restored_stream;
mod retention;
mod schemas;
mod scopes;
mod sending;
mod separate_processes;
mod shutdown;
mod store_outage;
mod verify;
mod wakatime;
