//! Real services for tests, each on a socket or free port of its own and gone with the test that started it.

use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::redis_port::redis_server;

/// The package whose server speaks S3.
const MOTO: &str = "moto[server]==5.2.5";

/// A `redis-server` at a socket in a temporary folder; what it was told survives a kill of it.
pub struct RedisServer {
    folder: tempfile::TempDir,
    password: Option<&'static str>,
    child: Mutex<Child>,
}

impl RedisServer {
    /// The one that the tests of this process share; each takes keys of its own.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start(None));
        *shared = Arc::downgrade(&server);
        server
    }

    pub fn start(password: Option<&'static str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Mutex::new(spawn_redis(folder.path(), password));
        Self {
            folder,
            password,
            child,
        }
    }

    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// The address of a database, under a hash tag.
    pub fn url(&self, db: u32, prefix: &str) -> String {
        let socket = self.socket();
        let pass = self
            .password
            .map(|password| format!("&pass={password}"))
            .unwrap_or_default();
        format!("redis+unix://{}?db={db}&prefix={prefix}{pass}", socket.display())
    }

    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it anew where it was, with what it had.
    pub fn start_again(&self) {
        let child = spawn_redis(self.folder.path(), self.password);
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = child;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("redis.sock")
}

/// Returns when it takes connections.
fn spawn_redis(folder: &Path, password: Option<&str>) -> Child {
    let mut child = redis_server()
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "no",
            "--requirepass",
        ])
        .arg(password.unwrap_or_default())
        .arg("--unixsocket")
        .arg(socket(folder))
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`redis-server` is installed");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut output, "eady to accept connections");
    // It must not wait for a reader of its log.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    child
}

fn wait_for(output: &mut impl std::io::BufRead, words: &str) -> String {
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert!(
            output.read_line(&mut line).unwrap() > 0,
            "ended before it said `{words}`"
        );
    }
    line
}

/// A server that speaks S3, with the bucket `lab`. It ends with the test process, which holds its stdin.
pub struct S3Server {
    child: Child,
    pub endpoint: String,
}

impl S3Server {
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<S3Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let server = Arc::new(Self::start());
        *shared = Arc::downgrade(&server);
        server
    }

    fn start() -> Self {
        let program = "import logging, sys; from moto.server import ThreadedMotoServer; \
                       logging.getLogger('werkzeug').disabled = True; \
                       s = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False); s.start(); \
                       print(*s.get_host_and_port(), flush=True); sys.stdin.read()";
        let mut child = Command::new(python())
            .args(["-c", program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let line = wait_for(&mut output, "127.0.0.1");
        let address = line.trim().replace(' ', ":");
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "PUT /lab HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Self {
            child,
            endpoint: format!("http://{address}"),
        }
    }

    /// What a user would have in the environment.
    pub fn options(&self) -> std::collections::BTreeMap<String, String> {
        let options = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "assay"),
            ("AWS_SECRET_ACCESS_KEY", "geheim"),
        ];
        options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Python with the package, in a folder of the build: made by the first test that needs it.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("moto");
        std::fs::create_dir_all(&folder).unwrap();
        let lock = std::fs::File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let python = folder.join("venv/bin/python");
        let done = folder.join(format!("{MOTO}.done"));
        if !done.exists() {
            run(Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(folder.join("venv")));
            run(Command::new(&python).args(["-m", "pip", "install", "--quiet", MOTO]));
            std::fs::write(done, "").unwrap();
        }
        python
    })
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

/// The examples of a page in Python.
pub fn python_examples(page: &str) -> impl Iterator<Item = &str> {
    let examples = page.split("```python\n").skip(1);
    examples.filter_map(|rest| rest.split_once("```").map(|(example, _)| example))
}

/// What a program in Python says that has `redis-py` and the URL of a Redis server. `PYTHON` names the interpreter.
pub fn foreign(program: &str, url: &str) -> String {
    let python = std::env::var("PYTHON").expect("`PYTHON` names a Python with `redis-py`");
    let ran = Command::new(python)
        .args(["-c", program])
        .env("REDIS_URL", url)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}
