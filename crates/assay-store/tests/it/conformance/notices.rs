//! Notices of ended jobs: the outbox, the hooks they go to, and the secrets that sign them.

use assay_core::{
    Clock as _, Code, Delivery, DeliveryFilter, DeliveryId, DeliveryOutcome, DeliveryState, DeliveryTry, Destination,
    EventId, EventKind, Hook, HookFormat, HookId, JobId, LOGGED_TRIES, Notice, PageRequest, SigningSecret, State,
    Target, UserName,
};

use crate::support::{Scene, canceled, failed, refused, succeeded};

const MINUTE: i64 = 60_000;

fn target() -> Target {
    Target::Webhook {
        url: "https://example.org/told".to_owned(),
        format: HookFormat::Standard,
        secret: None,
    }
}

fn hook(scene: &Scene) -> Hook {
    Hook {
        id: HookId::generate(scene.clock.now()),
        owner: UserName::local(),
        url: "https://example.org/hook".to_owned(),
        format: HookFormat::Slack,
        secrets: vec![SigningSecret::generate().unwrap()],
        states: vec![State::Succeeded, State::Failed, State::Canceled],
        analysis: None,
        description: "for the team".to_owned(),
        disabled: None,
        created_at: scene.clock.now(),
    }
}

async fn hooked(scene: &Scene, change: impl FnOnce(&mut Hook)) -> Hook {
    let mut hook = hook(scene);
    change(&mut hook);
    put(scene, hook.clone()).await;
    hook
}

/// Stores a hook in place of what there is now.
async fn put(scene: &Scene, hook: Hook) {
    let seen = scene.hooks().get(&hook.id).await.ok();
    assert!(scene.hooks().put(hook, seen.as_ref()).await.unwrap());
}

/// Ends a job that nobody but `target` is told of beside the hooks.
async fn ended(scene: &Scene) -> JobId {
    let id = scene.submit_as(|job| job.notify = vec![target()]).await;
    end(scene, id).await
}

async fn end(scene: &Scene, id: JobId) -> JobId {
    let lease = scene.claim_one().await;
    assert_eq!(lease.job, id);
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    id
}

async fn take(scene: &Scene) -> Vec<Delivery> {
    scene.outbox().take_due(100).await.unwrap()
}

async fn take_one(scene: &Scene) -> Delivery {
    let mut taken = take(scene).await;
    assert_eq!(taken.len(), 1, "one should be due: {taken:?}");
    taken.remove(0)
}

async fn settle(scene: &Scene, id: DeliveryId, outcome: DeliveryOutcome) -> Delivery {
    let log = DeliveryTry {
        at: scene.clock.now(),
        duration_ms: 7,
        status: Some(500),
        error: Some("the receiver answered 500".to_owned()),
    };
    scene.outbox().settle(id, outcome, Some(log)).await.unwrap();
    scene.outbox().get(id).await.unwrap()
}

const FAILED: DeliveryOutcome = DeliveryOutcome::Failed { not_before: None };

pub async fn a_notice_is_stored_in_the_step_that_ends_the_job(mut scene: Scene) {
    hooked(&scene, |_| {}).await;
    let id = scene.submit_as(|job| job.notify = vec![target(), target()]).await;
    let lease = scene.claim_one().await;
    assert!(take(&scene).await.is_empty());
    scene.jobs().finish(&lease, succeeded()).await.unwrap();
    scene.reopen();
    let events = scene.events().list(EventId(0), Some(&id), 10).await.unwrap();
    let last = events.last().unwrap();
    assert!(last.kind.is_last());
    let taken = take(&scene).await;
    assert_eq!(taken.len(), 3);
    for delivery in &taken {
        let told = Notice::Ended {
            event: last.id,
            job: id.clone(),
        };
        assert_eq!(delivery.notice, told);
        assert_eq!(delivery.message_id(), format!("evt_{}", last.id));
        assert_eq!((delivery.state, delivery.tries), (DeliveryState::Waiting, 0));
        assert_eq!(delivery.next_at, Some(scene.clock.now()));
    }
    assert_eq!(taken[1].destination, Destination::Target(target()));
}

