//! Two real ends of TLS (rustls) in memory. In: what each says. Out: what passes between them, and the client's key log.
//!
//! The rule: nothing of this crate's own is in here, so that tests and benches hold it against others' words.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

/// A key log in memory.
#[derive(Debug, Default)]
pub struct Log(Mutex<String>);

impl KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        self.0.lock().unwrap().push_str(&line);
    }
}

/// How two ends are set up.
pub struct Ends {
    pub client: ClientConfig,
    pub server: ServerConfig,
    log: Arc<Log>,
}

impl Ends {
    /// Both ends with what `client` and `server` can do; versions are those of their suites.
    pub fn new(client: CryptoProvider, server: CryptoProvider) -> Self {
        let made = rcgen::generate_simple_self_signed(["shop.example".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let log = Arc::new(Log::default());
        let mut asks = ClientConfig::builder_with_provider(Arc::new(client.clone()))
            .with_protocol_versions(&versions(&client))
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        asks.key_log = log.clone();
        asks.enable_early_data = true;
        let answers = ServerConfig::builder_with_provider(Arc::new(server.clone()))
            .with_protocol_versions(&versions(&server))
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self {
            client: asks,
            server: answers,
            log,
        }
    }

    /// They begin a connection.
    pub fn meet(&self) -> Talk {
        let name = "shop.example".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(self.client.clone()), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(self.server.clone())).unwrap();
        client.set_buffer_limit(None);
        server.set_buffer_limit(None);
        Talk {
            client,
            server,
            wire: Vec::new(),
        }
    }

    /// What the client has logged so far (SSLKEYLOGFILE).
    pub fn key_log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }
}

fn versions(provider: &CryptoProvider) -> Vec<&'static SupportedProtocolVersion> {
    let suites = &provider.cipher_suites;
    let spoken = |version: &&&SupportedProtocolVersion| {
        suites.iter().any(|suite| suite.version() == **version)
    };
    rustls::ALL_VERSIONS
        .iter()
        .filter(spoken)
        .copied()
        .collect()
}

/// One connection of two ends, and what passed between them.
pub struct Talk {
    pub client: ClientConnection,
    pub server: ServerConnection,
    /// Who said what: true is the client.
    pub wire: Vec<(bool, Vec<u8>)>,
}

impl Talk {
    /// Carries what each end has to send to the other, until neither has anything.
    pub fn carry(&mut self) -> &mut Self {
        for turn in 0.. {
            assert!(turn < 1_000, "they go on for ever");
            let mut bytes = Vec::new();
            let from_client = if self.client.wants_write() {
                self.client.write_tls(&mut bytes).unwrap();
                true
            } else if self.server.wants_write() {
                self.server.write_tls(&mut bytes).unwrap();
                false
            } else {
                return self;
            };
            self.wire.push((from_client, bytes.clone()));
            let mut rest = bytes.as_slice();
            let mut read = Vec::new();
            while !rest.is_empty() {
                if from_client {
                    self.server.read_tls(&mut rest).unwrap();
                    self.server.process_new_packets().unwrap();
                    if let Some(mut early) = self.server.early_data() {
                        early.read_to_end(&mut read).unwrap();
                    }
                    let _ = self.server.reader().read_to_end(&mut read);
                } else {
                    self.client.read_tls(&mut rest).unwrap();
                    self.client.process_new_packets().unwrap();
                    let _ = self.client.reader().read_to_end(&mut read);
                }
            }
        }
        self
    }

    /// What passed, a record at a time.
    #[cfg(test)]
    pub fn by_record(mut self) -> Self {
        let whole = std::mem::take(&mut self.wire);
        for (from_client, bytes) in &whole {
            let mut rest = bytes.as_slice();
            while let [_, _, _, high, low, ..] = *rest {
                let (record, after) =
                    rest.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
                self.wire.push((*from_client, record.to_vec()));
                rest = after;
            }
        }
        self
    }

    /// The client says so, and all is carried.
    pub fn client_says(&mut self, words: &[u8]) -> &mut Self {
        for words in words.chunks(16 * 1024) {
            self.client.writer().write_all(words).unwrap();
            self.carry();
        }
        self
    }

    /// The server says so, and all is carried.
    pub fn server_says(&mut self, words: &[u8]) -> &mut Self {
        for words in words.chunks(16 * 1024) {
            self.server.writer().write_all(words).unwrap();
            self.carry();
        }
        self
    }
}
