//! Links to a real Redis server: what is read of its keys, what is written, and what is refused.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use assay_core::{
    Code, FoundKey, KeyBatch, KeySource, KeyValue, KeyWrite, Links as _, RedisAddress, Result, WrittenValue,
};
use assay_store::RedisLinks;

use crate::redis_port::PortServer;

fn address(server: &PortServer, database: u32) -> RedisAddress {
    server.url("", &format!("/{database}")).parse().unwrap()
}

/// Links that are allowed the server, with `database` as the end of its address.
fn links(server: &PortServer, login: &str, database: &str) -> RedisLinks {
    RedisLinks::new(vec![server.url(login, database).parse().unwrap()])
}

fn source(address: &RedisAddress, pattern: &str, rate: Option<u32>) -> KeySource {
    KeySource {
        redis: address.clone(),
        pattern: pattern.to_owned(),
        types: Vec::new(),
        rate,
        refresh_ms: None,
    }
}

async fn read_all(links: &RedisLinks, source: &KeySource) -> Result<BTreeMap<String, FoundKey>> {
    let mut scan = links.scan(source).await?;
    let mut found = BTreeMap::new();
    while let Some(KeyBatch { keys, scanned, total }) = scan.next().await? {
        assert!(scanned <= total);
        for key in keys {
            let name = String::from_utf8_lossy(&key.name).into_owned();
            assert!(found.insert(name, key).is_none(), "a key came twice");
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_every_type_are_read_with_their_values() {
    let server = PortServer::start(&[]);
    server.cli(
        3,
        "SET s:text hello\nSET s:gone x PXAT 33298675200000\nHSET h:1 a 1 b two\nRPUSH l:1 b a b\nSADD t:1 x\n\
         ZADD z:1 2.5 y 1 x\nXADD x:1 * f v\nSET s:bytes \"\\xff\\x00\"\n",
    );
    server.cli(0, "SET s:elsewhere 1\n");
    let linked = links(&server, "", "/3");
    let found = read_all(&linked, &source(&address(&server, 3), "*", None))
        .await
        .unwrap();
    let names: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["h:1", "l:1", "s:bytes", "s:gone", "s:text", "t:1", "x:1", "z:1"]
    );
    let value = |name: &str| found[name].value.clone();
    assert_eq!(value("s:text"), KeyValue::String(b"hello".to_vec()));
    assert_eq!(value("s:bytes"), KeyValue::String(vec![0xff, 0]));
    let fields = [("a", "1"), ("b", "two")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(value("h:1"), KeyValue::Hash(fields.to_vec()));
    assert_eq!(value("l:1"), KeyValue::List(vec!["b".into(), "a".into(), "b".into()]));
    assert_eq!(value("t:1"), KeyValue::Set(vec!["x".into()]));
    assert_eq!(
        value("z:1"),
        KeyValue::SortedSet(vec![("x".into(), 1.0), ("y".into(), 2.5)])
    );
    assert!(matches!(value("x:1"), KeyValue::LeftOut(reason) if reason.contains("stream")));
    assert_eq!(found["s:gone"].expires_at.map(|at| at.0), Some(33_298_675_200_000));
    assert_eq!(found["s:text"].expires_at, None);

    let some = read_all(&linked, &source(&address(&server, 3), "s:*", Some(1_000_000)))
        .await
        .unwrap();
    assert_eq!(some.len(), 3);
    let none = read_all(&linked, &source(&address(&server, 3), "nothing:*", None))
        .await
        .unwrap();
    assert!(none.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_store_of_assay_is_neither_read_nor_written() {
    let server = PortServer::start(&[]);
    server.cli(
        0,
        "SET {lab}:placed 1\nSET {lab}:job:1 secret\nZADD {far}:objects:names 0 a\nSET {far}:objects:about x\n\
         SET {cart}:7 mine\nSET {odd open\n",
    );
    let (linked, address) = (links(&server, "", ""), address(&server, 0));
    let found = read_all(&linked, &source(&address, "*", None)).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["{cart}:7", "{odd"]);
    let mut writer = linked.writer(&address).await.unwrap();
    let write = |name: &str| KeyWrite {
        name: name.to_owned(),
        value: WrittenValue::String("new".to_owned()),
    };
    let refused = writer.write(vec![write("{cart}:8"), write("{lab}:job:1")]).await;
    assert_eq!(refused.unwrap_err().code, Code::LinkRefused);
    writer.write(vec![write("{cart}:7")]).await.unwrap();
    assert_eq!(
        server.cli(0, "GET {lab}:job:1\nEXISTS {cart}:8\nGET {cart}:7\n"),
        "secret\n0\nnew\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_are_read_once_each_while_the_server_grows() {
    let server = PortServer::start(&[]);
    let keys: String = (0..3_000).map(|n| format!("SET k:{n} {n}\n")).collect();
    server.cli(0, &keys);
    let linked = links(&server, "", "");
    let source = source(&address(&server, 0), "k:*", Some(1_000_000));
    let mut scan = linked.scan(&source).await.unwrap();
    let mut names = std::collections::HashSet::new();
    let mut is_first = true;
    while let Some(batch) = scan.next().await.unwrap() {
        for key in batch.keys {
            assert!(names.insert(key.name), "a key came twice");
        }
        // The table of keys is made larger, so that the server goes through parts of it again.
        if std::mem::take(&mut is_first) {
            let more: String = (0..20_000).map(|n| format!("SET other:{n} {n}\n")).collect();
            server.cli(0, &more);
        }
    }
    assert_eq!(names.len(), 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_takes_the_place_of_what_was_there() {
    let server = PortServer::start(&[]);
    server.cli(1, "RPUSH gene:1 old\nHSET gene:2 old 1 name x\nSET other stays\n");
    let linked = links(&server, "", "");
    let mut writer = linked.writer(&address(&server, 1)).await.unwrap();
    let hash = |fields: &[(&str, &str)]| {
        let field = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        WrittenValue::Hash(fields.iter().map(field).collect())
    };
    let write = |name: &str, value| KeyWrite {
        name: name.to_owned(),
        value,
    };
    let writes = vec![
        write("gene:1", hash(&[("symbol", "A1BG"), ("empty", "")])),
        write("gene:2", hash(&[("name", "two words")])),
        write("gene:3", WrittenValue::String("{\"a\":1}".to_owned())),
    ];
    for _ in 0..2 {
        writer.write(writes.clone()).await.unwrap();
        writer.write(Vec::new()).await.unwrap();
    }
    let read = server.cli(1, "HGETALL gene:1\nHGETALL gene:2\nGET gene:3\nGET other\nDBSIZE\n");
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(
        lines,
        [
            "symbol",
            "A1BG",
            "empty",
            "",
            "name",
            "two words",
            "{\"a\":1}",
            "stays",
            "4"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_not_allowed_are_not_reached() {
    let server = PortServer::start(&[]);
    let linked = links(&server, "", "/3");
    for address in [address(&server, 4), "redis://10.0.0.1:6379/3".parse().unwrap()] {
        let refused = [
            linked.check(&address).unwrap_err(),
            linked.scan(&source(&address, "*", None)).await.err().unwrap(),
            linked.writer(&address).await.err().unwrap(),
        ];
        for error in refused {
            assert_eq!(error.code, Code::LinkRefused);
            assert!(error.hint.unwrap().contains("--link"));
        }
    }
    assert!(linked.check(&address(&server, 3)).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_open_servers_and_are_not_told() {
    let server = PortServer::start(&["--requirepass", "sesame"]);
    let right = links(&server, ":sesame@", "");
    assert!(right.scan(&source(&address(&server, 0), "*", None)).await.is_ok());
    for login in [":wr0ng@", "anna:wr0ng@", ""] {
        let wrong = links(&server, login, "");
        let error = wrong
            .scan(&source(&address(&server, 0), "*", None))
            .await
            .err()
            .unwrap();
        assert_eq!(error.code, Code::LinkFailed);
        let told = format!("{error:?} {wrong:?}");
        assert!(!told.contains("wr0ng") && !told.contains("sesame"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_told_in_bounded_time() {
    let server = PortServer::start(&[]);
    server.cli(0, "SET a 1\nSET b 2\n");
    let (linked, at) = (links(&server, "", ""), address(&server, 0));
    let mut scan = linked.scan(&source(&at, "*", Some(1_000_000))).await.unwrap();
    drop(server);
    let error = scan.next().await.unwrap_err();
    assert_eq!(error.code, Code::LinkFailed);
    assert!(error.code.is_retryable());
    let error = linked.writer(&at).await.err().unwrap();
    assert_eq!(error.code, Code::LinkFailed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_be_written_says_so() {
    let server = PortServer::start(&[]);
    server.cli(0, "ACL SETUSER reader on >pw ~* +@read +@connection\nSET a 1\n");
    let linked = links(&server, "reader:pw@", "");
    let found = read_all(&linked, &source(&address(&server, 0), "*", None))
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
    let write = KeyWrite {
        name: "b".to_owned(),
        value: WrittenValue::String("1".to_owned()),
    };
    let error = linked
        .writer(&address(&server, 0))
        .await
        .unwrap()
        .write(vec![write])
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::LinkFailed);
    assert!(error.message.contains("refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_may_not_read_some_keys_is_told_so() {
    let server = PortServer::start(&[]);
    server.cli(
        0,
        "ACL SETUSER names on >pw ~a:* +@all\nACL SETUSER types on >pw ~* +@all -get\nSET a:1 1\nSET b:1 1\n",
    );
    for login in ["names:pw@", "types:pw@"] {
        let linked = links(&server, login, "");
        let read = read_all(&linked, &source(&address(&server, 0), "*", None)).await;
        let error = read.unwrap_err();
        assert_eq!(error.code, Code::LinkFailed);
        assert!(error.message.contains("refused a command: NOPERM"), "{login} {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_larger_than_the_server_estimates_is_left_out() {
    let server = PortServer::start(&[]);
    let small: String = (0..50)
        .map(|_| format!("RPUSH l:1{}\n", " abcdefghij".repeat(1_000)))
        .collect();
    server.cli(0, &small);
    server.cli(
        0,
        "SETRANGE huge 73400320 x\nEVAL \"return redis.call('RPUSH', 'l:1', redis.call('GET', 'huge'))\" 0\n",
    );
    let estimated: u64 = server.cli(0, "MEMORY USAGE l:1\n").trim().parse().unwrap();
    assert!(estimated < 64 << 20);
    let linked = links(&server, "", "");
    let found = read_all(&linked, &source(&address(&server, 0), "l:*", None))
        .await
        .unwrap();
    assert!(matches!(&found["l:1"].value, KeyValue::LeftOut(reason) if reason.contains("bytes")));
}

#[tokio::test(flavor = "multi_thread")]
async fn few_values_are_read_together_when_the_server_does_not_tell_their_sizes() {
    let server = PortServer::start(&[]);
    let keys: String = (0..100).map(|n| format!("SET k:{n} {n}\n")).collect();
    server.cli(0, &format!("ACL SETUSER shy on >pw ~* +@all -memory\n{keys}"));
    let linked = links(&server, "shy:pw@", "");
    let mut scan = linked.scan(&source(&address(&server, 0), "*", None)).await.unwrap();
    let mut count = 0;
    while let Some(batch) = scan.next().await.unwrap() {
        assert!(batch.keys.len() <= 16);
        count += batch.keys.len();
    }
    assert_eq!(count, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stays_longer_than_any_calendar_stays() {
    let server = PortServer::start(&[]);
    server.cli(0, "SET k 1 PXAT 9223372036854775807\n");
    let linked = links(&server, "", "");
    let found = read_all(&linked, &source(&address(&server, 0), "*", None))
        .await
        .unwrap();
    assert_eq!(found["k"].expires_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_no_store_can_have_are_names_as_all_others() {
    let server = PortServer::start(&[]);
    let long = "x".repeat(65);
    server.cli(0, &format!("SET {{{long}}}:placed 1\nSET {{{long}}}:a 1\n"));
    let tags: String = (0..3_000).map(|n| format!("SET {{t{n}}}:a {n}\n")).collect();
    server.cli(0, &format!("{tags}SET {{t7}}:placed 1\n"));
    let linked = links(&server, "", "");
    let found = read_all(&linked, &source(&address(&server, 0), "*", Some(1_000_000)))
        .await
        .unwrap();
    assert_eq!(found.len(), 2 + 2_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_very_many_attributes_is_written_whole() {
    let server = PortServer::start(&[]);
    let linked = links(&server, "", "");
    let fields: Vec<_> = (0..2_500).map(|n| (format!("f{n}"), n.to_string())).collect();
    let write = KeyWrite {
        name: "r:1".to_owned(),
        value: WrittenValue::Hash(fields),
    };
    let mut writer = linked.writer(&address(&server, 0)).await.unwrap();
    writer.write(vec![write]).await.unwrap();
    assert_eq!(server.cli(0, "HLEN r:1\nHGET r:1 f2499\n"), "2500\n2499\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_genes_are_read_as_they_are() {
    let server = PortServer::start(&[]);
    let genes = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/redis/genes.resp.gz");
    let mut open = Command::new("gunzip")
        .args(["-c", genes])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let load = server
        .client(0)
        .arg("--pipe")
        .stdin(open.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(open.wait().unwrap().success() && load.status.success());
    let linked = links(&server, "", "");
    for (pattern, count) in [
        ("*", 1_413),
        ("gene:*", 500),
        ("gene_row:*", 500),
        ("alias:*", 322),
        ("group:*", 90),
    ] {
        let found = read_all(&linked, &source(&address(&server, 0), pattern, Some(1_000_000)))
            .await
            .unwrap();
        assert_eq!(found.len(), count, "{pattern}");
    }
}
