//! Every algorithm from every form of key file, and every token that must be turned away.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const NOW_SKEW: i64 = 3_600;
/// How long keys stay good whose file is gone.
const GRACE: Duration = Duration::from_secs(3);

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl is installed");
    child.stdin.take().expect("standard input").write_all(input).expect("writes");
    let output = child.wait_with_output().expect("ends");
    assert!(output.status.success(), "{arguments:?}");
    output.stdout
}

/// Signs as an issuer does, with a private key in DER.
pub fn sign(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    use ::ring::{rand::SystemRandom, signature as ring};
    let random = SystemRandom::new();
    match algorithm {
        Algorithm::EdDSA => {
            Some(ring::Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).ok()?.sign(message).as_ref().to_vec())
        }
        Algorithm::ES256 => {
            let pair = ring::EcdsaKeyPair::from_pkcs8(&ring::ECDSA_P256_SHA256_FIXED_SIGNING, key, &random).ok()?;
            Some(pair.sign(&random, message).ok()?.as_ref().to_vec())
        }
        Algorithm::RS256 => {
            let pair = ring::RsaKeyPair::from_pkcs8(key).ok()?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&ring::RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
            Some(signature)
        }
        _ => None,
    }
}

/// A private key, what it signs with, its public key in PEM, and as a JWK.
struct Pair {
    algorithm: Algorithm,
    signer: EncodingKey,
    public_pem: String,
    jwk: Value,
}

fn pair(algorithm: Algorithm) -> Pair {
    let made = match algorithm {
        Algorithm::EdDSA => openssl(&["genpkey", "-algorithm", "ed25519"], b""),
        Algorithm::ES256 => openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], b""),
        _ => openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], b""),
    };
    ring_provider::install();
    let private = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &made);
    let public_pem = openssl(&["pkey", "-pubout"], &made);
    let der = openssl(&["pkey", "-pubout", "-outform", "DER"], &made);
    let part = |from: usize, to: usize| URL_SAFE_NO_PAD.encode(&der[der.len() - from..der.len() - to]);
    let (signer, jwk) = match algorithm {
        Algorithm::EdDSA => (
            EncodingKey::from_ed_der(&private),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": part(32, 0), "use": "sig"}),
        ),
        Algorithm::ES256 => (
            EncodingKey::from_ec_der(&private),
            json!({"kty": "EC", "crv": "P-256", "kid": "one", "x": part(64, 32), "y": part(32, 0), "alg": "ES256"}),
        ),
        // The public key ends in the modulus of 256 bytes and the exponent 65537 with its header of two.
        _ => (
            EncodingKey::from_rsa_der(&private),
            json!({"kty": "RSA", "kid": "one", "n": part(261, 5), "e": part(3, 0), "alg": "RS256"}),
        ),
    };
    let public_pem = String::from_utf8(public_pem).expect("text");
    Pair { algorithm, signer, public_pem, jwk }
}

fn rules() -> TokenRules {
    TokenRules { audience: "hookline".into(), issuer: Some("https://issuer.example".into()) }
}

fn now() -> i64 {
    crate::clock::now().seconds()
}

/// The claims of a good token.
fn good() -> Value {
    json!({"role": "user", "accounts": ["42"], "user_id": "7", "aud": ["other", "hookline"],
        "iss": "https://issuer.example", "exp": now() + NOW_SKEW})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn signed(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(Into::into), ..Header::new(algorithm) };
    encode(&header, claims, key).expect("signs")
}

fn authenticator(files: &[&str]) -> (tempfile::TempDir, Authenticator) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |(at, text): (usize, &&str)| {
        let path = folder.path().join(format!("key-{at}"));
        std::fs::write(&path, text).expect("writes");
        path
    };
    let paths = files.iter().enumerate().map(write).collect();
    let authenticator = Authenticator::new(paths, rules(), GRACE).expect("reads the keys");
    (folder, authenticator)
}

