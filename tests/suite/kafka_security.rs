//! A Kafka that wants to know who talks to it: one broker with a listener for TLS and one for SASL.

use std::sync::OnceLock;

use loadtest::broker::{Broker, BrokerOptions};
use loadtest::ports;
use tidegate::deliver::Mode;
use tidegate::deliver::sinks::kafka;
use tidegate::deliver::sinks::kafka::security::{Mechanism, Protocol, Settings};

use super::kafka::{check_both, create, post, served};
use super::support::certificates::Authority;
use super::support::{Client, Request, Served, eventually};

const USER: &str = "tidegate";
const PASSWORD: &str = "a password of the suite";

/// The broker with its two ports, and who signed its certificate.
struct Secured {
    broker: Broker,
    authority: Authority,
    tls: u16,
    sasl: u16,
}

fn secured() -> &'static Secured {
    static SECURED: OnceLock<Secured> = OnceLock::new();
    SECURED.get_or_init(|| {
        let authority = Authority::new();
        let (tls, sasl) = (ports::free().expect("a port"), ports::free().expect("a port"));
        let keystore = authority.keystore("broker", &["127.0.0.1", "localhost"]);
        let (keystore, root) = (keystore.display().to_string(), authority.root());
        let login = |class: &str| format!("org.apache.kafka.common.security.{class} required");
        let plain = format!("{} user_{USER}=\"{PASSWORD}\";", login("plain.PlainLoginModule"));
        let scram = format!("{};", login("scram.ScramLoginModule"));
        let token = login("oauthbearer.OAuthBearerLoginModule");
        let token = format!("{token} unsecuredLoginStringClaim_sub=\"broker\";");
        let properties = [
            ("ssl.keystore.type", "PEM".to_owned()),
            ("ssl.keystore.location", keystore),
            ("ssl.truststore.type", "PEM".to_owned()),
            ("ssl.truststore.location", root.display().to_string()),
            ("listener.name.ssl.ssl.client.auth", "required".to_owned()),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned()),
            ("listener.name.sasl_ssl.plain.sasl.jaas.config", plain),
            ("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", scram.clone()),
            ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", scram),
            ("listener.name.sasl_ssl.oauthbearer.sasl.jaas.config", token),
        ];
        let properties = properties.map(|(key, value)| (key.to_owned(), value)).into();
        let scram = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .map(|mechanism| format!("{mechanism}=[name={USER},password={PASSWORD}]"));
        let options = BrokerOptions {
            listeners: vec![("SSL", tls), ("SASL_SSL", sasl)],
            scram: scram.into(),
            properties,
            ..BrokerOptions::default()
        };
        Secured { broker: Broker::start(options).expect("a broker"), authority, tls, sasl }
    })
}

impl Secured {
    /// A gateway that knows the authority, on one of the listeners.
    fn serve(&self, prefix: &str, port: u16, adjust: impl FnOnce(&mut Settings)) -> Served {
        served(&format!("127.0.0.1:{port}"), prefix, |settings| {
            settings.kafka.divert_ms = 15_000;
            settings.kafka.security.ca = self.authority.root();
            adjust(&mut settings.kafka.security);
        })
    }

    /// The same with SASL.
    fn login(
        &self,
        prefix: &str,
        mechanism: Mechanism,
        adjust: impl FnOnce(&mut Settings),
    ) -> Served {
        self.serve(prefix, self.sasl, |security| {
            security.protocol = Protocol::SaslSsl;
            security.mechanism = mechanism;
            USER.clone_into(&mut security.username);
            security.password = PASSWORD.into();
            adjust(security);
        })
    }

    /// Batches arrive in both tiers.
    fn arrives(&self, prefix: &str, serve: impl FnOnce() -> Served) {
        create(&self.broker, prefix, &["other"]);
        let mut served = serve();
        let sent = post(&mut Client::connect(served.address()), prefix, 3);
        let ready = Client::connect(served.admin()).send(&Request::get("/readyz")).json();
        assert_eq!(ready["clusters"][0]["trouble"], serde_json::Value::Null, "{prefix}: {ready}");
        served.stop();
        check_both(&self.broker, prefix, &sent);
    }
}

#[test]
fn batches_arrive_over_mutual_tls() {
    let secured = secured();
    secured.arrives("mutual", || {
        let pair = secured.authority.client("gateway", 7);
        secured.serve("mutual", secured.tls, |security| {
            security.protocol = Protocol::Ssl;
            (security.cert, security.key) = (pair.cert, pair.key);
        })
    });
}

#[test]
fn batches_arrive_with_name_and_password() {
    let secured = secured();
    for (prefix, mechanism) in [
        ("plain", Mechanism::Plain),
        ("scram-256", Mechanism::ScramSha256),
        ("scram-512", Mechanism::ScramSha512),
    ] {
        secured.arrives(prefix, || secured.login(prefix, mechanism, |_| ()));
    }
}