pub async fn every_end_is_told_and_nothing_else(scene: Scene) {
    let with_target = |job: &mut assay_core::JobSpec| job.notify = vec![target()];
    let waiting = scene.submit_as(with_target).await;
    scene.jobs().cancel(&waiting).await.unwrap();
    for outcome in [succeeded(), failed(Code::UnknownColumn), canceled()] {
        scene.submit_as(with_target).await;
        let lease = scene.claim_one().await;
        scene.jobs().finish(&lease, outcome).await.unwrap();
    }
    assert_eq!(take(&scene).await.len(), 4);
    // Released, failed with attempts left, and without anybody to be told.
    scene.submit_as(with_target).await;
    let lease = scene.claim_one().await;
    scene.jobs().release(&lease).await.unwrap();
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::EngineCrashed)).await.unwrap();
    let id = scene.submit().await;
    end(&scene, id).await;
    assert!(take(&scene).await.is_empty());
}

pub async fn a_notice_wakes_who_waits_for_it(scene: Scene) {
    let mut due = scene.outbox().due();
    due.mark_unchanged();
    assert_eq!(scene.outbox().next_due().await.unwrap(), None);
    ended(&scene).await;
    due.changed().await.unwrap();
    assert_eq!(scene.outbox().next_due().await.unwrap(), Some(scene.clock.now()));
    due.mark_unchanged();
    let delivery = take_one(&scene).await;
    let later = scene.clock.now().plus_millis(60_000);
    assert_eq!(scene.outbox().next_due().await.unwrap(), Some(later));
    settle(&scene, delivery.id, FAILED).await;
    due.changed().await.unwrap();
}

pub async fn a_taken_delivery_is_due_again_after_a_minute(scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    scene.advance(MINUTE - 1);
    assert!(take(&scene).await.is_empty());
    scene.advance(1);
    assert_eq!(take_one(&scene).await, delivery);
}

pub async fn a_taken_delivery_is_due_again_when_the_store_is_opened_again(mut scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    scene.reopen();
    if !scene.loses_at_once() {
        // Whoever took it may live in another process.
        assert!(take(&scene).await.is_empty());
        scene.advance(MINUTE);
    }
    assert_eq!(take_one(&scene).await, delivery);
}

pub async fn what_has_arrived_is_not_due_again(mut scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    let settled = settle(&scene, delivery.id, DeliveryOutcome::Delivered).await;
    assert_eq!(
        (settled.state, settled.next_at, settled.tries, settled.log.len()),
        (DeliveryState::Delivered, None, 1, 1)
    );
    scene.advance(MINUTE);
    scene.reopen();
    assert!(take(&scene).await.is_empty());
    assert_eq!(scene.outbox().next_due().await.unwrap(), None);
}

pub async fn settling_twice_changes_nothing(scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    let first = settle(&scene, delivery.id, FAILED).await;
    assert_eq!(settle(&scene, delivery.id, FAILED).await, first);
    assert_eq!(settle(&scene, delivery.id, DeliveryOutcome::Delivered).await, first);
}

pub async fn tries_follow_the_schedule_and_then_end(scene: Scene) {
    ended(&scene).await;
    let pauses = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    for seconds in pauses {
        let delivery = take_one(&scene).await;
        let settled = settle(&scene, delivery.id, FAILED).await;
        assert_eq!(
            (settled.state, settled.tries),
            (DeliveryState::Waiting, delivery.tries + 1)
        );
        let pause = settled.next_at.unwrap().0 - scene.clock.now().0;
        let least = seconds * 1_000;
        assert!((least..=least + least / 5).contains(&pause), "{pause} of {least}");
        scene.advance(pause - 1);
        assert!(take(&scene).await.is_empty());
        scene.advance(1);
    }
    let delivery = take_one(&scene).await;
    let settled = settle(&scene, delivery.id, FAILED).await;
    assert_eq!((settled.state, settled.next_at), (DeliveryState::Failed, None));
    assert_eq!((settled.tries, settled.log.len()), (10, 10));
}

