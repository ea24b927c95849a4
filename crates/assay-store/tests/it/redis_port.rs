//! A Redis server of the tests' own on a free port, spoken to by `redis-cli`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Tries to find a port that nobody else takes meanwhile.
const TRIES: usize = 20;

/// Ends with the value.
pub struct PortServer {
    child: Child,
    port: u16,
    password: Option<String>,
    _folder: tempfile::TempDir,
}

impl PortServer {
    /// Starts a server with further options and waits until it answers.
    pub fn start(options: &[&str]) -> Self {
        let password = options.iter().skip_while(|option| **option != "--requirepass").nth(1);
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"])
                .arg(port.to_string())
                .arg("--dir")
                .arg(folder.path())
                .args(options)
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
            if said.any(|line| line.unwrap().contains("eady to accept connections")) {
                // What it says later must not fill the pipe.
                std::thread::spawn(move || said.for_each(drop));
                return Self {
                    child,
                    port,
                    password: password.map(|text| (*text).to_owned()),
                    _folder: folder,
                };
            }
            child.wait().unwrap();
        }
        panic!("redis-server found no free port");
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
