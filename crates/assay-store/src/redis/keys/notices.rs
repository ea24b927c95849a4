//! The names of the keys of schedules, hooks, notices and upkeep.

use assay_core::{DeliveryId, HookId, JobId, Schedule, UserName};

use super::Keys;

impl Keys {
    /// HASH: the schedules of a user, name → JSON.
    pub(in crate::redis) fn schedules(&self, owner: &UserName) -> String {
        self.of("schedules", owner.as_str())
    }

    /// SET: the users who have schedules.
    pub(in crate::redis) fn schedule_owners(&self) -> String {
        self.named("schedule:owners")
    }

    /// ZSET: `<owner>/<name>` of the schedules that are not paused, by the milliseconds of their next time.
    pub(in crate::redis) fn due_schedules(&self) -> String {
        self.named("schedule:due")
    }

    /// What a schedule is called among those of all users.
    pub(in crate::redis) fn schedule(schedule: &Schedule) -> String {
        format!("{}/{}", schedule.owner, schedule.name)
    }

    /// HASH: the hooks of a user, id → JSON. It holds their secrets.
    pub(in crate::redis) fn hooks(&self, owner: &UserName) -> String {
        self.of("hooks", owner.as_str())
    }

    /// HASH: the owners of all hooks, id → name of the user.
    pub(in crate::redis) fn hook_owners(&self) -> String {
        self.named("hook:owners")
    }

    /// HASH: the secrets that sign what is sent without a hook, name of the user → JSON array, the newest first.
    pub(in crate::redis) fn signing_secrets(&self) -> String {
        self.named("signing:secrets")
    }

    /// HASH: one notice to one destination. `state` is `waiting`, `delivered` or `failed`; `v` counts its changes.
    pub(in crate::redis) fn delivery(&self, id: DeliveryId) -> String {
        self.of("delivery", &id.to_string())
    }

    /// STRING: the number of the newest delivery.
    pub(in crate::redis) fn delivery_number(&self) -> String {
        self.named("delivery:number")
    }

    /// ZSET of the numbers of all deliveries, by number.
    pub(in crate::redis) fn deliveries(&self) -> String {
        self.named("deliveries")
    }

    /// ZSET of the numbers of the deliveries to a user, by number.
    pub(in crate::redis) fn deliveries_of_user(&self, owner: &UserName) -> String {
        self.of("user:deliveries", owner.as_str())
    }

    /// ZSET of the numbers of the deliveries about a job, by number.
    pub(in crate::redis) fn deliveries_of_job(&self, job: &JobId) -> String {
        self.of("job:deliveries", job.as_str())
    }

    /// ZSET of the numbers of the deliveries to a hook, by number.
    pub(in crate::redis) fn deliveries_of_hook(&self, hook: &HookId) -> String {
        self.of("hook:deliveries", hook.as_str())
    }

    /// ZSET of the numbers of the deliveries that wait for a hook, by number.
    pub(in crate::redis) fn waiting_for_hook(&self, hook: &HookId) -> String {
        self.of("hook:waiting", hook.as_str())
    }

    /// ZSET of the numbers of the deliveries that wait, by the milliseconds when they may be taken.
    pub(in crate::redis) fn due_deliveries(&self) -> String {
        self.named("delivery:due")
    }

    /// ZSET of the numbers of the deliveries that wait for nothing, by the milliseconds when they were made.
    pub(in crate::redis) fn settled_deliveries(&self) -> String {
        self.named("delivery:settled")
    }

    /// STRING: the milliseconds from which on some process may look through all objects for leftovers again.
    pub(in crate::redis) fn next_leftovers(&self) -> String {
        self.named("leftovers:next")
    }
}
