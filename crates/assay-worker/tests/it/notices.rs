//! Notices from the end of a job to the receiver: a real store, real connections, and a clock that is moved by hand.

use std::sync::Arc;
use std::time::Duration;

use assay_core::{
    Clock as _, Code, Column, Delivery, DeliveryFilter, DeliveryState, Error, Hook, HookFormat, HookId, Hooks, JobId,
    JobSpec, Jobs as _, Kind, ManualClock, NewJob, Outbox as _, Outcome, PageRequest, Reach, ResultData, ResultSet,
    SigningSecret, State, StoredResult, Target, Timestamp, Usage, UserName, WorkerId,
};
use assay_store::{EmbeddedStore, StoreSettings};
use assay_worker::{Authorities, MailSettings, NoticePorts, NoticeSettings, deliver_until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::receivers::{Heard, HttpReceiver, MailServer};

struct Scene {
    store: EmbeddedStore,
    clock: Arc<ManualClock>,
    settings: NoticeSettings,
    _folder: tempfile::TempDir,
}

/// A sender at work.
struct Sending {
    shutdown: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sending {
    /// Returns when all that was being sent has been settled.
    async fn stop(self) {
        self.shutdown.send_replace(true);
        self.task.await.unwrap();
    }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1_740_571_200_000)));
        let store = EmbeddedStore::open(folder.path(), clock.clone(), StoreSettings::default()).unwrap();
        let settings = NoticeSettings {
            reach: Reach {
                allowed: vec!["127.0.0.0/8".parse().unwrap()],
            },
            ..NoticeSettings::default()
        };
        Self {
            store,
            clock,
            settings,
            _folder: folder,
        }
    }

    fn with_mail(mut self, server: &MailServer) -> Self {
        self.settings.mail =
            Some(MailSettings::new(&server.url(), "Assay <assay@example.org>", &Authorities::default()).unwrap());
        self
    }

    fn send(&self) -> Sending {
        let ports = NoticePorts {
            outbox: Arc::new(self.store.clone()),
            hooks: Arc::new(self.store.clone()),
            jobs: Arc::new(self.store.clone()),
            clock: self.clock.clone(),
        };
        let (shutdown, told) = watch::channel(false);
        let task = tokio::spawn(deliver_until(ports, self.settings.clone(), told));
        Sending { shutdown, task }
    }

    async fn ended(&self, notify: Vec<Target>, outcome: Outcome) -> JobId {
        let spec = JobSpec {
            notify,
            ..JobSpec::new("aggregate", serde_json::json!({}))
        };
        let job = NewJob {
            id: JobId::generate(self.clock.now()),
            spec,
            sharing: None,
        };
        let id = self.store.submit(job, None).await.unwrap().job.id;
        let worker = WorkerId("w".to_owned());
        let (lease, _) = self.store.claim(&worker, 1, None).await.unwrap().remove(0);
        self.store.finish(&lease, outcome).await.unwrap();
        id
    }

    async fn succeeded(&self, notify: Vec<Target>) -> JobId {
        self.ended(notify, success()).await
    }

    async fn hook(&self, url: String) -> Hook {
        let hook = Hook {
            id: HookId::generate(self.clock.now()),
            owner: UserName::local(),
            url,
            format: HookFormat::Standard,
            secrets: vec![SigningSecret::generate().unwrap(), SigningSecret::generate().unwrap()],
            states: vec![State::Succeeded, State::Failed],
            analysis: None,
            description: String::new(),
            disabled: None,
            created_at: self.clock.now(),
        };
        assert!(self.store.put(hook.clone(), None).await.unwrap());
        hook
    }

    async fn only(&self) -> Delivery {
        let mut all = self.all().await;
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    async fn all(&self) -> Vec<Delivery> {
        let page = PageRequest {
            after: None,
            limit: 100,
        };
        self.store
            .deliveries(DeliveryFilter::default(), page)
            .await
            .unwrap()
            .items
    }
}

