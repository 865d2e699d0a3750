//! What Devtrail promises, against real processes: one file a promise.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin_alerts;
mod apart;
mod asking;
mod breakers;
mod cloudevents;
mod crashes;
mod dead_letters;
mod described;
mod first_minutes;
mod formats;
mod full_disk;
mod history;
mod http;
mod kept_once;
mod late;
mod limits;
mod load;
mod looking;
mod measured;
mod nothing_between;
mod order;
mod outbox;
mod poison;
mod put_back;
mod quarantine;
mod quick;
mod rates;
mod readmitted;
mod real_input;
mod schemas;
mod scopes;
mod stops;
mod store_away;
mod survives;
mod synced;
mod trimmed;
mod verified;
mod wakatime;
