//! A server over TLS whose certificate a private authority has signed.

use std::sync::Arc;

use assay_core::{Code, Jobs as _, State};
use assay_store::objects::{RedisObjects, RedisOptions};
use assay_store::{DurableFolder, RedisSettings, RedisStore};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::faults::submit;
use crate::redis_port::PortServer;

fn pem(kind: &str, bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
}

/// A server, and the certificate of the authority that vouches for it.
fn server() -> (PortServer, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
    let issuer = Issuer::new(params, key);
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    let own_key = pem("PRIVATE KEY", &own_key.serialize_der());
    let server = PortServer::start_tls(&own_key, &pem("CERTIFICATE", own.der()));
    (server, authority)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_vouches_for_the_store_and_its_objects() {
    let (server, authority) = server();
    let url = format!("rediss://localhost:{}/0", server.port);
    let folder = tempfile::tempdir().unwrap();
    let open = |authorities: Option<String>| {
        let settings = RedisSettings {
            authorities,
            ..RedisSettings::at(&url)
        };
        RedisStore::open(settings, Arc::new(DurableFolder::open(folder.path()).unwrap()))
    };
    let store = open(Some(authority.clone())).await.unwrap();
    let id = submit(&store).await.unwrap();
    assert_eq!(store.get(&id).await.unwrap().0.state, State::Queued);
    assert_eq!(open(None).await.unwrap_err().code, Code::StoreFailed);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    assert_eq!(open(Some(nonsense)).await.unwrap_err().code, Code::InvalidParameter);

    let options = RedisOptions {
        authorities: Some(authority),
        ..RedisOptions::default()
    };
    let objects = RedisObjects::new(&url.parse().unwrap(), options).unwrap();
    objects.put(&Path::from("a"), "1".into()).await.unwrap();
    assert_eq!(objects.get(&Path::from("a")).await.unwrap().bytes().await.unwrap(), "1");
}
