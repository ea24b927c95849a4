//! The inbox: each entry is given to one server, and to another when that one dies, and is answered once.

use assay_core::Code;
use assay_store::{Inbox, InboxEntry, InboxReader, InboxRequest};

use super::RedisHarness;

const KEY: &str = "{assay}:inbox";

type Fields<'a> = &'a [(&'a str, &'a [u8])];

/// What a foreign program does.
struct Service(::redis::Connection);

impl Service {
    fn of(harness: &RedisHarness) -> Self {
        Self(harness.client().get_connection().unwrap())
    }

    fn ask<T: ::redis::FromRedisValue>(&mut self, words: &[&str]) -> T {
        ::redis::cmd(words[0]).arg(&words[1..]).query(&mut self.0).unwrap()
    }

    fn add(&mut self, fields: Fields<'_>) -> String {
        let mut command = ::redis::cmd("XADD");
        command.arg(KEY).arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        command.query(&mut self.0).unwrap()
    }

    /// Makes an entry as old as one that was read long ago, so many times.
    fn age(&mut self, id: &str, reads: u32) {
        let reads = reads.to_string();
        let aged: Vec<String> = self.ask(&[
            "XCLAIM",
            KEY,
            "assay",
            "assay",
            "0",
            id,
            "IDLE",
            "60000",
            "RETRYCOUNT",
            &reads,
            "JUSTID",
        ]);
        assert_eq!(aged, [id]);
    }

    fn waiting(&mut self) -> (u64, u64) {
        let pending: ::redis::streams::StreamPendingReply = self.ask(&["XPENDING", KEY, "assay"]);
        (self.ask(&["XLEN", KEY]), pending.count() as u64)
    }
}

async fn next(reader: &mut InboxReader) -> InboxEntry {
    loop {
        // The first read of all makes the group.
        if let Some(entry) = reader.next().await.unwrap() {
            return entry;
        }
    }
}

