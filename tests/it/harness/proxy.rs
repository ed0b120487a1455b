//! Stands between a server and PostgreSQL, and does what networks do.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

const BUFFER_BYTES: usize = 64 * 1024;
/// The text with which a transaction ends.
const COMMIT: &[u8] = b"COMMIT\0";

/// What the proxy does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Hands everything on.
    Open = 0,
    /// Ends every connection and takes no new one.
    Cut = 1,
    /// Holds every byte back.
    Stalled = 2,
    /// Hands a commit on, and ends the connection instead of its answer.
    LosesAnswers = 3,
}

impl Mode {
    fn of(number: u8) -> Self {
        [Mode::Open, Mode::Cut, Mode::Stalled, Mode::LosesAnswers][usize::from(number)]
    }
}

/// A proxy before a PostgreSQL server.
pub struct Proxy {
    /// The URL of the database through it.
    pub url: String,
    mode: Arc<AtomicU8>,
    changed: watch::Sender<()>,
    lost_answers: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy before the server of a URL.
    pub async fn before(url: &str) -> Self {
        let (credentials, place) = url.rsplit_once('@').expect("a user");
        let (server, database) = place.split_once('/').expect("a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let proxy = Self {
            // What is encrypted could not be read.
            url: format!("{credentials}@127.0.0.1:{port}/{database}?sslmode=disable"),
            mode: Arc::default(),
            changed: watch::channel(()).0,
            lost_answers: Arc::default(),
        };
        let (mode, changed, lost) = (Arc::clone(&proxy.mode), proxy.changed.subscribe(), proxy.lost_answers.clone());
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if Mode::of(mode.load(Ordering::SeqCst)) != Mode::Cut {
                    tokio::spawn(pass(client, server.clone(), Arc::clone(&mode), changed.clone(), Arc::clone(&lost)));
                }
            }
        });
        proxy
    }

    /// Does something else from now on, with connections that are there, too.
    pub fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
        self.changed.send_replace(());
    }

    /// How many commits were handed on whose answer was not.
    pub fn lost_answers(&self) -> usize {
        self.lost_answers.load(Ordering::SeqCst)
    }
}

async fn pass(
    mut client: TcpStream,
    server: String,
    mode: Arc<AtomicU8>,
    mut changed: watch::Receiver<()>,
    lost_answers: Arc<AtomicUsize>,
) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut asked, mut answered) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut is_committing = false;
    loop {
        match Mode::of(mode.load(Ordering::SeqCst)) {
            Mode::Cut => return,
            Mode::Stalled => {
                if changed.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mode::Open | Mode::LosesAnswers => {}
        }
        tokio::select! {
            _ = changed.changed() => {}
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let loses = mode.load(Ordering::SeqCst) == Mode::LosesAnswers as u8;
                is_committing = loses && asked[..length].windows(COMMIT.len()).any(|text| text == COMMIT);
                if server.write_all(&asked[..length]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if is_committing {
                    lost_answers.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if client.write_all(&answered[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}
