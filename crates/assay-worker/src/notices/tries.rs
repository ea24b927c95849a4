//! One try: from what was taken out of the outbox to what is noted there.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{
    Code, Delivery, DeliveryOutcome, DeliveryTry, HookFormat, Job, JobId, Notice, Result, ResultData, SigningSecret,
    Timestamp, WebhookUrl,
};
use futures::future::join_all;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::bodies::{self, Told};
use super::webhook::{self, NoReply, Parcel, Reply};
use super::{NoticePorts, NoticeSettings, email, letter, signature};

/// How long a receiver that could not be reached is left alone by everything that is meant for it.
const UNREACHABLE_PAUSE_MS: u64 = 5_000;
/// The longest that one receiver's wish for a pause holds up what else is meant for the same host.
const LONGEST_PAUSE_MS: u64 = 60_000;
const GONE: u16 = 410;

/// What every try works with.
pub(super) struct Shared {
    pub ports: NoticePorts,
    pub settings: NoticeSettings,
    pub tls: TlsConnector,
}

/// A webhook with all that its delivery needs.
pub(super) struct Route {
    pub url: WebhookUrl,
    pub format: HookFormat,
    pub secrets: Vec<SigningSecret>,
}

/// What became of a try, and until when its receiver is better left alone.
struct Verdict {
    outcome: DeliveryOutcome,
    status: Option<u16>,
    error: Option<String>,
    pause: Option<Timestamp>,
}

impl Verdict {
    fn given_up(error: &str) -> Self {
        Self {
            outcome: DeliveryOutcome::Refused { disable: None },
            status: None,
            error: Some(error.to_owned()),
            pause: None,
        }
    }

    fn failed(error: String) -> Self {
        Self {
            outcome: DeliveryOutcome::Failed { not_before: None },
            status: None,
            error: Some(error),
            pause: None,
        }
    }
}

/// Sends one webhook and settles its delivery. Returns until when the receiver is better left alone.
pub(super) async fn webhook(shared: Arc<Shared>, delivery: Delivery, route: Route) -> Option<Timestamp> {
    let begun = shared.ports.clock.now();
    let verdict = try_webhook(&shared, &delivery, &route).await;
    let pause = verdict.pause;
    settle(&shared, &[delivery], begun, verdict).await;
    pause
}

async fn try_webhook(shared: &Shared, delivery: &Delivery, route: &Route) -> Verdict {
    let job = match &delivery.notice {
        Notice::Ended { job, .. } => match find_job(shared, job).await {
            Ok(Some(job)) => Some(job),
            Ok(None) => return Verdict::given_up("the record of the job was removed"),
            Err(_) => return Verdict::failed("the job could not be read".to_owned()),
        },
        Notice::Ping => None,
    };
    let told = Told::new(delivery, job.as_ref(), shared.settings.public_url.as_deref());
    let body = bodies::of(&told, route.format);
    let (id, seconds) = (delivery.message_id(), shared.ports.clock.now().0.div_euclid(1_000));
    let signature = signature::of(&route.secrets, &id, seconds, &body.text);
    let parcel = Parcel {
        id,
        seconds,
        signature,
        body,
    };
    let clock = &*shared.ports.clock;
    let sent = webhook::send(&route.url, parcel, &shared.settings.reach, &shared.tls, clock);
    match timeout(shared.settings.timeout, sent).await {
        Ok(Ok(reply)) => of_reply(reply, clock.now()),
        Ok(Err(NoReply::AddressRefused)) => Verdict::given_up(&NoReply::AddressRefused.to_string()),
        Ok(Err(cause)) => unreachable(cause.to_string(), clock.now()),
        Err(_) => unreachable(out_of_time(shared.settings.timeout), clock.now()),
    }
}

fn out_of_time(limit: Duration) -> String {
    format!("no answer came within {} seconds", limit.as_secs())
}