fn call(authenticator: &Authenticator, header: &str) -> Result<Caller, TokenFault> {
    let mut metadata = HeaderMap::new();
    metadata.insert("authorization", header.parse().expect("a value"));
    authenticator.verify(&metadata).map(|(caller, _)| caller).map_err(|(fault, message)| {
        assert!(!message.is_empty());
        fault
    })
}

#[tokio::test]
async fn every_algorithm_verifies_from_pem_and_from_a_jwks() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let pair = pair(algorithm);
        let jwks = json!({"keys": [{"kty": "RSA", "use": "enc", "n": "AQAB", "e": "AQAB"}, pair.jwk]}).to_string();
        for (file, kid) in [(pair.public_pem.as_str(), None), (&jwks, Some("one")), (&jwks, None)] {
            let (_folder, authenticator) = authenticator(&[file]);
            let token = signed(&pair.signer, pair.algorithm, kid, &good());
            let caller = call(&authenticator, &format!("Bearer {token}"));
            assert!(matches!(caller, Ok(Caller::User { writes_automations: false, .. })), "{algorithm:?}: {caller:?}");
        }
        let (_folder, authenticator) = authenticator(&[&jwks]);
        let token = signed(&pair.signer, pair.algorithm, Some("two"), &good());
        assert_eq!(call(&authenticator, &format!("Bearer {token}")), Err(TokenFault::Key), "a kid that is not there");
    }
}

#[tokio::test]
async fn a_bad_token_says_what_is_wrong_with_it() {
    let (pair, other) = (pair(Algorithm::EdDSA), pair(Algorithm::EdDSA));
    let (_folder, authenticator) = authenticator(&[&pair.public_pem]);
    let header = |claims: &Value| format!("Bearer {}", signed(&pair.signer, Algorithm::EdDSA, None, claims));
    assert!(call(&authenticator, &header(&good())).is_ok());
    let leeway = i64::try_from(LEEWAY_SECONDS).expect("fits");
    assert!(
        call(&authenticator, &header(&with("exp", json!(now() - leeway / 2)))).is_ok(),
        "clocks may be off a little"
    );
    for (claims, fault) in [
        (with("exp", json!(now() - NOW_SKEW)), TokenFault::Expired),
        (with("exp", Value::Null), TokenFault::Claims),
        (with("nbf", json!(now() + NOW_SKEW)), TokenFault::NotYetValid),
        (with("aud", json!("other")), TokenFault::Audience),
        (with("aud", Value::Null), TokenFault::Claims),
        (with("iss", json!("https://other.example")), TokenFault::Issuer),
        (with("iss", Value::Null), TokenFault::Claims),
        (with("role", json!("root")), TokenFault::Claims),
        (with("accounts", json!(["1", "2"])), TokenFault::Claims),
        (with("accounts", json!(["*"])), TokenFault::Claims),
        (with("user_id", Value::Null), TokenFault::Claims),
    ] {
        assert_eq!(call(&authenticator, &header(&claims)), Err(fault), "{claims}");
    }
    let stranger = signed(&other.signer, Algorithm::EdDSA, None, &good());
    assert_eq!(call(&authenticator, &format!("Bearer {stranger}")), Err(TokenFault::Key));
    // The classic attack: the public key, which everyone knows, as the secret of an HMAC.
    let secret = EncodingKey::from_secret(pair.public_pem.as_bytes());
    let swapped = signed(&secret, Algorithm::HS256, None, &good());
    assert_eq!(call(&authenticator, &format!("Bearer {swapped}")), Err(TokenFault::Algorithm));
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", encode(json!({"alg": "none", "typ": "JWT"})), encode(good()));
    for header in [format!("Bearer {unsigned}"), "Bearer x.y.z".into(), "Bearer ".into()] {
        assert_eq!(call(&authenticator, &header), Err(TokenFault::Malformed), "{header}");
    }
    assert_eq!(call(&authenticator, &format!("Bearer {}", "x".repeat(9_000))), Err(TokenFault::Malformed));
    assert_eq!(call(&authenticator, "Basic YTpi"), Err(TokenFault::Missing));
    assert!(matches!(authenticator.verify(&HeaderMap::new()), Err((TokenFault::Missing, _))));
}

