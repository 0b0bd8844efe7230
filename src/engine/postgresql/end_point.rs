//! The hash of a server's certificate that a SCRAM login is bound to (RFC 5929, tls-server-end-point).

use sha2::{Digest, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;

/// Signature algorithms by their encoded object identifier. The rest (Ed25519, RSA-PSS) have no hash that RFC 5929
/// defines, and there the login is not bound.
const SHA256: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], // sha256WithRSAEncryption
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],       // ecdsa-with-SHA256
];
const SHA384: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03],
];
const SHA512: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04],
];
/// MD5 and SHA-1 signatures: RFC 5929 says to use SHA-256 for them.
const WEAK: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04],
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
];

/// The hash, made with the hash function of the certificate's own signature.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    if SHA256.contains(&algorithm) || WEAK.contains(&algorithm) {
        Some(Sha256::digest(certificate).to_vec())
    } else if SHA384.contains(&algorithm) {
        Some(Sha384::digest(certificate).to_vec())
    } else if SHA512.contains(&algorithm) {
        Some(Sha512::digest(certificate).to_vec())
    } else {
        None
    }
}

/// Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … }
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (body, _) = element(certificate, SEQUENCE)?;
    let (_, after_tbs) = element(body, SEQUENCE)?;
    let (algorithm, _) = element(after_tbs, SEQUENCE)?;
    Some(element(algorithm, OID)?.0)
}

/// The content of the DER element of this tag at the start of `input`, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 4 {
            return None;
        }
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    if found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(oid: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| {
            let mut out = vec![tag, 0x81, u8::try_from(content.len()).expect("short")];
            out.extend_from_slice(content);
            out
        };
        let tbs = wrap(SEQUENCE, &[0x02, 0x01, 0x01]);
        let algorithm = wrap(SEQUENCE, &wrap(OID, oid));
        wrap(SEQUENCE, &[tbs, algorithm].concat())
    }

    #[test]
    fn the_hash_is_the_one_of_the_certificates_signature() {
        let sha384 = certificate(SHA384[1]);
        assert_eq!(end_point(&sha384), Some(Sha384::digest(&sha384).to_vec()));
        let sha1 = certificate(WEAK[1]);
        assert_eq!(end_point(&sha1), Some(Sha256::digest(&sha1).to_vec()));
    }

    #[test]
    fn an_unknown_algorithm_or_a_broken_certificate_has_none() {
        assert_eq!(end_point(&certificate(&[0x2b, 0x65, 0x70])), None);
        assert_eq!(end_point(&[0x30, 0x84, 0xff]), None);
        assert_eq!(end_point(&[]), None);
    }
}