fn success() -> Outcome {
    let column = |name: &str, kind| Column {
        name: name.to_owned(),
        kind,
    };
    Outcome::Succeeded {
        result: StoredResult {
            set: ResultSet {
                columns: vec![column("species", Kind::Text), column("n", Kind::Int64)],
                rows: 2,
                ..ResultSet::default()
            },
            rows_json: Some(r#"[{"species":"Adelie","n":152},{"species":"Gentoo","n":76}]"#.to_owned()),
            data: ResultData::Inline(Vec::new()),
        },
        commit: None,
        usage: Usage::default(),
    }
}

fn webhook(url: String) -> Target {
    Target::Webhook {
        url,
        format: HookFormat::Standard,
        secret: None,
    }
}

fn email(address: &str) -> Target {
    Target::Email {
        address: address.to_owned(),
    }
}

fn signature(secret: &SigningSecret, heard: &Heard) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&secret.key()).unwrap();
    let (id, seconds) = (&heard.headers["webhook-id"], &heard.headers["webhook-timestamp"]);
    mac.update(format!("{id}.{seconds}.{}", heard.body).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn a_webhook_comes_once_and_signed_by_both_secrets() {
    let mut receiver = HttpReceiver::answering(&[204]).await;
    let scene = Scene::new();
    let hook = scene.hook(receiver.url("/told?team=blue")).await;
    let sending = scene.send();
    let job = scene.succeeded(Vec::new()).await;
    let heard = receiver.next().await;
    sending.stop().await;
    assert_eq!(heard.path, "/told?team=blue");
    assert_eq!(heard.headers["content-type"], "application/json");
    assert_eq!(heard.headers["host"], receiver.address.to_string());
    assert_eq!(heard.headers["webhook-timestamp"], "1740571200");
    let delivery = scene.only().await;
    assert_eq!(heard.headers["webhook-id"], delivery.message_id());
    let both: Vec<String> = hook.secrets.iter().map(|secret| signature(secret, &heard)).collect();
    assert_eq!(heard.headers["webhook-signature"], both.join(" "));
    let body: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["id"]),
        (&"job.succeeded".into(), &job.as_str().into())
    );
    assert_eq!(
        (delivery.state, delivery.log[0].status),
        (DeliveryState::Delivered, Some(204))
    );
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_webhook_without_a_secret_is_signed_by_that_of_its_owner() {
    let mut receiver = HttpReceiver::answering(&[200]).await;
    let scene = Scene::new();
    scene.succeeded(vec![webhook(receiver.url("/"))]).await;
    let sending = scene.send();
    let heard = receiver.next().await;
    sending.stop().await;
    let other = SigningSecret::generate().unwrap();
    let secrets = scene.store.signing_secrets(&UserName::local(), &other).await.unwrap();
    assert_ne!(secrets[0], other);
    assert_eq!(heard.headers["webhook-signature"], signature(&secrets[0], &heard));
}

