//! Whether the scheduler agrees with the rows and with itself.

use std::collections::HashMap;

use assay_core::{Finding, JobId, UserName};

use super::{Live, Place, Scheduler};

impl Scheduler {
    /// Breaches of the invariants between the scheduler as it is and as `fresh` rows would make it.
    pub(in super::super) fn findings(&self, fresh: &Scheduler) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (id, live) in &fresh.live {
            match self.live.get(id) {
                None => findings.push(finding("I1", id, "is unfinished and in no queue")),
                Some(known) if kind(&known.place) != kind(&live.place) => {
                    let (is, should) = (kind(&known.place), kind(&live.place));
                    findings.push(finding("I1", id, &format!("is filed as {is}, its row says {should}")));
                }
                Some(known) if known.ticket != live.ticket => {
                    findings.push(finding("I4", id, "has another rank or deadline than its row says"));
                }
                Some(known) => match (&known.place, &live.place) {
                    (Place::Running(held), Place::Running(row)) if held.fence != row.fence => {
                        findings.push(finding("I6", id, "is held under another fence than its newest attempt"));
                    }
                    (Place::Running(held), Place::Running(row)) if held.cancel_requested != row.cancel_requested => {
                        findings.push(finding("I11", id, "is asked to stop in one place and not in the other"));
                    }
                    (Place::Blocked(left), Place::Blocked(row)) if left != row => {
                        findings.push(finding("I1", id, "waits for another number of jobs than its rows say"));
                    }
                    (Place::Following(leader), Place::Following(row)) if leader != row => {
                        findings.push(finding("I1", id, "shares the run of another job than its row says"));
                    }
                    _ => {}
                },
            }
            if let Some(known) = self.live.get(id)
                && !self.is_filed(id, known)
            {
                findings.push(finding("I4", id, "is missing in the index of its state"));
            }
        }
        for id in self.live.keys().filter(|id| !fresh.live.contains_key(id)) {
            findings.push(finding("I1", id, "is in a queue although it has ended or is gone"));
        }
        // One for which nobody waits any more is forgotten at the next reaping.
        for (_, id) in fresh.ending.difference(&self.ending) {
            findings.push(finding(
                "I1",
                id,
                "has ended, and that others wait for it still is not known",
            ));
        }
        findings.extend(self.unfound(fresh));
        findings.extend(self.dangling());
        findings.extend(self.share_faults());
        findings
    }

    fn is_filed(&self, id: &JobId, live: &Live) -> bool {
        match &live.place {
            Place::Queued | Place::Blocked(_) => true,
            Place::Scheduled(at) => self.scheduled.contains(&(*at, id.clone())),
            Place::Following(leader) => {
                let followers = self.followers.get(leader);
                followers.is_some_and(|set| set.contains(&(live.ticket.rank, id.clone())))
            }
            Place::Running(held) => {
                self.leases.contains(&(held.until, id.clone())) && self.fences.get(&held.fence) == Some(id)
            }
        }
    }

    /// Jobs that lead a shared run here and not there.
    fn unfound(&self, fresh: &Scheduler) -> Vec<Finding> {
        let is_lost = |(key, id): &(&String, &JobId)| self.in_flight.get(*key) != Some(*id);
        let is_wrong = |(key, _): &(&String, &JobId)| !fresh.in_flight.contains_key(*key);
        let lost = fresh.in_flight.iter().filter(is_lost);
        let wrong = self.in_flight.iter().filter(is_wrong);
        let message = "leads a shared run by its row or in memory, and not by the other";
        lost.chain(wrong).map(|(_, id)| finding("I4", id, message)).collect()
    }

    /// Entries of an index without their job.
    fn dangling(&self) -> Vec<Finding> {
        let timed = [&self.scheduled, &self.leases, &self.alarms];
        let timed = timed.into_iter().flatten().map(|(_, id)| id);
        let all = timed.chain(self.fences.values()).chain(self.in_flight.values());
        let gone = all.filter(|id| !self.live.contains_key(id));
        gone.map(|id| finding("I5", id, "is indexed although it has ended or is gone"))
            .collect()
    }

    fn share_faults(&self) -> Vec<Finding> {
        let (mut running, mut waiting) = (HashMap::<UserName, u64>::new(), HashMap::<UserName, u64>::new());
        for live in self.live.values() {
            let counted = match live.place {
                Place::Running(_) => &mut running,
                _ => &mut waiting,
            };
            *counted.entry(live.ticket.owner.clone()).or_default() += 1;
        }
        let mut faults = self.shares.faults(&running, &waiting);
        let counted = self.workers.running();
        if counted != self.leases.len() as u64 {
            let message = format!(
                "there are {} leases, counted for workers are {counted}",
                self.leases.len()
            );
            faults.push(("I12", message));
        }
        let finding = |(invariant, message): (&str, String)| Finding {
            invariant: invariant.to_owned(),
            job: None,
            message,
            fixed: false,
        };
        faults.into_iter().map(finding).collect()
    }
}

fn finding(invariant: &str, id: &JobId, message: &str) -> Finding {
    Finding {
        invariant: invariant.to_owned(),
        job: Some(id.clone()),
        message: format!("job `{id}` {message}"),
        fixed: false,
    }
}

fn kind(place: &Place) -> &'static str {
    match place {
        Place::Queued => "queued",
        Place::Scheduled(_) => "scheduled",
        Place::Blocked(_) => "blocked",
        Place::Following(_) => "sharing a run",
        Place::Running(_) => "running",
    }
}