#[tokio::test]
async fn keys_are_exchanged_without_a_restart() {
    let (old, new) = (pair(Algorithm::EdDSA), pair(Algorithm::ES256));
    let (folder, authenticator) = authenticator(&[&old.public_pem]);
    let header = |pair: &Pair| format!("Bearer {}", signed(&pair.signer, pair.algorithm, None, &good()));
    let path = folder.path().join("key-0");
    std::fs::write(&path, "no key at all").expect("writes");
    std::fs::write(folder.path().join("next"), &new.public_pem).expect("writes");
    assert!(call(&authenticator, &header(&old)).is_ok(), "what cannot be read changes nothing");
    std::fs::rename(folder.path().join("next"), &path).expect("renames");
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let exchanged = async {
        while call(&authenticator, &header(&new)).is_err() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), exchanged).await.expect("the new key is read");
    assert!(call(&authenticator, &header(&old)).is_err(), "the old key is gone");
}

/// A file that is gone, or holds no key any more, takes its keys back; the keys of other files stay.
#[tokio::test]
async fn keys_end_with_their_files() {
    for last in [None, Some(""), Some(r#"{"keys": []}"#)] {
        let (gone, stays) = (pair(Algorithm::EdDSA), pair(Algorithm::EdDSA));
        let (folder, authenticator) = authenticator(&[&gone.public_pem, &stays.public_pem]);
        let header = |pair: &Pair| format!("Bearer {}", signed(&pair.signer, pair.algorithm, None, &good()));
        let path = folder.path().join("key-0");
        match last {
            None => std::fs::remove_file(&path).expect("removes"),
            Some(text) => std::fs::write(&path, text).expect("writes"),
        }
        assert!(call(&authenticator, &header(&gone)).is_ok(), "there is a grace");
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let revoked = async {
            while call(&authenticator, &header(&gone)).is_ok() {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), revoked).await.expect("the keys are taken back");
        assert!(call(&authenticator, &header(&stays)).is_ok());
        std::fs::write(&path, &gone.public_pem).expect("writes");
        let back = async {
            while call(&authenticator, &header(&gone)).is_err() {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("and come back with the file");
    }
}

#[tokio::test]
async fn a_token_that_asks_for_extensions_is_refused() {
    let pair = pair(Algorithm::EdDSA);
    let (_folder, authenticator) = authenticator(&[&pair.public_pem]);
    for more in
        [json!({"crit": ["exp"]}), json!({"crit": []}), json!({"crit": ["b64"], "b64": false}), json!({"b64": false})]
    {
        let mut header = json!({"alg": "EdDSA", "typ": "JWT"});
        header.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&good()));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &pair.signer, Algorithm::EdDSA).expect("signs");
        assert_eq!(
            call(&authenticator, &format!("Bearer {message}.{signature}")),
            Err(TokenFault::Malformed),
            "{more}"
        );
    }
}

