//! Several event streams share the developers: what holds with one holds with three.

mod number;
mod spread;

use std::process::Command;

use types::event_streams::EventStreams;

/// Promises that are kept whatever the number of event streams is, each on both stores where it takes part.
const PROMISES: [&str; 24] = [
    "crashes::{}::a_crash_after_the_commit_before_the_ack",
    "dead_letters::{}::a_redrive_after_a_fix_leaves_no_trace_in_the_store",
    "dead_letters::drop::{}::garbage_is_dead_lettered_again_until_it_is_dropped",
    "exactly_once::{}::a_late_resend_is_dropped_and_names_the_original",
    "exactly_once::{}::a_recreated_stream_stores_nothing_twice",
    "exactly_once::{}::a_resend_inside_the_window_gets_the_first_reply_again",
    "exactly_once::{}::an_id_with_other_content_is_quarantined_whole",
    "exactly_once::{}::sixteen_clients_that_cut_the_same_events_store_each_once",
    "exactly_once::{}::sixteen_clients_that_send_the_same_batch_store_it_once",
    "group_commit::a_reply_lost_after_the_commit_doubles_nothing",
    "group_commit::members_of_a_group_get_their_own_replies",
    "kill_and_restart::kill_9_of_nats_server_in_mid_load_loses_and_doubles_nothing",
    "late_events::{}::an_alert_that_late_data_disproves_is_retracted",
    "lookup::a_batch_is_traced_by_any_name_with_its_original",
    "order::{}::messages_that_come_last_and_backwards_change_nothing",
    "outbox::{}::a_lost_database_ends_with_every_batch_completed",
    "outbox::{}::the_same_batch_n_times_has_one_set_of_jobs",
    "outbox::{}::the_sweep_publishes_the_jobs_of_a_worker_killed_after_ack",
    "poison::{}::every_kind_of_poison_is_dead_lettered_and_harms_no_other",
    "queries::{}::a_batch_can_be_queried",
    "queries::{}::a_waiting_client_is_answered_when_the_batch_is_stored",
    "retention::{}::a_full_stream_that_cannot_be_purged_names_what_blocks_it",
    "retention::{}::what_is_not_stored_stays_with_all_that_came_after_it",
    "verify::{}::a_message_that_vanished_before_it_was_stored_is_named",
];

fn three() -> EventStreams {
    "3".parse().unwrap()
}

/// The suite itself runs once more, with three event streams in every deployment.
#[test]
fn promises_hold_with_three_event_streams() {
    let names = PROMISES.iter().flat_map(|name| {
        let stores = ["sqlite", "postgres"].map(|store| name.replace("{}", store));
        let of_one = usize::from(name.contains("{}")) + 1;
        stores.into_iter().take(of_one)
    });
    let names: Vec<String> = names.collect();
    let suite = std::env::current_exe().unwrap();
    let output = Command::new(suite)
        .args(&names)
        .arg("--exact")
        .env("DEVTRAIL_TEST_EVENT_STREAMS", "3")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let passed = format!("test result: ok. {} passed", names.len());
    assert!(
        output.status.success() && printed.contains(&passed),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