#[tokio::test]
async fn a_failed_try_comes_again_with_the_same_id_and_body() {
    let mut receiver = HttpReceiver::answering(&[500, 200]).await;
    let scene = Scene::new();
    scene.succeeded(vec![webhook(receiver.url("/"))]).await;
    let sending = scene.send();
    let first = receiver.next().await;
    sending.stop().await;
    let delivery = scene.only().await;
    assert_eq!((delivery.state, delivery.tries), (DeliveryState::Waiting, 1));
    assert_eq!(delivery.log[0].error.as_deref(), Some("the receiver answered 500"));
    scene.clock.advance_millis(6_000);
    let sending = scene.send();
    let second = receiver.next().await;
    sending.stop().await;
    assert_eq!(
        (&second.body, &second.headers["webhook-id"]),
        (&first.body, &first.headers["webhook-id"])
    );
    assert_ne!(second.headers["webhook-timestamp"], first.headers["webhook-timestamp"]);
    assert_eq!(scene.only().await.state, DeliveryState::Delivered);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut receiver = HttpReceiver::at(listener, vec![(302, &[("location", "/elsewhere")])]);
    let scene = Scene::new();
    scene.succeeded(vec![webhook(receiver.url("/"))]).await;
    let sending = scene.send();
    receiver.next().await;
    sending.stop().await;
    let delivery = scene.only().await;
    assert_eq!(
        (delivery.state, delivery.log[0].status),
        (DeliveryState::Waiting, Some(302))
    );
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more() {
    let mut receiver = HttpReceiver::answering(&[410]).await;
    let scene = Scene::new();
    let hook = scene.hook(receiver.url("/")).await;
    scene.succeeded(Vec::new()).await;
    let sending = scene.send();
    receiver.next().await;
    sending.stop().await;
    assert_eq!(scene.only().await.state, DeliveryState::Failed);
    let disabled = Hooks::list(&scene.store, None).await.unwrap().remove(0);
    assert_eq!(
        (disabled.id, disabled.disabled.as_deref()),
        (hook.id, Some("the receiver answered 410"))
    );
}

#[tokio::test]
async fn a_receiver_may_ask_for_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut receiver = HttpReceiver::at(listener, vec![(429, &[("retry-after", "120")])]);
    let mut scene = Scene::new();
    scene.settings.at_once_each = 1;
    scene.succeeded(vec![webhook(receiver.url("/"))]).await;
    let sending = scene.send();
    receiver.next().await;
    // What else is meant for it waits without a try.
    let other = scene.succeeded(vec![webhook(receiver.url("/"))]).await;
    sending.stop().await;
    let all = scene.all().await;
    let wait = |delivery: &Delivery| delivery.next_at.unwrap().0 - scene.clock.now().0;
    assert_eq!((all[1].tries, wait(&all[1])), (1, 120_000));
    assert!(matches!(&all[0].notice, assay_core::Notice::Ended { job, .. } if *job == other));
    assert_eq!(all[0].tries, 0);
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let mut receiver = HttpReceiver::answering(&[200]).await;
    let mut scene = Scene::new();
    scene.settings.reach = Reach::default();
    let port = receiver.address.port();
    scene
        .succeeded(vec![webhook(format!("http://localhost:{port}/"))])
        .await;
    scene.succeeded(vec![webhook(receiver.url("/"))]).await;
    let sending = scene.send();
    while scene.all().await.iter().any(|delivery| delivery.log.is_empty()) {
        tokio::task::yield_now().await;
    }
    sending.stop().await;
    for delivery in scene.all().await {
        let error = delivery.log[0].error.clone().unwrap();
        assert!(
            error.contains("may not be sent to") && !error.contains("127.0.0.1"),
            "{error}"
        );
        assert_eq!(delivery.state, DeliveryState::Failed);
    }
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_left_after_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut scene = Scene::new();
    scene.settings.timeout = Duration::from_millis(50);
    scene
        .succeeded(vec![webhook(format!("http://{}/", listener.local_addr().unwrap()))])
        .await;
    let sending = scene.send();
    let (_connection, _) = listener.accept().await.unwrap();
    sending.stop().await;
    let error = scene.only().await.log[0].error.clone().unwrap();
    assert_eq!(error, "no answer came within 0 seconds");
}