#[test]
fn weak_keys_and_keys_for_other_uses_are_refused() {
    let good = |more: Value| {
        let mut key = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32])});
        key.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        parse_keys(&json!({"keys": [key]}).to_string()).map(|keys| keys.len())
    };
    assert_eq!(good(json!({})), Ok(1));
    assert_eq!(good(json!({"use": "sig", "key_ops": ["sign", "verify"]})), Ok(1));
    for other in [
        json!({"use": "enc"}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": []}),
        json!({"use": "sig", "key_ops": ["encrypt"]}),
        json!({"alg": "HS512"}),
    ] {
        assert!(good(other.clone()).expect_err("no key").contains("no key that verifies"), "{other}");
    }
    for (k, part) in [("", "32 bytes"), ("AA", "32 bytes"), (URL_SAFE_NO_PAD.encode([7; 31]).as_str(), "32 bytes")] {
        assert!(good(json!({"k": k})).expect_err("weak").contains(part), "{k}");
    }
    let pem = |arguments: &[&str]| {
        let private = openssl(arguments, b"");
        let public = openssl(&["pkey", "-pubout"], &private);
        (String::from_utf8(private).expect("text"), String::from_utf8(public).expect("text"))
    };
    let rsa = |bits: &str| pem(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")]);
    let curve = |name: &str| pem(&["genpkey", "-algorithm", "EC", "-pkeyopt", &format!("ec_paramgen_curve:{name}")]);
    let ed448 = pem(&["genpkey", "-algorithm", "ed448"]);
    let two = curve("P-256").1 + &curve("P-256").1;
    for (what, text, part) in [
        ("RSA of 512 bits", rsa("512").1, "512"),
        ("RSA of 1024 bits", rsa("1024").1, "1024"),
        ("P-384", curve("P-384").1, "P-256"),
        ("secp256k1", curve("secp256k1").1, "P-256"),
        ("Ed448", ed448.1, "Ed25519"),
        ("a private RSA key", rsa("2048").0, "private key"),
        ("a private EC key", curve("P-256").0, "private key"),
        ("two keys", two, "several"),
    ] {
        let error = parse_keys(&text).err().unwrap_or_else(|| panic!("{what} is taken"));
        assert!(error.contains(part), "{what}: {error}");
    }
    let modulus = URL_SAFE_NO_PAD.encode([0xff; 256]);
    let private = json!({"keys": [{"kty": "RSA", "n": modulus, "e": "AQAB", "d": "AQAB"}]}).to_string();
    assert!(parse_keys(&private).err().expect("private").contains("private key"));
    let foreign =
        json!({"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, {"kty": "RSA", "n": modulus, "e": "AQAB"}]});
    assert_eq!(parse_keys(&foreign.to_string()).expect("one is known").len(), 1);
    let weak = json!({"keys": [{"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 64]), "e": "AQAB"}]}).to_string();
    assert!(parse_keys(&weak).err().expect("weak").contains("512"));
    let one = json!({"keys": [{"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 256]), "e": "AQ"}]}).to_string();
    assert!(parse_keys(&one).err().expect("weak").contains("exponent"));
}

#[test]
fn key_files_are_checked() {
    for (text, part) in [
        ("{", "no JWKS"),
        (r#"{"keys": []}"#, "no key that verifies"),
        (r#"{"keys": [{"kty": "oct", "k": "AAAA", "alg": "RS256"}]}"#, "another type"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "public key"),
        ("c2hvcnQ=", "at least 32 bytes"),
        ("***", "neither"),
    ] {
        let error = parse_keys(text).err().unwrap_or_else(|| panic!("{text}"));
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// The examples of the documentation say what it says about them.
#[test]
fn the_documented_claims_can_be_used() {
    let page = include_str!("../../../../../docs/tokens.md");
    let examples: Vec<_> = page.split("```json\n").skip(1).filter_map(|part| part.split("```").next()).collect();
    let callers = examples.iter().map(|text| {
        let claims: Claims = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        caller_of(&claims).unwrap_or_else(|error| panic!("{error}: {text}"))
    });
    let callers: Vec<_> = callers.collect();
    assert!(matches!(callers[0], Caller::Service { accounts: AccountScope::All }));
    assert!(matches!(callers[1], Caller::Service { accounts: AccountScope::Only(_) }));
    assert!(matches!(callers[2], Caller::GlobalAdmin { .. }));
    assert!(matches!(callers[3], Caller::User { writes_automations: true, .. }));
    assert!(page.contains(&format!("{LEEWAY_SECONDS} seconds")), "the leeway is stated");
}