pub async fn a_receiver_may_ask_for_a_longer_pause(scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    let at = scene.clock.now().plus_millis(90_000);
    let not_before = Some(at);
    let settled = settle(&scene, delivery.id, DeliveryOutcome::Failed { not_before }).await;
    assert_eq!(settled.next_at, Some(at));
}

pub async fn a_deferred_delivery_costs_no_try(scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    let until = scene.clock.now().plus_millis(30_000);
    let outcome = DeliveryOutcome::Deferred { until };
    scene.outbox().settle(delivery.id, outcome, None).await.unwrap();
    scene.advance(29_999);
    assert!(take(&scene).await.is_empty());
    scene.advance(1);
    let again = take_one(&scene).await;
    assert_eq!((again.tries, again.log.len()), (0, 0));
}

pub async fn the_log_keeps_the_newest_tries(scene: Scene) {
    ended(&scene).await;
    let delivery = take_one(&scene).await;
    for _ in 0..25 {
        settle(&scene, delivery.id, FAILED).await;
        scene.outbox().redeliver(delivery.id).await.unwrap();
        scene.advance(1);
        take_one(&scene).await;
    }
    let kept = scene.outbox().get(delivery.id).await.unwrap().log;
    assert_eq!(kept.len(), LOGGED_TRIES);
    assert_eq!(kept.last().unwrap().at.0, scene.clock.now().0 - 1);
    assert!(kept.is_sorted_by_key(|entry| entry.at));
}

pub async fn a_receiver_that_is_gone_disables_its_hook(scene: Scene) {
    let gone = hooked(&scene, |_| {}).await;
    for _ in 0..2 {
        let id = scene.submit().await;
        end(&scene, id).await;
    }
    let taken = take(&scene).await;
    let disable = Some("the receiver answered 410".to_owned());
    let outcome = DeliveryOutcome::Refused {
        disable: disable.clone(),
    };
    let settled = settle(&scene, taken[0].id, outcome).await;
    assert_eq!((settled.state, settled.tries), (DeliveryState::Failed, 1));
    assert_eq!(scene.hooks().get(&gone.id).await.unwrap().disabled, disable);
    let other = settle(&scene, taken[1].id, FAILED).await;
    assert_eq!((other.state, other.next_at), (DeliveryState::Failed, None));
    let id = scene.submit().await;
    end(&scene, id).await;
    assert!(take(&scene).await.is_empty());
    assert_eq!(refused(scene.outbox().redeliver(taken[0].id).await), Code::Conflict);
}

pub async fn redelivery_keeps_the_event(scene: Scene) {
    ended(&scene).await;
    let first = take_one(&scene).await;
    settle(&scene, first.id, DeliveryOutcome::Delivered).await;
    let again = scene.outbox().redeliver(first.id).await.unwrap();
    assert_eq!((again.id, &again.notice), (first.id, &first.notice));
    assert_eq!((again.state, again.tries), (DeliveryState::Waiting, 0));
    let second = take_one(&scene).await;
    assert_eq!(second.message_id(), first.message_id());
    // One that was taken and is wanted again at once.
    scene.outbox().redeliver(first.id).await.unwrap();
    take_one(&scene).await;
    let unknown = DeliveryId(9_999);
    assert_eq!(refused(scene.outbox().redeliver(unknown).await), Code::UnknownDelivery);
    assert_eq!(refused(scene.outbox().get(unknown).await), Code::UnknownDelivery);
}

pub async fn a_hook_hears_only_what_it_wants(scene: Scene) {
    let anna: UserName = "anna".parse().unwrap();
    let of_anna = anna.clone();
    hooked(&scene, |hook| hook.owner = of_anna).await;
    hooked(&scene, |hook| hook.states = vec![State::Failed]).await;
    hooked(&scene, |hook| hook.analysis = Some("sql".to_owned())).await;
    let id = scene.submit().await;
    end(&scene, id).await;
    assert!(take(&scene).await.is_empty());
    let id = scene.submit_as(|job| job.owner = anna.clone()).await;
    end(&scene, id).await;
    let told = take_one(&scene).await;
    assert_eq!(told.owner, anna);
    scene.submit_as(|job| job.analysis = "sql".to_owned()).await;
    let lease = scene.claim_one().await;
    scene.jobs().finish(&lease, failed(Code::UnknownColumn)).await.unwrap();
    assert_eq!(take(&scene).await.len(), 2);
}

