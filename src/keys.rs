//! The keys of an installation: configured files, or local ones made beside the database.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// How short the secret of a signing key may be.
pub const SECRET_BYTES_MIN: usize = 32;
/// How long a sealing key is.
pub const SEALING_KEY_BYTES: usize = 32;

/// Where the keys of an installation are looked for.
#[derive(Debug, Clone, Default)]
pub struct KeyFiles {
    /// The key that makes and verifies tokens; a local one, where none is given.
    pub signing: Option<PathBuf>,
    /// Whether an issuer elsewhere makes tokens: then no local signing key is made.
    pub has_issuer: bool,
    /// The keys that seal; a local one, where none is given.
    pub sealing: Vec<PathBuf>,
    /// The SQLite file that local keys stand beside; they are in the working directory where there is none.
    pub database: Option<PathBuf>,
}

/// The keys.
pub struct Keys {
    /// The file of the key that makes and verifies tokens; none where only an issuer elsewhere makes them.
    pub signing: Option<PathBuf>,
    /// Seal secrets: the first one seals, all of them open.
    pub sealing: Vec<[u8; SEALING_KEY_BYTES]>,
}

impl Keys {
    /// Reads the configured keys; makes local ones, readable by their owner only, where none are configured.
    pub fn load(files: &KeyFiles) -> Result<Self, String> {
        let signing = match &files.signing {
            None if files.has_issuer => None,
            Some(path) => Some(path.clone()),
            None => Some(files.made("signing")?),
        };
        let secret = signing.as_ref().map(|path| read(path, "the signing key")).transpose()?;
        if secret.is_some_and(|secret| secret.len() < SECRET_BYTES_MIN) {
            return Err(format!("the signing key must have at least {SECRET_BYTES_MIN} bytes"));
        }
        let paths = match files.sealing.as_slice() {
            [] => vec![files.made("sealing")?],
            paths => paths.to_vec(),
        };
        let of_file = |path: &PathBuf| {
            let key = read(path, "the sealing key")?;
            key.try_into()
                .map_err(|_| format!("the sealing key {} must have {SEALING_KEY_BYTES} bytes", path.display()))
        };
        let sealing = paths.iter().map(of_file).collect::<Result<_, String>>()?;
        Ok(Self { signing, sealing })
    }
}

impl KeyFiles {
    /// The key that makes tokens. It is never made here: a token of a key that the server does not have is of no use.
    pub fn signing_key(&self) -> Result<Vec<u8>, String> {
        match &self.signing {
            Some(path) => read(path, "--signing-key-file"),
            None if self.has_issuer => {
                Err("--token-key-files only verify tokens: give --signing-key-file to make one, or ask your issuer"
                    .into())
            }
            None => {
                let path = self.local("signing");
                if !path.exists() {
                    return Err(format!(
                        "there is no signing key at {}: start `hookline serve` first, run this in the same folder, or \
                         give the same --database or --signing-key-file",
                        path.display()
                    ));
                }
                read(&path, "the local signing key")
            }
        }
    }

    /// Where a local key is: beside the SQLite file, or in the working directory.
    pub fn local(&self, what: &str) -> PathBuf {
        let mut name = self.database.as_ref().map_or_else(|| "hookline".into(), |path| path.as_os_str().to_owned());
        name.push(format!(".{what}.key"));
        PathBuf::from(name)
    }

    /// The path of a local key, which is made where it does not exist.
    fn made(&self, what: &str) -> Result<PathBuf, String> {
        let path = self.local(what);
        if !path.exists() {
            if self.database.as_ref().is_some_and(|database| database.exists()) {
                return Err(format!(
                    "the local {what} key {} is missing beside a database that exists: bring it back from a copy (a new \
                     one does not fit what is stored), or give --{what}-key-file",
                    path.display()
                ));
            }
            tracing::warn!(path = %path.display(), "made a new local {what} key; keep a copy of it");
            make(&path)
                .map_err(|error| format!("the local {what} key {} could not be made: {error}", path.display()))?;
        }
        Ok(path)
    }
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{what} {}: {error}", path.display()))?;
    BASE64.decode(text.trim()).map_err(|error| format!("{what} {}: not base64: {error}", path.display()))
}

fn make(path: &Path) -> io::Result<()> {
    let mut bytes = [0; SEALING_KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    // Written whole under another name first: a crash never leaves half a key.
    let draft = path.with_extension(format!("key.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", BASE64.encode(bytes))?;
    file.sync_all()?;
    match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::remove_file(&draft),
    }
}