#[tokio::test]
async fn a_hook_can_be_tested() {
    let mut receiver = HttpReceiver::answering(&[200]).await;
    let scene = Scene::new();
    let hook = scene.hook(receiver.url("/")).await;
    let sending = scene.send();
    let ping = scene.store.ping(&hook.id).await.unwrap();
    let heard = receiver.next().await;
    sending.stop().await;
    assert_eq!(heard.headers["webhook-id"], format!("ping_{}", ping.id));
    assert!(heard.body.starts_with(r#"{"type":"ping","#), "{}", heard.body);
}

#[tokio::test]
async fn notices_for_one_address_come_as_one_mail_and_the_next_after_a_pause() {
    let mut server = MailServer::start().await;
    let scene = Scene::new().with_mail(&server);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(scene.succeeded(vec![email("anna@example.org")]).await);
    }
    let sending = scene.send();
    let mail = server.next().await;
    assert_eq!(mail.to, ["anna@example.org"]);
    assert_eq!(mail.header("Subject"), "3 jobs have ended: 3 succeeded");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    let (text, html) = (mail.part("text/plain"), mail.part("text/html"));
    for job in &jobs {
        assert!(text.contains(job.as_str()) && html.contains(job.as_str()), "{text}");
    }
    assert!(text.contains("Adelie ████████████████████████████████ 152"), "{text}");
    assert!(html.contains("width:128px"), "{html}");
    for _ in 0..2 {
        scene.succeeded(vec![email("Anna@example.org")]).await;
    }
    sending.stop().await;
    let waiting: Vec<Delivery> = scene.all().await.into_iter().take(2).collect();
    for delivery in &waiting {
        assert_eq!((delivery.state, delivery.tries), (DeliveryState::Waiting, 0));
    }
    assert!(server.is_quiet());
    scene.clock.advance_millis(30_000);
    let sending = scene.send();
    let mail = server.next().await;
    sending.stop().await;
    assert_eq!(mail.header("Subject"), "2 jobs have ended: 2 succeeded");
    let is_delivered = |delivery: &Delivery| delivery.state == DeliveryState::Delivered;
    assert!(scene.all().await.iter().all(is_delivered));
}

#[tokio::test]
async fn a_failed_job_says_so_in_the_subject() {
    let mut server = MailServer::start().await;
    let scene = Scene::new().with_mail(&server);
    let failed = Outcome::Failed {
        error: Error::new(Code::UnknownColumn, "column `b` does not exist").hint("did you mean `a`?"),
        usage: Usage::default(),
    };
    scene.ended(vec![email("anna@example.org")], failed).await;
    let sending = scene.send();
    let mail = server.next().await;
    sending.stop().await;
    assert_eq!(mail.header("Subject"), "aggregate has failed: unknown_column");
    assert!(mail.part("text/plain").contains("did you mean `a`?"));
}

/// Settles the only mail and returns what the log says.
async fn log_of_mail(scene: &Scene, to: &str) -> (DeliveryState, Option<u16>, String) {
    scene.succeeded(vec![email(to)]).await;
    let sending = scene.send();
    while scene.only().await.log.is_empty() {
        tokio::task::yield_now().await;
    }
    sending.stop().await;
    let delivery = scene.only().await;
    let entry = delivery.log[0].clone();
    (delivery.state, entry.status, entry.error.unwrap())
}

#[tokio::test]
async fn mail_that_cannot_arrive_is_given_up_with_a_reason() {
    let (state, status, error) = log_of_mail(&Scene::new(), "anna@example.org").await;
    assert_eq!((state, status), (DeliveryState::Failed, None));
    assert!(
        error.contains("no mail server") && error.contains("--smtp-url"),
        "{error}"
    );

    let server = MailServer::start().await;
    let (state, status, error) = log_of_mail(&Scene::new().with_mail(&server), "nobody@example.org").await;
    assert_eq!((state, status), (DeliveryState::Failed, Some(550)));
    assert_eq!(error, "the mail server answered 550");

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut scene = Scene::new();
    scene.settings.mail = Some(
        MailSettings::new(
            &format!("smtp://a:hunter2@{nobody}"),
            "assay@example.org",
            &Authorities::default(),
        )
        .unwrap(),
    );
    let (state, status, error) = log_of_mail(&scene, "anna@example.org").await;
    assert_eq!((state, status), (DeliveryState::Waiting, None));
    assert!(!error.contains("hunter2"), "{error}");
}