fn unreachable(error: String, now: Timestamp) -> Verdict {
    Verdict {
        pause: Some(now.plus_millis(UNREACHABLE_PAUSE_MS)),
        ..Verdict::failed(error)
    }
}

/// Only 2xx is success. 410 says that nobody will listen any more; 429 and 503 that it is too much now.
fn of_reply(reply: Reply, now: Timestamp) -> Verdict {
    let Reply { status, retry_at } = reply;
    let error = format!("the receiver answered {status}");
    let (outcome, pause) = match status {
        200..=299 => (DeliveryOutcome::Delivered, None),
        GONE => (
            DeliveryOutcome::Refused {
                disable: Some(error.clone()),
            },
            None,
        ),
        429 | 502 | 503 | 504 => {
            let not_before = retry_at.filter(|_| matches!(status, 429 | 503));
            let pause = not_before.unwrap_or(now.plus_millis(UNREACHABLE_PAUSE_MS));
            let pause = pause.min(now.plus_millis(LONGEST_PAUSE_MS));
            (DeliveryOutcome::Failed { not_before }, Some(pause))
        }
        _ => (DeliveryOutcome::Failed { not_before: None }, None),
    };
    Verdict {
        error: (outcome != DeliveryOutcome::Delivered).then_some(error),
        outcome,
        status: Some(status),
        pause,
    }
}

/// Tells one address of all `deliveries` in one mail and settles them. Returns until when it gets no other.
pub(super) async fn mail(shared: Arc<Shared>, address: String, deliveries: Vec<Delivery>) -> Option<Timestamp> {
    let begun = shared.ports.clock.now();
    let mut told = Vec::new();
    let mut jobs = Vec::new();
    for delivery in deliveries {
        let Notice::Ended { job, .. } = &delivery.notice else {
            settle(
                &shared,
                &[delivery],
                begun,
                Verdict::given_up("a test is not sent by mail"),
            )
            .await;
            continue;
        };
        match find_job(&shared, job).await {
            Ok(Some(job)) => {
                jobs.push(slim(job, jobs.len()));
                told.push(delivery);
            }
            Ok(None) => {
                settle(
                    &shared,
                    &[delivery],
                    begun,
                    Verdict::given_up("the record of the job was removed"),
                )
                .await;
            }
            // It is due again in a minute.
            Err(error) => tracing::warn!(%error, delivery.id = %delivery.id, "could not read the job of a notice"),
        }
    }
    if told.is_empty() {
        return None;
    }
    let verdict = try_mail(&shared, &address, &told, &mut jobs).await;
    let pause = verdict.pause;
    settle(&shared, &told, begun, verdict).await;
    pause
}

/// A job without what a mail does not tell of it: hundreds of answers would fill the memory.
fn slim(mut job: Job, before: usize) -> Job {
    if let Some(result) = &mut job.result {
        result.data = ResultData::Inline(Vec::new());
        result.rows_json = result.rows_json.take().filter(|_| before < letter::MAX_CHARTS);
    }
    job
}

async fn try_mail(shared: &Shared, address: &str, told: &[Delivery], jobs: &mut Vec<Job>) -> Verdict {
    let Some(settings) = &shared.settings.mail else {
        return Verdict::given_up("this server has no mail server to send by; its keeper sets one with `--smtp-url`");
    };
    jobs.sort_by_key(|job| job.finished_at);
    // A job may have been told twice to one address.
    jobs.dedup_by(|a, b| a.id == b.id);
    let letter = letter::about(jobs, shared.settings.public_url.as_deref());
    let first = told
        .first()
        .map(|delivery| format!("{}.{}", delivery.message_id(), delivery.id));
    let id = first.unwrap_or_default();
    let now = shared.ports.clock.now();
    let sent = email::send(settings, address, &id, now, letter);
    let not_sent = match timeout(shared.settings.timeout, sent).await {
        Ok(Ok(status)) => {
            let pause = u64::try_from(shared.settings.mail_pause.as_millis()).unwrap_or(u64::MAX);
            return Verdict {
                outcome: DeliveryOutcome::Delivered,
                status: Some(status),
                error: None,
                pause: Some(shared.ports.clock.now().plus_millis(pause)),
            };
        }
        Ok(Err(not_sent)) => not_sent,
        Err(_) => return Verdict::failed(out_of_time(shared.settings.timeout)),
    };
    let mut verdict = match not_sent.is_final {
        true => Verdict::given_up(&not_sent.reason),
        false => Verdict::failed(not_sent.reason),
    };
    verdict.status = not_sent.status;
    verdict
}