pub async fn a_disabled_hook_is_told_nothing(mut scene: Scene) {
    let mut hook = hooked(&scene, |_| {}).await;
    let id = scene.submit().await;
    end(&scene, id).await;
    hook.disabled = Some("not now".to_owned());
    put(&scene, hook.clone()).await;
    scene.reopen();
    let id = scene.submit().await;
    end(&scene, id).await;
    assert!(take(&scene).await.is_empty());
    hook.disabled = None;
    put(&scene, hook.clone()).await;
    let id = scene.submit().await;
    end(&scene, id.clone()).await;
    let told = take_one(&scene).await;
    assert!(matches!(told.notice, Notice::Ended { job, .. } if job == id));
}

pub async fn removing_a_hook_gives_up_its_deliveries(scene: Scene) {
    let hook = hooked(&scene, |_| {}).await;
    for _ in 0..2 {
        let id = scene.submit().await;
        end(&scene, id).await;
    }
    let taken = scene.outbox().take_due(1).await.unwrap().remove(0);
    scene.hooks().remove(&hook.id).await.unwrap();
    assert_eq!(refused(scene.hooks().get(&hook.id).await), Code::UnknownHook);
    assert_eq!(refused(scene.hooks().remove(&hook.id).await), Code::UnknownHook);
    let late = settle(&scene, taken.id, FAILED).await;
    assert_eq!((late.state, late.next_at), (DeliveryState::Failed, None));
    scene.advance(2 * MINUTE);
    assert!(take(&scene).await.is_empty());
    let filter = DeliveryFilter::default();
    let all = scene.outbox().deliveries(filter, page(None, 10)).await.unwrap();
    for delivery in all.items {
        assert_eq!(delivery.state, DeliveryState::Failed);
        let last = delivery.log.last().unwrap();
        assert_eq!(last.error.as_deref(), Some("the hook was removed"));
    }
    assert_eq!(refused(scene.outbox().redeliver(taken.id).await), Code::Conflict);
}

pub async fn a_hook_is_tested_by_a_notice_of_its_own(scene: Scene) {
    let mut hook = hooked(&scene, |hook| hook.states = vec![State::Failed]).await;
    let made = scene.outbox().ping(&hook.id).await.unwrap();
    let taken = take_one(&scene).await;
    assert_eq!(taken, made);
    assert_eq!(taken.notice, Notice::Ping);
    assert_eq!(taken.message_id(), format!("ping_{}", taken.id));
    hook.disabled = Some("not now".to_owned());
    put(&scene, hook.clone()).await;
    assert_eq!(refused(scene.outbox().ping(&hook.id).await), Code::Conflict);
    let unknown = HookId::generate(scene.clock.now());
    assert_eq!(refused(scene.outbox().ping(&unknown).await), Code::UnknownHook);
}