async fn left(inbox: &Inbox) -> Vec<InboxEntry> {
    let (entries, next) = inbox.left(None).await.unwrap();
    assert_eq!(next, None);
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_given_once_and_answered_once() {
    let harness = RedisHarness::new();
    let (one, other) = (harness.join().await.inbox(), harness.join().await.inbox());
    let mut service = Service::of(&harness);
    // It may come before any server.
    let first = service.add(&[("job", b"{}"), ("user", b"anna"), ("reply_to", b"answers")]);
    let second = service.add(&[
        ("job", b"\xff"),
        ("idempotency_key", b"k"),
        ("reply_to", b"{assay}:reply:x"),
    ]);
    let entry = next(&mut one.reader()).await;
    assert_eq!(entry.id, first);
    let request = InboxRequest {
        job: b"{}".to_vec(),
        user: Some("anna".to_owned()),
        idempotency_key: format!("inbox:{first}"),
    };
    assert_eq!(entry.request, Ok(request));
    let later = next(&mut other.reader()).await;
    assert_eq!(later.id, second);
    let request = later.request.clone().unwrap();
    assert_eq!(
        (request.job, request.idempotency_key),
        (b"\xff".to_vec(), "k".to_owned())
    );
    assert_eq!(service.waiting(), (2, 2));
    assert_eq!(left(&one).await, []);

    let answered = futures::future::join_all([&one, &other].map(|inbox| inbox.answer(&entry, "yes"))).await;
    let answered: Vec<bool> = answered.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        answered.iter().filter(|is_before| **is_before).count(),
        1,
        "{answered:?}"
    );
    assert_eq!(service.waiting(), (1, 1));
    assert_eq!(service.ask::<Vec<String>>(&["LRANGE", "answers", "0", "-1"]), ["yes"]);
    let seconds: i64 = service.ask(&["TTL", "answers"]);
    assert!((3_500..=3_600).contains(&seconds), "{seconds}");
    assert!(!one.answer(&later, "{}").await.unwrap());
    assert_eq!(service.ask::<String>(&["LPOP", "{assay}:reply:x"]), "{}");
    assert_eq!(service.waiting(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_left_is_given_to_another_and_what_servers_die_of_to_none() {
    let harness = RedisHarness::new();
    let (dead, alive) = (harness.join().await.inbox(), harness.join().await.inbox());
    let mut service = Service::of(&harness);
    let id = service.add(&[("job", b"{}")]);
    let read = next(&mut dead.reader()).await;
    assert_eq!(left(&alive).await, [], "its server may be at it still");
    service.age(&id, 1);
    assert_eq!(left(&alive).await, [read]);
    assert_eq!(left(&alive).await, [], "it is taken over");
    service.age(&id, 10);
    let deadly = left(&alive).await.remove(0);
    assert_eq!(deadly.request.unwrap_err().code, Code::Internal);

    // What is put off was not read in vain.
    service.age(&id, 9);
    let entry = left(&alive).await.remove(0);
    alive.put_off(&entry).await.unwrap();
    assert_eq!(left(&dead).await, []);
    for reads in 0..3 {
        service.age(&id, reads);
        assert_eq!(left(&dead).await.len(), 1);
    }
    assert!(left(&alive).await.is_empty());
    dead.answer(&entry, "").await.unwrap();
    assert_eq!(service.waiting(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_were_left_come_a_few_at_a_time() {
    let harness = RedisHarness::new();
    let inbox = harness.join().await.inbox();
    let mut service = Service::of(&harness);
    let mut reader = inbox.reader();
    for _ in 0..50 {
        let id = service.add(&[("job", b"{}")]);
        next(&mut reader).await;
        service.age(&id, 1);
    }
    let (mut from, mut found) = (None, 0);
    loop {
        let (entries, next) = inbox.left(from).await.unwrap();
        assert!(entries.len() <= 8);
        found += entries.len();
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_ask_for_nothing_sound_are_told_why_and_write_no_key_of_the_store() {
    let harness = RedisHarness::new();
    let inbox = harness.join().await.inbox();
    let mut service = Service::of(&harness);
    let mut reader = inbox.reader();
    let bad: [(Fields<'_>, &str); 6] = [
        (&[("user", b"anna")], "the entry has no field `job`"),
        (
            &[("job", b"{}"), ("reply", b"x")],
            "the field `reply` is not known here",
        ),
        (&[("job", b"{}"), ("user", b"\xff")], "the field `user` is not UTF-8"),
        (
            &[("job", b"{}"), ("reply_to", b"{assay}:jobs")],
            "`{assay}:jobs` cannot be the list for an answer",
        ),
        (
            &[("job", b"{}"), ("reply_to", b"")],
            "`` cannot be the list for an answer",
        ),
        (
            &[("job", b"{}"), ("reply_to", &[b'x'; 513])],
            "cannot be the list for an answer",
        ),
    ];
    for (fields, fault) in bad {
        service.add(fields);
        let entry = next(&mut reader).await;
        let error = entry.request.clone().unwrap_err();
        assert_eq!(error.code, Code::InvalidRequest);
        assert!(error.message.contains(fault), "{error}");
        assert!(error.hint.is_some());
        inbox.answer(&entry, "refused").await.unwrap();
    }
    assert_eq!(
        service.ask::<Option<String>>(&["TYPE", "{assay}:jobs"]).as_deref(),
        Some("none")
    );

    // What is there already and no list stays as it is.
    service.ask::<()>(&["SET", "taken", "theirs"]);
    service.add(&[("job", b"{}"), ("reply_to", b"taken")]);
    let entry = next(&mut reader).await;
    assert!(!inbox.answer(&entry, "yes").await.unwrap());
    assert_eq!(service.ask::<String>(&["GET", "taken"]), "theirs");
    assert_eq!(service.waiting(), (0, 0));
    let many = std::iter::repeat_n("old", 10_000);
    let push: Vec<&str> = ["RPUSH", "many"].into_iter().chain(many).collect();
    service.ask::<u64>(&push);
    service.add(&[("job", b"{}"), ("reply_to", b"many")]);
    let entry = next(&mut reader).await;
    inbox.answer(&entry, "new").await.unwrap();
    let ends: (u64, String) = (service.ask(&["LLEN", "many"]), service.ask(&["LINDEX", "many", "-1"]));
    assert_eq!(ends, (10_000, "new".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_was_removed_is_made_again() {
    let harness = RedisHarness::new();
    let inbox = harness.join().await.inbox();
    let mut service = Service::of(&harness);
    assert_eq!(left(&inbox).await, []);
    let mut reader = inbox.reader();
    for _ in 0..2 {
        let id = service.add(&[("job", b"{}")]);
        assert_eq!(next(&mut reader).await.id, id);
        service.ask::<u64>(&["DEL", KEY]);
        assert_eq!(left(&inbox).await, []);
    }
}
