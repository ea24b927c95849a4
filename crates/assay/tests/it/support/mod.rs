//! The real program as a child of the test, on a free port and a temporary store.

mod gate;
mod sending;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

pub use gate::Gate;
pub use sending::Sending;

pub const ASSAY: &str = env!("CARGO_BIN_EXE_assay");

pub fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(path)
}

/// The command line against a server.
pub fn assay(server: &TestServer, line: &[&str]) -> Output {
    Command::new(ASSAY)
        .args(line)
        .env("ASSAY_SERVER", &server.url)
        .output()
        .unwrap()
}

/// What a command printed; it must have succeeded.
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub struct TestServer {
    child: Child,
    pub url: String,
    pub folder: PathBuf,
    pub http: reqwest::Client,
}

impl TestServer {
    /// Starts a server over an empty store; the folder goes with `temporary`.
    pub fn start(temporary: &tempfile::TempDir) -> Self {
        Self::start_with(temporary.path(), &[])
    }

    pub fn start_with(folder: &Path, more: &[&str]) -> Self {
        Self::start_in(folder, more, &[])
    }

    /// Starts a server with more options and variables of the environment.
    pub fn start_in(folder: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(ASSAY)
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(folder)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .env("RUST_LOG", "warn")
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the server says where it listens").unwrap();
            if let Some(url) = line
                .split_whitespace()
                .find(|word| word.starts_with("http://127.0.0.1:"))
            {
                break url.trim_end_matches(['/', ',']).to_owned();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(120))
            .build()
            .unwrap();
        Self {
            child,
            url,
            folder: folder.to_owned(),
            http,
        }
    }

    /// Of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill_9(mut self) {
        self.kill();
    }

    /// As `kill_9`, for who has another server take its place.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url)).send().await.unwrap()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(
            self.http
                .post(format!("{}{path}", self.url))
                .json(body)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.put(format!("{}{path}", self.url)).json(body);
        answer(request.send().await.unwrap()).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.patch(format!("{}{path}", self.url)).json(body);
        answer(request.send().await.unwrap()).await
    }

    pub async fn post_waiting(&self, path: &str, body: &Value, seconds: u32) -> (u16, Value) {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header("prefer", format!("wait={seconds}"));
        answer(request.json(body).send().await.unwrap()).await
    }

    /// Loads bytes and waits for the end of the job.
    pub async fn import(&self, name: &str, query: &str, bytes: Vec<u8>) -> (u16, Value) {
        let url = format!("{}/v1/datasets/{name}/import?{query}", self.url);
        answer(
            self.http
                .post(url)
                .header("prefer", "wait=60")
                .body(bytes)
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub async fn import_file(&self, name: &str, query: &str, file: &str) -> Value {
        let (status, job) = self.import(name, query, std::fs::read(data(file)).unwrap()).await;
        assert_eq!((status, &job["state"]), (200, &"succeeded".into()), "{name}: {job:#}");
        job
    }

    /// The rows that a query answers.
    pub async fn rows(&self, sql: &str) -> Value {
        let (status, job) = self
            .post("/v1/query", &serde_json::json!({"sql": sql, "wait": 60}))
            .await;
        assert_eq!((status, &job["state"]), (200, &"succeeded".into()), "{sql}: {job:#}");
        job["result"]["rows"].clone()
    }

    /// Waits for the end of a job by long polls.
    pub async fn finished(&self, id: &str) -> Value {
        for _ in 0..20 {
            let request = self
                .http
                .get(format!("{}/v1/jobs/{id}", self.url))
                .header("prefer", "wait=30");
            let (status, job) = answer(request.send().await.unwrap()).await;
            assert_eq!(status, 200, "{job:#}");
            if ["succeeded", "failed", "canceled"].contains(&job["state"].as_str().unwrap()) {
                return job;
            }
        }
        panic!("job {id} did not end");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The job when it is as `is_so` wants it, as its events tell.
pub async fn until(http: &reqwest::Client, server: &str, job: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut tag = String::new();
    for _ in 0..300 {
        let request = http.get(format!("{server}/v1/jobs/{job}"));
        let request = request.header("prefer", "wait=5").header("if-none-match", &tag);
        let response = request.send().await.unwrap();
        if response.status() == 304 {
            continue;
        }
        response.headers()["etag"].to_str().unwrap().clone_into(&mut tag);
        let (_, job) = answer(response).await;
        if is_so(&job) {
            return job;
        }
    }
    panic!("job {job} did not come that far");
}

pub async fn answer(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
