//! The receivers of notices: a hook of one user, and a mail server. They outlive the server, and what they hear may come
//! several times, but never twice as something else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::asked::MAIL_ADDRESS;
use super::audit::Ended;
use super::client::Acknowledged;
use crate::receivers::{HttpReceiver, MailServer};
use crate::support::{TestServer, answer};

pub struct Receivers {
    hook: HttpReceiver,
    mail: MailServer,
}

impl Receivers {
    pub async fn start() -> Self {
        Self {
            hook: HttpReceiver::answering(&[204]).await,
            mail: MailServer::start().await,
        }
    }

    /// What a server must know of them.
    pub fn options(&self) -> [String; 8] {
        let (url, from) = (self.mail.url(), "Assay <assay@example.org>");
        let options = [
            "--notify-allow",
            "127.0.0.0/8",
            "--smtp-url",
            &url,
            "--smtp-from",
            from,
            "--mail-pause",
            "1s",
        ];
        options.map(str::to_owned)
    }

    pub async fn hook_of_anna(&self, server: &TestServer) {
        let request = server.http.post(format!("{}/v1/hooks", server.url));
        let hook = json!({"url": self.hook.url("/anna"), "states": ["succeeded", "failed", "canceled"]});
        let (status, hook) = answer(request.header("assay-user", "anna").json(&hook).send().await.unwrap()).await;
        assert_eq!(status, 201, "{hook:#}");
    }

    /// Waits until everybody was told of everything.
    pub async fn check(&mut self, acknowledged: &[Acknowledged], jobs: &Ended) {
        self.check_hook(acknowledged, jobs).await;
        self.check_mails(acknowledged).await;
    }

    /// Every job of the owner of the hook was told as it ended, each repeat with the same id and body.
    async fn check_hook(&mut self, acknowledged: &[Acknowledged], jobs: &Ended) {
        let of_anna = acknowledged.iter().filter(|job| job.user == Some("anna"));
        let all: BTreeSet<&str> = of_anna.map(|job| job.id.as_str()).collect();
        let mut told: BTreeMap<String, (String, String)> = BTreeMap::new();
        while told.len() < all.len() {
            let heard = self.hook.next().await;
            let body: Value = serde_json::from_str(&heard.body).unwrap();
            let id = body["data"]["id"].as_str().unwrap().to_owned();
            assert!(all.contains(id.as_str()), "a job of another user was told: {body:#}");
            assert_eq!(body["data"]["state"], jobs[&id]["state"], "{body:#}");
            let message = (heard.headers["webhook-id"].clone(), heard.body);
            let first = told.entry(id).or_insert_with(|| message.clone());
            assert_eq!(*first, message, "a job was told twice in different ways");
        }
        let messages: BTreeSet<&String> = told.values().map(|(id, _)| id).collect();
        assert_eq!(messages.len(), told.len(), "two jobs were told with one id");
    }

    /// Every job that asked for it was named in a mail, maybe together with others.
    async fn check_mails(&mut self, acknowledged: &[Acknowledged]) {
        let asking = acknowledged.iter().filter(|job| job.kind.is_told_by_mail());
        let mut missing: BTreeSet<&str> = asking.map(|job| job.id.as_str()).collect();
        while !missing.is_empty() {
            let mail = self.mail.next().await;
            assert_eq!(mail.to, [MAIL_ADDRESS]);
            let text = mail.part("text/plain");
            missing.retain(|id| !text.contains(id));
        }
    }
}
