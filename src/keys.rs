//! The keys of an installation: configured files, or local ones made beside the database.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    config::KeyArgs,
    grpc::SECRET_BYTES_MIN,
    store::{Location, SEALING_KEY_BYTES},
};

/// The keys.
pub struct Keys {
    /// Makes and verifies tokens; none where only an issuer elsewhere makes them.
    pub signing: Option<Vec<u8>>,
    /// Seals secrets.
    pub sealing: [u8; SEALING_KEY_BYTES],
}

impl Keys {
    /// Reads the configured keys; makes local ones, readable by their owner only, where none are configured.
    pub fn load(args: &KeyArgs, location: &Location) -> Result<Self, String> {
        let signing = match &args.signing_key_file {
            None if !args.token_key_files.is_empty() => None,
            configured => Some(key(configured.as_deref(), location, "signing")?),
        };
        if signing.as_ref().is_some_and(|key| key.len() < SECRET_BYTES_MIN) {
            return Err(format!("the signing key must have at least {SECRET_BYTES_MIN} bytes"));
        }
        let sealing = key(args.sealing_key_file.as_deref(), location, "sealing")?;
        let sealing = sealing.try_into().map_err(|_| format!("the sealing key must have {SEALING_KEY_BYTES} bytes"))?;
        Ok(Self { signing, sealing })
    }
}

fn key(configured: Option<&Path>, location: &Location, what: &str) -> Result<Vec<u8>, String> {
    let path = match configured {
        Some(path) => path.to_owned(),
        None => local(location, what).map_err(|error| format!("the local {what} key could not be made: {error}"))?,
    };
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    BASE64.decode(text.trim()).map_err(|error| format!("{}: not base64: {error}", path.display()))
}

/// The path of a local key, which is made where it does not exist.
fn local(location: &Location, what: &str) -> io::Result<PathBuf> {
    let mut name = match location {
        Location::Sqlite(path) => path.as_os_str().to_owned(),
        Location::Postgres(_) => "hookline".into(),
    };
    name.push(format!(".{what}.key"));
    let path = PathBuf::from(name);
    if path.exists() {
        return Ok(path);
    }
    let mut bytes = [0; SEALING_KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    // Written whole under another name first: a crash never leaves half a key.
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", BASE64.encode(bytes))?;
    file.sync_all()?;
    match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => fs::remove_file(&draft)?,
    }
    Ok(path)
}
