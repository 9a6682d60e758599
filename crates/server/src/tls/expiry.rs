//! When certificates end.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// The earliest `notAfter` of a chain, in seconds since 1970: a client that checks the whole chain refuses it
/// from then on. None if no certificate of it can be read.
pub(super) fn earliest_end(chain: &[CertificateDer<'_>]) -> Option<i64> {
    ends(chain).min()
}

/// The latest `notAfter` of some authorities: from then on nobody is trusted by them. An earlier one says
/// little, since a file may hold an authority and the one that follows it.
pub(super) fn latest_end(authorities: &[CertificateDer<'_>]) -> Option<i64> {
    ends(authorities).max()
}

fn ends(certificates: &[CertificateDer<'_>]) -> impl Iterator<Item = i64> {
    let read = certificates.iter().filter_map(|certificate| X509Certificate::from_der(certificate).ok());
    read.map(|(_, certificate)| certificate.validity().not_after.timestamp())
}
