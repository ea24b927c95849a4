//! Redis servers of the tests' own on free ports, spoken to by `redis-cli`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// Tries to find a port that nobody else takes meanwhile.
const TRIES: usize = 20;

/// Longest time until a server says what a test waits for.
const SAYS_WITHIN: Duration = Duration::from_secs(60);

/// Stands among the options for a port that is free.
pub const FREE_PORT: &str = "free port";

/// `redis-server`, or what speaks as it does.
pub fn redis_server() -> Command {
    Command::new(std::env::var("ASSAY_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned()))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends with the value.
pub struct PortServer {
    pub child: Child,
    pub port: u16,
    password: Option<String>,
    said: Mutex<Receiver<String>>,
    _folder: tempfile::TempDir,
}

impl PortServer {
    /// Starts a server with further options and waits until it answers.
    pub fn start(options: &[&str]) -> Self {
        let password = options.iter().skip_while(|option| **option != "--requirepass").nth(1);
        let mut server = Self::begin("--port", |_, command| {
            command
                .args(["--save", "", "--appendonly", "no"])
                .args(options.iter().map(|option| {
                    let is_free_port = *option == FREE_PORT;
                    if is_free_port {
                        free_port().to_string()
                    } else {
                        (*option).to_owned()
                    }
                }));
        });
        server.password = password.map(|text| (*text).to_owned());
        server
    }

    /// Gives it a port by an option of this name.
    pub fn begin(port_option: &str, set_up: impl Fn(&Path, &mut Command)) -> Self {
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            let mut command = redis_server();
            set_up(folder.path(), &mut command);
            command.args(["--bind", "127.0.0.1", port_option]).arg(port.to_string());
            command.arg("--dir").arg(folder.path());
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let (say, said) = mpsc::channel();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            // What it says must not fill the pipe.
            std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
            let mut server = Self {
                child,
                port,
                password: None,
                said: Mutex::new(said),
                _folder: folder,
            };
            if server.says_one_of(&["eady to accept connections", "monitor"]) {
                return server;
            }
            server.child.wait().unwrap();
        }
        panic!("redis-server found no free port");
    }

    /// Waits until it has said one of these words since it was last asked; whether it did before it ended.
    pub fn says_one_of(&self, words: &[&str]) -> bool {
        let said = self.said.lock().unwrap();
        let next = || said.recv_timeout(SAYS_WITHIN).ok();
        std::iter::from_fn(next).any(|line| words.iter().any(|words| line.contains(words)))
    }

    /// The address of a database, after `login`, such as `:password@`.
    pub fn url(&self, login: &str, database: &str) -> String {
        format!("redis://{login}127.0.0.1:{}{database}", self.port)
    }

    pub fn client(&self, database: u32) -> Command {
        let mut client = Command::new("redis-cli");
        client.args(["-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        client.arg("-n").arg(database.to_string());
        client.envs(self.password.as_ref().map(|password| ("REDISCLI_AUTH", password)));
        client
    }

    /// What the server answers to some commands, one on a line.
    pub fn cli(&self, database: u32, commands: &str) -> String {
        let mut client = self.client(database);
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        let commands = commands.to_owned();
        let writing = std::thread::spawn(move || input.write_all(commands.as_bytes()).unwrap());
        let output = client.wait_with_output().unwrap();
        writing.join().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for PortServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
