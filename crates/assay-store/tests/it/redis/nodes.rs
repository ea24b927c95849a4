//! What servers of a fleet can do beside those that stand alone: sentinels, servers over TLS, and such that are killed.

use crate::redis_port::PortServer;

impl PortServer {
    /// Starts a sentinel that has these settings.
    pub fn start_sentinel(settings: &str) -> Self {
        Self::begin("--port", |folder, command| {
            let file = folder.join("sentinel.conf");
            std::fs::write(&file, settings).unwrap();
            command.arg(file).arg("--sentinel");
        })
    }

    /// Starts a server that speaks over TLS alone, with a key and a certificate for `localhost`, each in PEM.
    pub fn start_tls(key: &str, certificate: &str) -> Self {
        Self::begin("--tls-port", |folder, command| {
            let (key_file, certificate_file) = (folder.join("key.pem"), folder.join("certificate.pem"));
            std::fs::write(&key_file, key).unwrap();
            std::fs::write(&certificate_file, certificate).unwrap();
            command.args([
                "--port",
                "0",
                "--save",
                "",
                "--tls-auth-clients",
                "no",
                "--tls-key-file",
            ]);
            command.arg(key_file).arg("--tls-cert-file").arg(&certificate_file);
            command.arg("--tls-ca-cert-file").arg(certificate_file);
        })
    }

    /// Waits until it has said these words since it was last asked.
    pub fn wait_until_it_says(&self, words: &str) {
        assert!(self.says_one_of(&[words]), "`{words}` should be said");
    }

    /// Kills the server, as a power cut does to its process.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
