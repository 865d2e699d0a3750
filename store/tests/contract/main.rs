//! The contract of the store: what every engine must do, whatever it is made of.
//!
//! A case is an async function over any [`build::Engine`] and is named once, in `contract!`; a new
//! engine is one more line at the end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod alerts;
mod atomic;
mod attempts;
mod build;
mod cases;
mod dead_letters;
mod dedup;
mod dump;
mod export;
mod history;
mod identity;
mod leases;
mod listings;
mod monitoring;
mod order;
mod other_shape;
mod postgres;
mod postgres_alone;
mod quarantine;
mod query_reads;
mod records;
mod retention;
mod server;
mod snapshots;
mod sqlite;
mod states;
mod windows;
mod work;

/// Compiles every case for one engine.
macro_rules! contract {
    ($name:ident, $engine:ty) => {
        contract! { $name, $engine, [
            cases::a_batch_stored_twice_is_stored_once_and_reported_so
            cases::the_values_of_an_event_are_stored_exactly
            cases::a_batchs_events_read_in_ordinal_order_are_in_the_order_sent
            cases::refused_events_are_kept_whole
            cases::the_audit_has_every_step_and_every_hash_recomputes
            cases::a_forgotten_developers_message_keeps_only_its_skeleton
            cases::storing_writes_no_table_but_its_own
            atomic::concurrent_stores_of_the_same_batch_store_it_once
            atomic::a_batch_that_fails_leaves_nothing_of_its_group
            atomic::another_message_at_a_stored_place_is_never_called_stored
            atomic::a_reader_sees_whole_committed_groups_only
            dedup::a_duplicate_names_its_original
            dedup::the_lower_reference_owns_an_id_in_either_order
            dedup::an_equivalent_event_is_a_duplicate_that_keeps_its_bytes
            dedup::a_late_original_is_named_by_all_that_came_before_it
            dedup::a_batch_that_brings_nothing_new_needs_no_job
            dedup::the_generations_of_exactly_the_touched_hours_rise
            dedup::a_recreated_stream_is_another_source
            states::every_state_and_mask_moves_as_the_transition_table_says
            states::a_batch_completes_once_in_every_order_of_its_steps
            states::unfinished_batches_are_counted_by_state
            states::jobs_that_finish_at_once_complete_the_batch_once
            states::a_job_finished_twice_is_entered_and_recorded_once
            states::a_batch_is_triggered_once_with_the_receipts_of_its_jobs
            leases::a_claim_is_exclusive_until_it_runs_out
            leases::a_batch_that_needs_no_job_is_never_claimed
            leases::claims_at_once_never_share_a_batch
            leases::a_dead_job_fails_its_batch_until_it_is_redriven
            leases::a_replays_jobs_leave_the_batchs_masks_alone
            leases::a_job_of_a_batch_that_is_not_stored_is_never_entered
            leases::a_job_knows_whether_its_batch_is_stored
            leases::unfinished_jobs_are_claimed_once_and_recorded
            windows::an_older_generation_never_overwrites_a_newer_one
            windows::a_partial_made_with_other_rules_is_replaced
            windows::a_day_of_another_timeout_replaces_one_of_its_generation
            windows::jobs_read_at_what_generation_windows_were_computed
            windows::the_same_generation_is_written_again_only_by_newer_code
            windows::an_hours_part_for_a_day_that_was_left_never_comes_back
            records::a_record_is_written_once_for_each_version
            records::a_record_of_an_earlier_version_stays_readable
            records::records_of_a_batch_have_its_client_in_common
            records::a_superseded_reference_takes_its_records_with_it
            records::a_client_goes_with_the_last_record_of_its_batch
            records::a_swap_beside_a_job_leaves_no_record_of_what_it_lost
            windows::superseding_reports_the_day_left_and_raises_both_hours
            snapshots::a_batchs_job_reads_its_events_in_the_order_sent
            snapshots::overlapping_ranges_give_each_hour_and_event_once
            snapshots::a_snapshot_reads_the_events_that_its_plan_asks_for
            snapshots::an_hour_tells_where_it_changed_since_its_partial
            snapshots::a_snapshot_is_of_one_moment_while_others_write
            alerts::an_alert_is_raised_once_retracted_and_raised_again
            alerts::a_window_may_have_several_alerts
            alerts::an_older_evaluation_of_a_window_changes_no_alert
            alerts::a_rule_window_must_belong_to_a_finished_job
            alerts::what_a_replay_finds_is_stored_and_never_delivered
            alerts::a_revision_waits_in_the_outbox_until_it_is_published
            query_reads::every_submission_of_a_batch_id_is_listed_with_its_state
            query_reads::a_stored_batch_names_what_was_not_accepted_and_the_originals
            query_reads::a_resend_outside_the_window_is_answered_as_the_first
            query_reads::stored_is_only_what_the_message_itself_left
            query_reads::a_forgotten_batch_is_nobodys_answer
            query_reads::days_are_read_in_their_order_with_both_ends
            query_reads::alerts_are_listed_by_window_newest_first
            export::an_events_page_has_each_event_with_its_batch
            export::a_page_ends_by_rows_or_bytes_and_holds_one_row_at_least
            export::events_are_exported_by_their_local_days
            export::refused_events_are_exported_in_the_order_received
            export::days_and_alerts_are_exported_page_by_page
            listings::everyone_with_a_batch_is_known
            listings::the_newest_events_of_one_developer_come_first
            listings::an_alert_is_found_by_its_id
            attempts::attempts_and_guards_are_counted_by_message_and_consumer
            attempts::a_finished_messages_attempts_are_removed_and_no_others
            attempts::concurrent_guards_are_all_counted
            attempts::attempts_are_loaded_without_a_change
            attempts::a_recovery_after_failed_attempts_is_recorded_once
            attempts::a_dead_letter_is_recorded_once_with_all_its_context
            attempts::a_dead_letter_without_a_batch_is_recorded_at_its_own_place
            attempts::a_dead_letter_of_a_forgotten_developer_names_nobody
            dead_letters::a_decision_is_written_once_and_says_if_its_batch_is_stored
            dead_letters::a_message_never_stored_is_found_by_its_decision
            dead_letters::a_decision_about_a_forgotten_developer_keeps_its_skeleton
            history::a_batch_is_found_by_every_id_that_belongs_to_it
            history::a_batch_is_found_by_sequence_in_any_incarnation_and_by_alert
            history::the_audit_of_a_batch_is_read_in_the_order_of_its_steps
            history::a_dropped_resend_leaves_a_trace_with_its_own_correlation_id
            history::a_dropped_resend_of_a_forgotten_batch_names_nobody
            identity::a_store_keeps_the_id_that_it_made_once
            identity::gaps_are_found_between_the_bounds
            identity::a_sequence_is_explained_by_its_batch_or_a_drop
            identity::an_adoption_is_in_the_audit_of_the_stream
            monitoring::batches_are_overdue_until_they_are_completed
            quarantine::quarantined_batches_are_paged_by_key_and_narrowed
            quarantine::a_quarantined_event_is_read_whole_with_its_ids_owner
            quarantine::the_same_event_again_is_told_from_the_first
            quarantine::what_was_forgotten_is_in_no_quarantine
            quarantine::a_readmitted_batch_names_its_origin_in_the_audit
            retention::a_batch_is_finished_once_nothing_waits_for_it
            retention::what_is_stored_of_an_incarnation_is_found_and_counted
            retention::an_account_has_the_batchs_status_steps_and_verified_bytes
        ] }
    };
    ($name:ident, $engine:ty, [$($module:ident::$case:ident)*]) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    crate::$module::$case::<$engine>().await;
                }
            )*

            #[test]
            fn the_order_of_arrival_never_changes_what_is_stored() {
                crate::order::the_order_of_arrival_never_changes_what_is_stored::<$engine>();
            }

            #[test]
            fn pages_of_any_size_give_each_event_once_in_order() {
                crate::export::pages_of_any_size_give_each_event_once_in_order::<$engine>();
            }

            #[test]
            fn swaps_and_jobs_in_any_order_leave_what_a_recompute_gives() {
                crate::records::swaps_and_jobs_in_any_order_leave_what_a_recompute_gives::<$engine>();
            }
        }
    };
}

contract!(sqlite_engine, crate::sqlite::SqliteEngine);
contract!(postgres_engine, crate::postgres::PostgresEngine);
