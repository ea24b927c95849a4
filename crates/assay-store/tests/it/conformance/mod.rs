//! The promises of the ports, one case each, for every store. A store joins by one line: `conformance!(name, harness)`.
//!
//! A case knows the ports only. What is particular to one store is tested elsewhere.

pub mod catalog;
pub mod changes;
pub mod claims;
pub mod ends;
pub mod events;
pub mod history;
pub mod leases;
pub mod lists;
pub mod notices;
pub mod records;
pub mod restarts;
pub mod retention;
pub mod schedules;
pub mod shares;
pub mod sharing;
pub mod submissions;
pub mod versions;
pub mod waiting;

/// Expands every case for a store, or those of the areas that are named; `$harness` makes an empty one.
#[macro_export]
macro_rules! conformance {
    ($store:ident, $harness:expr) => {
        $crate::conformance!(
            $store,
            $harness,
            [submissions, claims, ends, leases, events, lists, catalog, records, versions, shares, waiting, sharing, retention, changes, notices, history, restarts, schedules]
        );
    };
    ($store:ident, $harness:expr, [$($area:ident),+ $(,)?]) => {
        mod $store {
            use super::*;
            $($crate::conformance!(@$area $harness);)+
        }
    };
    (@submissions $harness:expr) => {
        $crate::conformance!(
            @area $harness, submissions:
            a_submitted_job_is_read_back_as_it_was_given,
            an_id_is_taken_once,
            the_same_key_and_request_answer_the_same_job,
            a_replayed_job_is_shown_as_it_is_now,
            the_job_of_a_key_is_found_without_a_submission,
            the_same_key_with_another_request_is_refused,
            fifty_at_once_with_one_key_make_one_job,
            a_key_is_forgotten_after_a_day,
            a_full_queue_refuses_submissions_and_nothing_else,
            a_submission_wakes_who_waits_for_it,
        );
    };
    (@claims $harness:expr) => {
        $crate::conformance!(
            @area $harness, claims:
            jobs_are_claimed_by_priority_then_age,
            a_claim_begins_an_attempt,
            an_empty_queue_gives_nothing,
            a_claim_may_be_for_some_analyses_only,
            a_paused_analysis_is_not_given_to_who_asks_for_it,
            a_job_that_is_changed_or_canceled_is_changed_for_all,
            no_job_is_given_to_two_of_eight_claimers,
            fences_grow_also_across_a_restart,
        );
    };
    (@ends $harness:expr) => {
        $crate::conformance!(
            @area $harness, ends:
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
    };
    (@leases $harness:expr) => {
        $crate::conformance!(
            @area $harness, leases:
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
    };
    (@events $harness:expr) => {
        $crate::conformance!(
            @area $harness, events:
            every_change_of_state_is_told_in_order,
            the_last_event_of_a_job_is_its_state,
            progress_is_told_at_most_once_a_second_or_when_its_stage_changes,
            the_newest_progress_is_read_and_never_goes_back,
            a_listener_hears_of_what_is_stored_already,
            the_log_is_read_from_any_place,
            refused_writes_are_not_told,
        );
    };
    (@lists $harness:expr) => {
        $crate::conformance!(
            @area $harness, lists:
            jobs_are_listed_newest_first_in_pages,
            pages_stay_as_they_are_while_jobs_come_in,
            lists_filter_by_state_analysis_and_dataset,
            lists_leave_the_rows_of_results_out,
        );
    };
    (@catalog $harness:expr) => {
        $crate::conformance!(
            @area $harness, catalog:
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
    };
    (@records $harness:expr) => {
        $crate::conformance!(
            @area $harness, records:
            a_record_is_read_as_it_was_written,
            a_condition_decides_whether_a_write_happens,
            of_two_writers_with_one_condition_one_is_refused,
            a_batch_is_one_version_and_its_writes_follow_each_other,
            a_record_of_a_part_is_replaced_and_deleted,
            a_record_is_found_as_the_last_write_left_it,
            compaction_changes_nothing_that_a_reader_sees,
            what_is_written_during_compaction_stays,
            compaction_of_what_is_gone_does_nothing,
            small_parts_become_few,
            few_small_parts_of_a_data_set_that_is_left_alone_become_one,
            hot_records_of_a_data_set_that_is_left_alone_become_a_part,
            an_upsert_takes_the_place_of_what_has_its_keys,
            an_append_of_a_known_key_is_refused,
            records_without_a_key_are_added_only,
            an_unknown_data_set_takes_no_records,
        );
    };
    (@versions $harness:expr) => {
        $crate::conformance!(
            @area $harness, versions:
            a_version_stays_what_it_was,
            every_write_tells_who_and_what,
            a_restored_version_has_its_records,
            a_point_in_time_is_a_version,
            changes_are_told_in_order,
            old_versions_go_with_what_only_they_held,
            a_version_that_a_job_reads_stays,
            a_data_set_made_anew_goes_on_counting,
            a_data_set_is_made_once,
            what_a_load_puts_aside_is_kept_as_long_as_its_version,
            other_rules_are_a_version_and_hold_for_what_follows,
            the_source_of_a_linked_data_set_is_kept_until_it_is_taken_away,
            a_load_that_was_checked_with_other_rules_is_refused,
        );
    };
    (@shares $harness:expr) => {
        $crate::conformance!(
            @area $harness, shares:
            a_newcomer_does_not_wait_behind_a_backlog,
            claims_follow_the_weights_exactly,
            work_is_charged_as_it_was_measured,
            who_was_not_in_line_has_no_turns_of_that_time,
            a_run_that_goes_over_is_charged_to_who_has_it,
            a_priority_counts_among_the_jobs_of_its_owner,
            no_more_jobs_of_a_user_run_than_allowed,
            a_user_who_waits_with_too_many_jobs_is_refused_and_others_are_not,
            limits_are_kept_over_a_restart_and_can_be_taken_back,
            a_paused_analysis_is_not_claimed_and_others_are,
            a_general_pause_stops_all_claims_and_lets_running_jobs_end,
        );
    };
    (@waiting $harness:expr) => {
        $crate::conformance!(
            @area $harness, waiting:
            a_job_runs_no_sooner_than_it_should,
            a_time_in_the_past_is_now,
            a_scheduled_job_can_be_run_at_once,
            a_job_waits_until_all_it_depends_on_have_succeeded,
            what_depends_on_ended_jobs_only_is_queued,
            what_depends_on_a_failed_job_fails_with_all_that_depends_on_it,
            what_depends_on_a_canceled_job_fails,
            very_many_that_wait_for_a_failed_job_end_a_part_at_a_time,
            a_canceled_job_is_removed_when_those_who_wait_were_canceled_too,
            nothing_can_depend_on_what_is_not_there_or_has_failed,
            so_many_jobs_and_no_more_wait_for_one,
            a_waiting_child_can_be_canceled,
            one_unfinished_job_has_a_unique_key,
            a_waiting_job_fails_at_its_deadline,
            a_running_job_fails_at_its_deadline_though_its_worker_is_deaf,
            an_attempt_ends_after_its_time_though_its_worker_is_deaf,
            a_canceled_job_ends_though_its_worker_is_deaf,
            a_job_that_no_worker_takes_says_so,
            a_queued_job_knows_its_place_and_what_it_waits_for,
            figures_tell_what_there_is,
            a_worker_that_leaves_is_forgotten_at_once_and_known_again_by_a_claim,
        );
    };
    (@sharing $harness:expr) => {
        $crate::conformance!(
            @area $harness, sharing:
            identical_jobs_in_flight_share_one_run,
            a_failed_run_fails_all_who_share_it,
            a_run_that_was_too_slow_goes_on_for_who_has_more_time,
            a_run_that_is_tried_again_keeps_its_followers,
            a_run_that_very_many_share_is_shared_by_no_more,
            canceling_a_waiting_leader_takes_only_the_asker_off,
            canceling_a_running_leader_lets_the_run_go_on_for_the_others,
            when_all_who_share_a_run_cancel_it_is_stopped,
            an_heir_is_lost_with_its_worker_and_runs_again,
            a_follower_can_leave,
            a_finished_run_answers_at_once,
            a_failed_run_answers_nobody,
            canceling_a_running_leader_ends_what_depends_on_it_in_two_ways,
            an_heir_that_gives_the_run_more_time_runs_anew,
            all_who_share_a_run_and_a_deadline_end_without_taking_the_lead,
            a_newcomer_does_not_wait_behind_the_backlog_of_an_identical_job,
            an_urgent_job_does_not_wait_behind_an_identical_one,
            a_run_without_attempts_left_goes_on_for_who_allows_more,
            a_run_that_was_lost_for_good_goes_on_for_who_allows_more,
        );
    };
    (@retention $harness:expr) => {
        $crate::conformance!(
            @area $harness, retention:
            an_answer_goes_after_its_time_and_its_job_stays,
            a_record_goes_after_thirty_days_with_all_that_belongs_to_it,
            ids_of_events_are_not_given_again_when_all_records_are_gone,
            ids_of_deliveries_are_not_given_again_when_all_records_are_gone,
            an_object_goes_with_the_last_job_that_has_it,
            the_oldest_answers_go_when_all_together_are_too_large,
        );
    };
    (@changes $harness:expr) => {
        $crate::conformance!(
            @area $harness, changes:
            a_waiting_job_moves_in_line_with_its_priority,
            a_change_is_a_revision_and_an_event_and_survives_a_restart,
            a_change_that_changes_nothing_is_none,
            a_change_is_made_only_of_a_revision_that_is_known,
            a_job_that_has_ended_is_not_changed,
            a_deadline_that_leaves_no_time_and_too_many_tags_are_refused,
            a_changed_deadline_is_the_one_that_counts,
            a_job_is_found_by_its_new_tags_only,
            a_paused_job_has_its_new_priority_when_it_goes_on,
            who_follows_takes_the_run_over_when_it_becomes_more_urgent,
            who_is_put_off_leaves_the_run_to_who_follows,
            a_run_that_has_begun_stays_with_its_job,
            a_job_of_another_user_takes_a_run_over_by_its_turn,
            a_removed_job_is_gone_with_all_that_belongs_to_it,
            an_unfinished_job_is_not_removed,
            the_object_of_a_shared_answer_goes_with_the_last_job_that_has_it,
            a_removed_answer_answers_nobody,
            the_key_of_a_removed_job_is_free,
            notices_of_a_removed_job_are_settled_as_if_they_were_there,
            jobs_that_name_a_removed_one_go_on_without_it,
        );
    };
    (@notices $harness:expr) => {
        $crate::conformance!(
            @area $harness, notices:
            a_notice_is_stored_in_the_step_that_ends_the_job,
            every_end_is_told_and_nothing_else,
            a_notice_wakes_who_waits_for_it,
            a_taken_delivery_is_due_again_after_a_minute,
            a_taken_delivery_is_due_again_when_the_store_is_opened_again,
            what_has_arrived_is_not_due_again,
            settling_twice_changes_nothing,
            tries_follow_the_schedule_and_then_end,
            a_receiver_may_ask_for_a_longer_pause,
            a_deferred_delivery_costs_no_try,
            the_log_keeps_the_newest_tries,
            a_receiver_that_is_gone_disables_its_hook,
            redelivery_keeps_the_event,
            a_hook_hears_only_what_it_wants,
            a_disabled_hook_is_told_nothing,
            removing_a_hook_gives_up_its_deliveries,
            a_hook_is_tested_by_a_notice_of_its_own,
            hooks_are_kept_and_counted,
            a_change_of_a_hook_that_is_another_by_now_is_not_made,
            deliveries_are_listed_newest_first_in_pages,
            secrets_rotate_and_two_are_kept,
            notices_are_forgotten_after_a_month,
        );
    };
    (@history $harness:expr) => {
        $crate::conformance!(
            @area $harness, history:
            a_job_is_told_from_submission_to_its_end,
            failures_and_progress_are_told,
            everybody_may_see_their_own_and_the_newest_come_first,
            several_tables_come_in_the_order_they_were_asked_for,
        );
    };
    (@restarts $harness:expr) => {
        $crate::conformance!(
            @area $harness, restarts:
            everything_is_there_after_a_restart,
            a_job_that_was_running_runs_again_by_itself,
            a_job_that_was_running_its_last_attempt_fails,
            a_job_that_should_have_stopped_is_canceled,
            retries_and_order_are_kept,
        );
    };
    (@schedules $harness:expr) => {
        $crate::conformance!(
            @area $harness, schedules:
            a_schedule_is_read_back_as_it_was_given,
            a_schedule_is_changed_by_who_has_seen_it,
            names_belong_to_their_owner,
            an_unknown_schedule_is_told_with_the_nearest_names,
            schedules_are_listed_by_owner_and_name,
            an_owner_has_at_most_a_thousand_schedules,
            what_is_due_and_not_paused_is_given_the_longest_due_first,
            firing_submits_the_job_and_moves_the_time,
            a_time_may_be_left_without_a_job,
            of_eight_who_fire_one_submits,
            firing_what_was_changed_or_removed_does_nothing,
            a_refused_submission_leaves_the_time_due,
            schedules_survive_a_restart,
            a_change_wakes_who_waits_for_the_next_time,
        );
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
