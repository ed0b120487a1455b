//! The keys that verify tokens: read from files, and as strong as their algorithms ask (RFC 7518).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use x509_cert::{
    der::{Decode, Reader, SliceReader, asn1::UintRef, oid::ObjectIdentifier, pem},
    spki::SubjectPublicKeyInfoRef,
};

use crate::keys::SECRET_BYTES_MIN;

/// How many bits an RSA key has at least, and at most.
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;
const POINT_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

/// The types of keys that are read.
const KEY_TYPES: [&str; 4] = ["EC", "OKP", "RSA", "oct"];

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// A JWKS, as far as it is the same for every type of key.
#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// One key, and the one algorithm that it is for.
pub struct VerifyingKey {
    pub id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

impl VerifyingKey {
    fn new(id: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Result<Self, String> {
        let is_of_size = |bytes: &[u8], wanted: usize| bytes.len() == wanted;
        match (algorithm, key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) if secret.len() < SECRET_BYTES_MIN => {
                return Err(format!("a shared secret must have at least {SECRET_BYTES_MIN} bytes"));
            }
            (Algorithm::RS256, DecodingKeyKind::SecretOrDer(der)) => {
                let (modulus, exponent) = rsa_parts(der).ok_or("it is no RSA key")?;
                check_rsa(modulus, exponent)?;
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => check_rsa(n, e)?,
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point))
                if !is_of_size(point, POINT_BYTES) || point[0] != 4 =>
            {
                return Err("it is no point of the curve P-256".to_owned());
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(bytes)) if !is_of_size(bytes, ED25519_BYTES) => {
                return Err("it is no Ed25519 key".to_owned());
            }
            _ => {}
        }
        Ok(Self { id, algorithm, key })
    }

    /// A shared secret that is long enough.
    #[cfg(any(test, feature = "fuzzing"))]
    pub fn of_secret(secret: &[u8; SECRET_BYTES_MIN]) -> Self {
        Self { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) }
    }

    /// A key of a JWKS; none where it is for something else.
    fn of_jwk(jwk: &Jwk) -> Result<Option<Self>, String> {
        let common = &jwk.common;
        let is_for_verifying = common.public_key_use.as_ref().is_none_or(|how| *how == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_verifying {
            return Ok(None);
        }
        let of_type = match &jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(curve) if curve.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return Ok(None),
        };
        let named = match common.key_algorithm {
            None => of_type,
            Some(KeyAlgorithm::HS256) => Algorithm::HS256,
            Some(KeyAlgorithm::RS256) => Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => Algorithm::ES256,
            Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
            Some(_) => return Ok(None),
        };
        let called = common.key_id.as_deref().unwrap_or("without a kid");
        if named != of_type {
            return Err(format!("the key {called} says alg {named:?}, but is of another type"));
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("the key {called}: {error}"))?;
        Self::new(common.key_id.clone(), named, key).map(Some).map_err(|why| format!("the key {called}: {why}"))
    }

    fn of_pem(text: &str) -> Result<Self, String> {
        let wanted = "a PEM file must hold one public key: Ed25519, EC P-256 or RSA of 2,048 bits or more";
        if text.matches("-----BEGIN").count() != 1 {
            return Err(format!("{wanted}; this one has several parts"));
        }
        let (label, der) = pem::decode_vec(text.trim().as_bytes()).map_err(|_| wanted.to_owned())?;
        let (algorithm, key) = match label {
            "PUBLIC KEY" => of_spki(&der).ok_or_else(|| wanted.to_owned())?,
            "RSA PUBLIC KEY" => (Algorithm::RS256, DecodingKey::from_rsa_der(&der)),
            other if other.contains("PRIVATE KEY") => {
                return Err(format!("{wanted}; this one holds a private key, which belongs to the issuer only"));
            }
            other => return Err(format!("{wanted}; this one holds a {other}")),
        };
        Self::new(None, algorithm, key).map_err(|why| format!("{wanted}; {why}"))
    }
}

/// The key of a SubjectPublicKeyInfo.
fn of_spki(der: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let bytes = info.subject_public_key.as_bytes()?;
    match info.algorithm.oid {
        ED25519 => Some((Algorithm::EdDSA, DecodingKey::from_ed_der(bytes))),
        EC if info.algorithm.parameters_oid().is_ok_and(|curve| curve == P256) => {
            Some((Algorithm::ES256, DecodingKey::from_ec_der(bytes)))
        }
        RSA => Some((Algorithm::RS256, DecodingKey::from_rsa_der(bytes))),
        _ => None,
    }
}

/// The modulus and the exponent of an RSA key (PKCS #1).
fn rsa_parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(der).ok()?;
    let parts = reader.sequence(|inner| {
        let (modulus, exponent): (UintRef<'_>, UintRef<'_>) = (inner.decode()?, inner.decode()?);
        Ok((modulus.as_bytes(), exponent.as_bytes()))
    });
    parts.ok()
}

fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), String> {
    let leading = modulus.iter().take_while(|byte| **byte == 0).count();
    let significant = &modulus[leading..];
    let bits = significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        return Err(format!("an RSA key must have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, this one has {bits}"));
    }
    let is_one = exponent.iter().rev().skip(1).all(|byte| *byte == 0) && exponent.last().is_none_or(|last| *last < 3);
    if is_one || exponent.last().is_some_and(|last| last % 2 == 0) {
        return Err("the exponent of an RSA key must be odd and at least 3".to_owned());
    }
    Ok(())
}

/// The keys of a file: a JWKS, a public key in PEM, or a shared secret in base64.
pub fn parse_keys(text: &str) -> Result<Vec<VerifyingKey>, String> {
    let text = text.trim();
    if text.starts_with('{') {
        let set: KeySet = serde_json::from_str(text).map_err(|error| format!("no JWKS: {error}"))?;
        let mut keys = Vec::with_capacity(set.keys.len());
        for key in set.keys {
            // Keys of types that are not known here are for others (RFC 7517).
            let kind = key.get("kty").and_then(Value::as_str).unwrap_or_default();
            if !KEY_TYPES.contains(&kind) {
                continue;
            }
            if kind != "oct" && key.get("d").is_some() {
                return Err("the JWKS holds a private key, which belongs to the issuer only".to_owned());
            }
            let jwk: Jwk = serde_json::from_value(key).map_err(|error| format!("no key of a JWKS: {error}"))?;
            keys.extend(VerifyingKey::of_jwk(&jwk)?);
        }
        if keys.is_empty() {
            return Err("the JWKS has no key that verifies for HS256, RS256, ES256 or EdDSA".to_owned());
        }
        return Ok(keys);
    }
    if text.contains("-----BEGIN") {
        return Ok(vec![VerifyingKey::of_pem(text)?]);
    }
    let secret = BASE64.decode(text).map_err(|_| "neither a JWKS, nor a public key in PEM, nor base64".to_owned())?;
    Ok(vec![VerifyingKey::new(None, Algorithm::HS256, DecodingKey::from_secret(&secret))?])
}
