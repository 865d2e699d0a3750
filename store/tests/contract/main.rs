//! The contract of the store: what every engine must do, whatever it is made of.
//!
//! A case is an async function over any [`build::Engine`] and is named once, in `contract!`; a new
//! engine is one more line at the end.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod atomic;
mod build;
mod cases;
mod contest;
mod dump;
mod order;
mod sqlite;

/// Compiles every case for one engine.
macro_rules! contract {
    ($name:ident, $engine:ty) => {
        contract! { $name, $engine, [
            cases::a_batch_stored_twice_is_stored_once_and_reported_as_already_stored
            cases::what_an_event_is_stored_with_is_kept_exactly
            cases::a_batchs_events_read_in_ordinal_order_are_in_the_order_sent
            cases::refused_events_are_kept_whole
            cases::the_audit_has_every_step_and_every_hash_recomputes
            cases::a_forgotten_developers_message_keeps_only_its_skeleton
            cases::storing_writes_no_table_but_its_own
            atomic::concurrent_stores_of_the_same_batch_store_it_once
            atomic::a_batch_that_fails_leaves_nothing_of_its_group
            atomic::another_message_at_a_stored_place_is_never_called_stored
            atomic::a_reader_sees_whole_committed_groups_only
            contest::a_duplicate_names_its_original
            contest::the_lower_reference_holds_an_id_in_either_order_of_arrival
            contest::the_same_meaning_in_other_bytes_is_a_duplicate_that_keeps_its_bytes
            contest::a_late_original_is_named_by_all_that_came_before_it
            contest::a_batch_that_brings_nothing_new_needs_no_job
            contest::the_generations_of_exactly_the_touched_hours_rise
            contest::a_stream_made_anew_is_another_source
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
        }
    };
}

contract!(sqlite_engine, crate::sqlite::SqliteEngine);