pub async fn hooks_are_kept_and_counted(mut scene: Scene) {
    let mut first = hooked(&scene, |_| {}).await;
    first.description = "for everybody".to_owned();
    scene.advance(1);
    put(&scene, first.clone()).await;
    let anna: UserName = "anna".parse().unwrap();
    let second = hooked(&scene, |hook| hook.owner = anna.clone()).await;
    scene.reopen();
    assert_eq!(scene.hooks().get(&first.id).await.unwrap(), first);
    assert_eq!(scene.hooks().list(None).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(scene.hooks().list(Some(&anna)).await.unwrap(), [second]);
    for _ in 1..100 {
        hooked(&scene, |_| {}).await;
    }
    assert_eq!(refused(scene.hooks().put(hook(&scene), None).await), Code::Conflict);
    put(&scene, first).await;
}

pub async fn a_change_of_a_hook_that_is_another_by_now_is_not_made(scene: Scene) {
    let seen = hooked(&scene, |_| {}).await;
    let described = Hook {
        description: "for everybody".to_owned(),
        ..seen.clone()
    };
    let narrowed = Hook {
        states: vec![State::Failed],
        ..seen.clone()
    };
    assert!(scene.hooks().put(described.clone(), Some(&seen)).await.unwrap());
    assert!(!scene.hooks().put(narrowed.clone(), Some(&seen)).await.unwrap());
    assert!(!scene.hooks().put(narrowed.clone(), None).await.unwrap());
    assert_eq!(scene.hooks().get(&seen.id).await.unwrap(), described);
    scene.hooks().remove(&seen.id).await.unwrap();
    assert!(!scene.hooks().put(narrowed, Some(&described)).await.unwrap());
}

fn page(after: Option<String>, limit: usize) -> PageRequest {
    PageRequest { after, limit }
}

pub async fn deliveries_are_listed_newest_first_in_pages(scene: Scene) {
    let hook = hooked(&scene, |_| {}).await;
    let first = ended(&scene).await;
    ended(&scene).await;
    let of = async |filter: DeliveryFilter| {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let listed = scene.outbox().deliveries(filter.clone(), page(after, 1)).await.unwrap();
            found.extend(listed.items);
            after = listed.next;
            if after.is_none() {
                return found;
            }
        }
    };
    let all = of(DeliveryFilter::default()).await;
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted_by(|a, b| a.id > b.id));
    let job = DeliveryFilter {
        job: Some(first),
        ..DeliveryFilter::default()
    };
    assert_eq!(of(job).await, all[2..]);
    let hooked = DeliveryFilter {
        hook: Some(hook.id.clone()),
        ..DeliveryFilter::default()
    };
    assert!(
        of(hooked)
            .await
            .iter()
            .all(|found| found.destination == Destination::Hook(hook.id.clone()))
    );
    let foreign = DeliveryFilter {
        owner: Some("anna".parse().unwrap()),
        hook: Some(hook.id),
        ..DeliveryFilter::default()
    };
    assert!(of(foreign).await.is_empty());
    let odd = page(Some("x".to_owned()), 1);
    let refusal = scene.outbox().deliveries(DeliveryFilter::default(), odd).await;
    assert_eq!(refused(refusal), Code::CursorInvalid);
}

pub async fn secrets_rotate_and_two_are_kept(mut scene: Scene) {
    let secrets: Vec<SigningSecret> = (0..4).map(|_| SigningSecret::generate().unwrap()).collect();
    let anna: UserName = "anna".parse().unwrap();
    let first = scene.hooks().signing_secrets(&anna, &secrets[0]).await.unwrap();
    assert_eq!(first, secrets[..1]);
    // There is one already.
    assert_eq!(scene.hooks().signing_secrets(&anna, &secrets[3]).await.unwrap(), first);
    let two = scene.hooks().rotate_secret(&anna, &secrets[1]).await.unwrap();
    assert_eq!(two, [secrets[1].clone(), secrets[0].clone()]);
    let two = scene.hooks().rotate_secret(&anna, &secrets[2]).await.unwrap();
    assert_eq!(two, [secrets[2].clone(), secrets[1].clone()]);
    scene.reopen();
    assert_eq!(scene.hooks().signing_secrets(&anna, &secrets[3]).await.unwrap(), two);
    let other = scene
        .hooks()
        .rotate_secret(&UserName::local(), &secrets[3])
        .await
        .unwrap();
    assert_eq!(other, secrets[3..]);
}

pub async fn notices_are_forgotten_after_a_month(scene: Scene) {
    ended(&scene).await;
    let arrived = take_one(&scene).await.id;
    settle(&scene, arrived, DeliveryOutcome::Delivered).await;
    ended(&scene).await;
    let waits = take_one(&scene).await.id;
    scene.advance(30 * 24 * 60 * MINUTE - 1);
    scene.submit().await;
    assert!(scene.outbox().get(arrived).await.is_ok());
    scene.advance(1);
    scene.submit().await;
    assert_eq!(refused(scene.outbox().get(arrived).await), Code::UnknownDelivery);
    assert!(scene.outbox().get(waits).await.is_ok());
    let state = |kind: &EventKind| matches!(kind, EventKind::State { .. });
    let events = scene.events().list(EventId(0), None, 100).await.unwrap();
    assert!(events.iter().all(|event| state(&event.kind)));
}
