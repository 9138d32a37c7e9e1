//! An endpoint that speaks TLS.

use std::fs;

use crate::support::{Place, Ran, Serving, TlsProxy};

/// A year in which no test runs any more.
const FAR_YEAR: i32 = 2150;

/// A server of the tiny model, and the place of its clients with a file of texts.
fn endpoint() -> (Place, Serving) {
    let place = Place::new(&[]);
    fs::write(place.path().join("texts.txt"), "fn main() {}\nhow is a header parsed\n").unwrap();
    let server = Serving::start(&place, &["--set", "engine.cache_bytes_max=0"]);
    server.wait_for_engine();
    (place, server)
}

/// Embeds the texts at `url`. ca_file: the file of certificates that are trusted, empty for none.
fn embed(place: &Place, url: &str, ca_file: &str) -> Ran {
    let (url, ca_file) = (format!("endpoint.url={url}"), format!("endpoint.ca_file={ca_file}"));
    let settings = ["vllm.mode=http", &url, &ca_file, "endpoint.retries_max=0"];
    let flags = settings.iter().flat_map(|setting| ["--set", setting]);
    let args: Vec<&str> = ["embed", "texts.txt"].into_iter().chain(flags).collect();
    let mut command = place.command(&args);
    command.env("CODEINTEL_ENDPOINT_API_KEY", "sesame");
    command.env("CODEINTEL_ENGINE_CACHE_BYTES_MAX", "0");
    let ran = Ran::from(command.output().unwrap());
    assert!(!format!("{ran:?}").contains("sesame"), "{ran:?}");
    ran
}

#[test]
fn an_endpoint_with_a_certificate_of_ones_own_authority_is_trusted_by_its_file() {
    let (place, server) = endpoint();
    let proxy = TlsProxy::start(&server.address, "127.0.0.1", FAR_YEAR);
    let other = TlsProxy::start(&server.address, "127.0.0.1", FAR_YEAR);
    let url = format!("https://{}", proxy.address);
    let write = |name: &str, pem: &str| fs::write(place.path().join(name), pem).unwrap();
    write("ca.pem", &proxy.ca_pem);
    write("several.pem", &format!("# Ours\n{}{}", other.ca_pem, proxy.ca_pem));
    write("other.pem", &other.ca_pem);
    let plain = embed(&place, &server.url(""), "").ok();
    assert_eq!(plain.lines().count(), 2);
    for ca_file in ["ca.pem", "several.pem"] {
        assert_eq!(embed(&place, &url, ca_file).ok(), plain, "{ca_file}");
    }
    for ca_file in ["", "other.pem"] {
        let parts = [&*url, "not trusted", "endpoint.ca_file", "invalid peer certificate"];
        embed(&place, &url, ca_file).fails(16, &parts);
    }
    let url = format!("endpoint.url={url}");
    let args = ["doctor", "--set", "vllm.mode=http", "--set", &url];
    let trusted = place.run(&[&args[..], &["--set", "endpoint.ca_file=ca.pem"]].concat());
    assert!(trusted.out.contains("vectors of 64 values"), "{trusted:?}");
    let unknown = place.run(&args);
    assert!(unknown.out.contains("endpoint.ca_file"), "{unknown:?}");
}

#[test]
fn a_connection_that_is_not_secure_is_refused_with_the_reason_and_the_remedy() {
    let (place, server) = endpoint();
    let start = |name, year| {
        let proxy = TlsProxy::start(&server.address, name, year);
        fs::write(place.path().join("ca.pem"), &proxy.ca_pem).unwrap();
        let url = format!("https://{}", proxy.address);
        (proxy, url)
    };
    let (_proxy, url) = start("elsewhere.example", FAR_YEAR);
    embed(&place, &url, "ca.pem").fails(16, &["another host name", "endpoint.url"]);
    let (_proxy, url) = start("127.0.0.1", 2001);
    embed(&place, &url, "ca.pem").fails(16, &["expired"]);
    let (proxy, _) = start("127.0.0.1", FAR_YEAR);
    let plain = format!("http://{}", proxy.address);
    embed(&place, &plain, "").fails(16, &["https://", "endpoint.url"]);
    let tls = format!("https://{}", server.address);
    embed(&place, &tls, "").fails(16, &["does not speak TLS", "http://"]);
}

#[test]
fn a_file_without_certificates_is_named_with_what_it_must_hold() {
    let (place, server) = endpoint();
    let proxy = TlsProxy::start(&server.address, "127.0.0.1", FAR_YEAR);
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("empty.pem", ""),
        ("words.pem", "no certificate"),
        ("key.pem", &proxy.key_pem),
        ("damaged.pem", damaged),
    ] {
        fs::write(place.path().join(name), text).unwrap();
    }
    fs::create_dir(place.path().join("folder.pem")).unwrap();
    for name in ["absent.pem", "folder.pem", "empty.pem", "words.pem", "key.pem", "damaged.pem"] {
        for url in [format!("https://{}", proxy.address), server.url("")] {
            if name == "damaged.pem" && url.starts_with("http:") {
                continue;
            }
            embed(&place, &url, name).fails(3, &["endpoint.ca_file", name]);
        }
    }
}

#[test]
fn a_system_without_certificates_needs_them_only_for_tls() {
    let (place, server) = endpoint();
    let proxy = TlsProxy::start(&server.address, "127.0.0.1", FAR_YEAR);
    fs::write(place.path().join("ca.pem"), &proxy.ca_pem).unwrap();
    let embed = |url: &str, ca_file: &str| {
        let settings = [
            "vllm.mode=http".to_owned(),
            format!("endpoint.url={url}"),
            format!("endpoint.ca_file={ca_file}"),
        ];
        let flags = settings.iter().flat_map(|setting| ["--set", setting]);
        let args: Vec<&str> = ["embed", "texts.txt"].into_iter().chain(flags).collect();
        let mut command = place.command(&args);
        command.env("SSL_CERT_FILE", "/absent").env("SSL_CERT_DIR", "/absent");
        Ran::from(command.output().unwrap())
    };
    let tls = format!("https://{}", proxy.address);
    let plain = embed(&server.url(""), "").ok();
    assert_eq!(embed(&tls, "ca.pem").ok(), plain);
    embed(&tls, "").fails(16, &["endpoint.ca_file", "ca-certificates"]);
}
