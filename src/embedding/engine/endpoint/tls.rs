//! TLS to an endpoint: the certificates that are trusted, and what a failure of TLS means.

use std::error::Error as StdError;
use std::io;

use reqwest::{Certificate, ClientBuilder};
use rustls::{CertificateError, Error as TlsError};

use crate::base::error::{Error, Result};

/// Maximum bytes of `endpoint.ca_file`: the certificates of a whole system are 300 KB.
const CA_BYTES_MAX: u64 = 8 << 20;

/// `builder` with the certificates that are trusted: those of the system, and those of `ca_file`
/// unless that is empty.
pub fn with_certificates(
    builder: ClientBuilder,
    is_https: bool,
    ca_file: &str,
) -> Result<ClientBuilder> {
    let own = own(ca_file)?;
    if is_https {
        Ok(builder.tls_certs_merge(own))
    } else {
        // Plain HTTP also works on a machine without certificates.
        Ok(builder.tls_certs_only([]))
    }
}

/// The certificates of `ca_file`; none if it is empty.
pub fn own(ca_file: &str) -> Result<Vec<Certificate>> {
    if ca_file.is_empty() { Ok(Vec::new()) } else { read(ca_file) }
}

/// The error for a client that cannot be built.
pub fn not_started(error: reqwest::Error, ca_file: &str) -> Error {
    let detail = chain(&error);
    if ca_file.is_empty() {
        Error::Unavailable {
            what: "TLS to the endpoint (endpoint.url)".to_owned(),
            remedy: format!(
                "{detail}; install the system's certificates (the package ca-certificates), or name \
                 a PEM file in endpoint.ca_file"
            ),
        }
    } else {
        wrong(ca_file, &format!("certificates that can be used: {detail}"))
    }
}

/// The certificates of a PEM file.
fn read(path: &str) -> Result<Vec<Certificate>> {
    let length = std::fs::metadata(path).map(|file| file.len());
    let pem = match length {
        Ok(bytes) if bytes > CA_BYTES_MAX => {
            return Err(wrong(path, &format!("a PEM file of at most {CA_BYTES_MAX} bytes")));
        }
        Ok(_) => std::fs::read(path),
        Err(error) => Err(error),
    };
    let pem = pem.map_err(|error| wrong(path, &format!("a PEM file that can be read: {error}")))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|error| wrong(path, &format!("certificates in PEM: {}", chain(&error))))?;
    if certificates.is_empty() {
        return Err(wrong(path, "a PEM file with at least one BEGIN CERTIFICATE"));
    }
    Ok(certificates)
}

fn wrong(path: &str, expected: &str) -> Error {
    Error::ConfigValue {
        name: "endpoint.ca_file".to_owned(),
        value: path.to_owned(),
        origin: "the settings".to_owned(),
        expected: expected.to_owned(),
    }
}

/// What to do about `error`, if TLS is its cause or may be.
pub fn remedy(error: &reqwest::Error, is_https: bool) -> Option<&'static str> {
    const NOT_TLS: &str = "the port does not speak TLS; write http:// into endpoint.url if that is \
                           meant";
    match tls_error(error) {
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Some(
            "its certificate is for another host name; write the name of the certificate into \
             endpoint.url",
        ),
        Some(TlsError::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Some("its certificate has expired; renew it"),
        Some(TlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Some("its certificate is not valid yet; check the clock of this machine"),
        Some(TlsError::InvalidCertificate(_)) => Some(
            "its certificate is not trusted; if it should be, write the PEM file of the authority \
             that signed it into endpoint.ca_file",
        ),
        Some(TlsError::InvalidMessage(_)) => Some(NOT_TLS),
        Some(_) => Some("TLS failed"),
        None if !is_https && is_no_http(error) => Some(
            "the port does not answer in HTTP; write https:// into endpoint.url if it speaks TLS",
        ),
        None => None,
    }
}

/// The error of rustls among the causes of `error`.
fn tls_error(error: &reqwest::Error) -> Option<&TlsError> {
    causes(error).find_map(|mut cause| {
        // An error of I/O is the wrapper, not the effect, of the one inside it.
        while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            cause = inner;
        }
        cause.downcast_ref::<TlsError>()
    })
}

/// Whether the bytes of the response were no HTTP.
fn is_no_http(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(|e| e.is_parse()))
}

/// The messages of an error and its causes.
pub fn chain(error: &reqwest::Error) -> String {
    causes(error).map(|cause| cause.to_string()).collect::<Vec<_>>().join(": ")
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let first: &(dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |cause: &&(dyn StdError + 'static)| (*cause).source())
}