#[test]
fn batches_arrive_with_a_token_from_a_file() {
    let secured = secured();
    // Kafka's own unsecured tokens: header, claims, and no signature.
    let claims = r#"{"sub":"tidegate","iat":1700000000,"exp":4000000000}"#;
    let token = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(claims.as_bytes()));
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("token");
    std::fs::write(&file, token).expect("room for a file");
    secured.arrives("token", || {
        let file = file.clone();
        secured.login("token", Mechanism::OauthBearer, |security| security.token_file = file)
    });
    // `tidegate ledger` reads with it as well.
    let settings = kafka::Settings {
        brokers: format!("127.0.0.1:{}", secured.sasl),
        topic_prefix: "token".to_owned(),
        security: Settings {
            protocol: Protocol::SaslSsl,
            mechanism: Mechanism::OauthBearer,
            ca: secured.authority.root(),
            token_file: file,
            ..Settings::default()
        },
        ..kafka::Settings::default()
    };
    let read = kafka::tier1::records::<kafka::tier1::Error>(&settings, |(_, record)| {
        assert!(record.is_ok(), "a record of tier 1: {record:?}");
        Ok(())
    });
    assert_eq!(read.expect("a topic").records, 3);
}

#[test]
fn each_cluster_has_a_security_of_its_own() {
    let secured = secured();
    let (broker, prefix) = (&secured.broker, "two-doors");
    create(broker, prefix, &["other"]);
    // One broker by both of its doors: by certificate, and by name and password.
    let pair = secured.authority.client("gateway", 7);
    let mut served = served(&format!("127.0.0.1:{}", secured.tls), prefix, |settings| {
        settings.kafka.divert_ms = 15_000;
        let root = secured.authority.root();
        settings.kafka.security = Settings {
            protocol: Protocol::Ssl,
            ca: root.clone(),
            cert: pair.cert,
            key: pair.key,
            ..Settings::default()
        };
        let second = &mut settings.kafka.second;
        (second.brokers, second.mode) = (format!("127.0.0.1:{}", secured.sasl), Mode::Mirror);
        second.security = Some(Settings {
            protocol: Protocol::SaslSsl,
            ca: root,
            username: USER.to_owned(),
            password: PASSWORD.into(),
            ..Settings::default()
        });
    });
    let sent = post(&mut Client::connect(served.address()), prefix, 3);
    served.stop();
    let ends = |topic: &str| {
        let ends = broker.topics().end_offsets(&format!("{prefix}.{topic}"));
        ends.expect("a topic").iter().sum::<i64>()
    };
    let batches = i64::try_from(sent.len()).expect("three");
    assert_eq!(ends("raw"), 2 * batches, "each batch came through both doors");
}

#[test]
fn a_wrong_password_is_named_and_the_journal_takes_the_batch() {
    let secured = secured();
    let broker = &secured.broker;
    create(broker, "wrong", &["other"]);
    let mut served = served(&format!("127.0.0.1:{}", secured.sasl), "wrong", |settings| {
        settings.kafka.divert_ms = 200;
        let security = &mut settings.kafka.security;
        security.protocol = Protocol::SaslSsl;
        security.ca = secured.authority.root();
        USER.clone_into(&mut security.username);
        security.password = "another password".into();
    });
    let sent = post(&mut Client::connect(served.address()), "wrong", 3);
    let admin = served.admin();
    let ready = eventually("the trouble is named", || {
        let ready = Client::connect(admin).send(&Request::get("/readyz"));
        let trouble = ready.json()["clusters"][0]["trouble"].as_str()?.to_owned();
        trouble.starts_with("authentication failed").then_some(ready)
    });
    assert_eq!(ready.status, 200, "the journal keeps the promises");
    assert!(!ready.text().contains("another password"), "{}", ready.text());
    assert_eq!(broker.topics().end_offsets("wrong.raw").expect("a topic").iter().sum::<i64>(), 0);
    // With the right one, what the journal took arrives.
    served.restart(|settings| settings.kafka.security.password = PASSWORD.into());
    eventually("what was journalled is in Kafka", || {
        let ends = broker.topics().end_offsets("wrong.event.other").expect("a topic");
        (ends.iter().sum::<i64>() >= 24).then_some(())
    });
    served.stop();
    check_both(broker, "wrong", &sent);
}

#[test]
fn a_broker_that_nobody_vouches_for_is_not_talked_to() {
    let secured = secured();
    let stranger = Authority::new();
    create(&secured.broker, "stranger", &["other"]);
    let served = served(&format!("127.0.0.1:{}", secured.sasl), "stranger", |settings| {
        settings.kafka.divert_ms = 200;
        let security = &mut settings.kafka.security;
        security.protocol = Protocol::SaslSsl;
        security.ca = stranger.root();
        USER.clone_into(&mut security.username);
        security.password = PASSWORD.into();
    });
    post(&mut Client::connect(served.address()), "stranger", 1);
    let trouble = eventually("the trouble is named", || {
        let ready = Client::connect(served.admin()).send(&Request::get("/readyz"));
        let trouble = ready.json()["clusters"][0]["trouble"].as_str()?.to_owned();
        trouble.starts_with("tls handshake failed").then_some(trouble)
    });
    assert!(trouble.contains("certificate"), "{trouble}");
    let ends = secured.broker.topics().end_offsets("stranger.raw").expect("a topic");
    assert_eq!(ends.iter().sum::<i64>(), 0);
}

/// Base64 for URLs without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for at in 0..=three.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * at) & 63) as usize]));
        }
    }
    text
}
