//! The promises of the ports, one case each, for every store. A store joins by one line: `conformance!(name, harness)`.
//!
//! A case knows the ports only. What is particular to one store is tested elsewhere.

pub mod catalog;
pub mod claims;
pub mod ends;
pub mod events;
pub mod history;
pub mod leases;
pub mod lists;
pub mod restarts;
pub mod submissions;

/// Expands every case for a store; `$harness` makes an empty one.
#[macro_export]
macro_rules! conformance {
    ($store:ident, $harness:expr) => {
        mod $store {
            use super::*;

            $crate::conformance!(@area $harness, submissions:
                a_submitted_job_is_read_back_as_it_was_given,
                an_id_is_taken_once,
                the_same_key_and_request_answer_the_same_job,
                a_replayed_job_is_shown_as_it_is_now,
                the_same_key_with_another_request_is_refused,
                fifty_at_once_with_one_key_make_one_job,
                a_key_is_forgotten_after_a_day,
                a_full_queue_refuses_submissions_and_nothing_else,
                a_submission_wakes_who_waits_for_it,
            );
            $crate::conformance!(@area $harness, claims:
                jobs_are_claimed_by_priority_then_age,
                a_claim_begins_an_attempt,
                an_empty_queue_gives_nothing,
                no_job_is_given_to_two_of_eight_claimers,
                fences_grow_also_across_a_restart,
            );
            $crate::conformance!(@area $harness, ends:
                a_success_is_stored_with_its_result,
                a_result_in_the_object_store_keeps_its_path,
                finishing_twice_is_refused,
                finishing_with_an_old_fence_changes_nothing,
                a_fault_of_the_request_is_not_tried_again,
                a_retryable_failure_comes_back_after_its_pause,
                the_last_attempt_fails_the_job,
                a_canceled_attempt_ends_the_job,
                a_waiting_job_is_canceled_at_once,
                a_scheduled_job_is_canceled_at_once,
                a_running_job_is_asked_to_stop,
                a_job_that_should_stop_and_fails_is_canceled,
                a_job_that_should_stop_and_succeeds_has_succeeded,
                canceling_twice_changes_nothing,
                what_has_ended_cannot_be_canceled,
                an_unknown_job_is_told_as_such,
            );
            $crate::conformance!(@area $harness, leases:
                beats_keep_a_lease,
                a_beat_after_the_lease_ran_out_is_lost,
                beats_are_answered_one_by_one_and_in_order,
                finish_after_lost_lease_is_refused,
                a_lost_job_is_queued_again_and_its_attempt_counts,
                a_job_whose_attempts_are_all_lost_fails,
                a_lost_job_that_should_stop_is_canceled,
                reaping_tells_when_there_is_more,
                reaping_twice_does_nothing_more,
                a_released_job_spends_no_attempt,
                a_released_job_keeps_its_place_in_line,
                a_released_job_that_should_stop_is_canceled,
                releasing_with_an_old_fence_is_refused,
                a_queued_retry_wakes_who_waits_for_it,
            );
            $crate::conformance!(@area $harness, events:
                every_change_of_state_is_told_in_order,
                the_last_event_of_a_job_is_its_state,
                progress_is_told_at_most_once_a_second_or_when_its_stage_changes,
                the_newest_progress_is_read_and_never_goes_back,
                a_listener_hears_of_what_is_stored_already,
                the_log_is_read_from_any_place,
                refused_writes_are_not_told,
            );
            $crate::conformance!(@area $harness, lists:
                jobs_are_listed_newest_first_in_pages,
                pages_stay_as_they_are_while_jobs_come_in,
                lists_filter_by_state_analysis_and_dataset,
                lists_leave_the_rows_of_results_out,
            );
            $crate::conformance!(@area $harness, catalog:
                a_version_is_visible_with_the_state_of_its_job,
                replacing_and_appending_make_the_next_version,
                former_versions_stay_readable,
                an_append_goes_onto_whatever_is_newest,
                a_commit_that_cannot_apply_fails_its_job,
                an_old_fence_commits_nothing,
                names_are_compared_without_regard_to_case,
                what_is_not_there_is_told_with_a_hint,
                data_sets_are_listed_by_name_in_pages,
                what_is_referred_to_is_known,
            );
            $crate::conformance!(@area $harness, history:
                a_job_is_told_from_submission_to_its_end,
                failures_and_progress_are_told,
                everybody_may_see_their_own_and_the_newest_come_first,
                several_tables_come_in_the_order_they_were_asked_for,
            );
            $crate::conformance!(@area $harness, restarts:
                everything_is_there_after_a_restart,
                a_job_that_was_running_runs_again_by_itself,
                a_job_that_was_running_its_last_attempt_fails,
                a_job_that_should_have_stopped_is_canceled,
                retries_and_order_are_kept,
            );
        }
    };
    (@area $harness:expr, $area:ident: $($case:ident,)+) => {
        mod $area {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    $crate::conformance::$area::$case($crate::support::Scene::new($harness)).await;
                }
            )+
        }
    };
}