async fn find_job(shared: &Shared, id: &JobId) -> Result<Option<Job>> {
    match shared.ports.jobs.get(id).await {
        Ok((job, _)) => Ok(Some(job)),
        Err(error) if matches!(error.code, Code::UnknownJob | Code::JobExpired) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn settle(shared: &Shared, deliveries: &[Delivery], begun: Timestamp, verdict: Verdict) {
    let now = shared.ports.clock.now();
    let log = DeliveryTry {
        at: begun,
        duration_ms: now.millis_since(begun),
        status: verdict.status,
        error: verdict.error,
    };
    for delivery in deliveries {
        tracing::debug!(delivery.id = %delivery.id, status = log.status, error = log.error, "tried a notice");
    }
    let settled = deliveries.iter().map(|delivery| {
        shared
            .ports
            .outbox
            .settle(delivery.id, verdict.outcome.clone(), Some(log.clone()))
    });
    for (settled, delivery) in join_all(settled).await.into_iter().zip(deliveries) {
        if let Err(error) = settled {
            // It is due again in a minute, and will be sent under the same id.
            tracing::warn!(%error, delivery.id = %delivery.id, "could not note what became of a notice");
        }
    }
}

/// Puts deliveries off without a try.
pub(super) async fn defer(shared: &Shared, deliveries: Vec<(Delivery, Timestamp)>) {
    let settled = deliveries.into_iter().map(|(delivery, until)| {
        let outcome = DeliveryOutcome::Deferred { until };
        shared.ports.outbox.settle(delivery.id, outcome, None)
    });
    for settled in join_all(settled).await {
        if let Err(error) = settled {
            tracing::warn!(%error, "could not put off a notice");
        }
    }
}

/// Gives up what cannot be sent as it stands.
pub(super) async fn give_up(shared: &Shared, delivery: Delivery, error: &str) {
    let now = shared.ports.clock.now();
    settle(shared, &[delivery], now, Verdict::given_up(error)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_success_and_gone_is_gone() {
        let now = Timestamp(1_000_000);
        let verdict = |status| of_reply(Reply { status, retry_at: None }, now);
        for status in [200, 202, 204, 299] {
            assert_eq!(verdict(status).outcome, DeliveryOutcome::Delivered, "{status}");
        }
        for status in [100, 301, 302, 307, 400, 404, 500, 502] {
            let failed = DeliveryOutcome::Failed { not_before: None };
            assert_eq!(verdict(status).outcome, failed, "{status}");
        }
        let gone = verdict(410);
        let reason = "the receiver answered 410".to_owned();
        assert_eq!(gone.outcome, DeliveryOutcome::Refused { disable: Some(reason) });
    }

    #[test]
    fn receivers_that_ask_for_a_pause_get_it() {
        let now = Timestamp(1_000_000);
        let retry_at = Some(now.plus_millis(90_000));
        let paused = Some(now.plus_millis(60_000));
        for status in [429, 503] {
            let verdict = of_reply(Reply { status, retry_at }, now);
            assert_eq!(verdict.outcome, DeliveryOutcome::Failed { not_before: retry_at });
            assert_eq!(verdict.pause, paused);
        }
        let busy = of_reply(Reply { status: 502, retry_at }, now);
        assert_eq!(busy.outcome, DeliveryOutcome::Failed { not_before: None });
        assert_eq!(busy.pause, Some(now.plus_millis(5_000)));
    }
}
