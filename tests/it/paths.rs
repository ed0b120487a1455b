//! Paths at real servers: nothing that an admin saves, and no value of an event, leads a request out of its endpoint at a
//! receiver that decodes before it routes.

use std::{path::Path, process::Stdio, time::Duration};

use hookline::grpc::pb;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::harness::{
    Database, Server, account_42, automation, deal, eventually,
    nginx::{free_port, nginx},
};

/// A place that answers from where it thinks a request leads: `/ok/api/` is the endpoint's, everything else is not.
struct Place {
    child: Child,
    address: String,
    log: std::path::PathBuf,
}

impl Place {
    /// What arrived: the requests' lines as the server read them, those out of the endpoint marked with `OUT`.
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn listens(self) -> Self {
        eventually("it listens", || async { TcpStream::connect(&self.address).await.ok() }).await;
        self
    }

    /// Sends a line as it is. Answers the status.
    async fn raw(&self, target: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).await.expect("connects");
        let request = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("writes");
        let mut answer = String::new();
        let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_string(&mut answer)).await;
        answer
    }
}

/// nginx: locations match the decoded path.
async fn nginx_place(folder: &Path) -> Place {
    let http = "log_format seen '$status $request_uri $uri'; access_log logs/access.log seen;
        server { listen LISTEN; location /ok/api/ { return 200 'in'; } location / { return 404 'OUT'; } }";
    let (child, address) = nginx(folder, http).await;
    Place { child, address, log: folder.join("logs/access.log") }
}

/// A WSGI server, whose application sees a decoded path and takes it for one of a file system, as many do.
async fn wsgi(folder: &Path) -> Place {
    let port = free_port().await;
    let log = folder.join("wsgi.log");
    let script = format!(
        r#"
import posixpath
from wsgiref.simple_server import make_server, WSGIRequestHandler
log = open({log:?}, "a", buffering=1)
class Quiet(WSGIRequestHandler):
    def log_message(self, *_): pass
def application(environ, start):
    path = environ["PATH_INFO"]
    # As servlet containers do: parameters off; as Windows does: a backslash is a slash; as careless code does: decoded again.
    import urllib.parse
    read = urllib.parse.unquote(path).replace("\\", "/")
    read = "/".join(part.split(";")[0] for part in read.split("/"))
    found = posixpath.normpath(read)
    inside = found.startswith("/ok/api") and "\0" not in read
    log.write(("200" if inside else "404") + " " + repr(path) + "\n")
    start("200 OK" if inside else "404 OUT", [("content-type", "text/plain")])
    return [b"in" if inside else b"OUT"]
make_server("127.0.0.1", {port}, application, handler_class=Quiet).serve_forever()
"#
    );
    let child = Command::new("python3")
        .args(["-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    Place { child, address: format!("127.0.0.1:{port}"), log }.listens().await
}

/// What would lead out of `/ok/api/deals/` somewhere.
const LITERALS: [&str; 12] = [
    "..%2f..%2f..%2fadmin",
    "..%5c..%5c..%5cadmin",
    "..;/..;/..;/admin",
    "..;a=b/..;/..;/admin",
    "%2e%2e;/%2e%2e;/x",
    "a%2f..%2f..%2f..%2f..%2fadmin",
    "%252e%252e%252f%252e%252e%252fadmin",
    "%252e%252e/%252e%252e/admin",
    "x/%2e%2e%2f..%2f..%2f..%2fadmin",
    "a%00b",
    "a%2500b",
    ".%2f..%2f..%2f..%2fadmin",
];
const VALUES: [&str; 9] = [
    "../../../admin",
    "..\\..\\..\\admin",
    "a/../../../../admin",
    "..;/..;/..;/admin",
    "%2e%2e%2f%2e%2e%2f%2e%2e%2fadmin",
    "%252e%252e%252f%252e%252e%252fadmin",
    "x\u{0}y",
    "..",
    ".",
];
/// What is as harmless as it looks.
const HARMLESS: [&str; 6] = ["AC/DC", "50% off", "1..2", "a;b=c", "ü/日本", "v1.2.3"];

#[tokio::test(flavor = "multi_thread")]
async fn no_path_climbs_at_nginx_or_a_wsgi_server() {
    let database = Database::sqlite();
    let server = Server::start(&database, &["--retry-delays-ms", "3600000"]).await;
    let places = [nginx_place(&database.folder.path().join("nginx")).await, wsgi(database.folder.path()).await];
    // They can be climbed: otherwise this would prove nothing.
    assert!(places[0].raw("/ok/api/deals/..%2F..%2F..%2Fadmin").await.contains("OUT"));
    assert!(places[1].raw("/ok/api/deals/..;/..;/..;/admin").await.contains("OUT"));
    assert!(places[1].raw("/ok/api/deals/%252e%252e%252f..%252f..%252fadmin").await.contains("OUT"));
    let climbed: Vec<_> = places.iter().map(|place| place.log().matches("404 ").count()).collect();

    let (service, admin) = account_42(&server, "http://127.0.0.1:9/").await;
    for (at, place) in places.iter().enumerate() {
        let id = format!("place{at}");
        admin.create_webhook("42", &id, &format!("http://{}/ok/api/deals/", place.address)).await.expect("creates");
        let mut one = automation("42", &id, "deal", pb::EventAction::Change, "{}");
        for literal in LITERALS {
            one.actions[0].path = literal.into();
            let refused = admin.create_automation("42", one.clone()).await.expect_err(literal);
            assert_eq!(crate::harness::bad_field(&refused), "automation.actions[0].path", "{literal}");
        }
        one.actions[0].path = "{{deal.title}}".into();
        let made = admin.create_automation("42", one.clone()).await.expect("creates");
        for literal in LITERALS {
            let mut edited = made.clone();
            edited.actions[0].path = literal.into();
            let update = pb::UpdateAutomationRequest {
                automation: Some(edited),
                update_mask: Some(prost_types::FieldMask { paths: vec!["actions".into()] }),
                ..Default::default()
            };
            let refused = admin.automations().update_automation(admin.ask(update)).await.expect_err(literal);
            assert_eq!(crate::harness::bad_field(&refused), "automation.actions[0].path", "an edit to {literal}");
        }
        one.actions[0].path = "x{{deal.title}}/{{deal.title}}?q={{deal.title}}".into();
        admin.create_automation("42", one).await.expect("creates");
    }
    for (at, title) in VALUES.iter().chain(&HARMLESS).enumerate() {
        let data = serde_json::json!({ "title": title }).to_string();
        let results = service.publish("42", vec![deal(&format!("e{at}"), "8", &data)]).await.expect("acks");
        assert!(results.is_empty(), "{title:?}: {results:?}");
    }
    let history = eventually("everything ends", || async {
        let history = service.history("42").await;
        let is_over = history.len() == 4 * (VALUES.len() + HARMLESS.len());
        (is_over && history.iter().all(|one| one.end_time.is_some())).then_some(history)
    })
    .await;
    let of = |reason: &str| history.iter().filter(|one| one.reason == reason).count();
    let arrived = history.iter().filter(|one| one.state() == pb::ExecutionState::Succeeded).count();
    assert_eq!(arrived, 4 * HARMLESS.len(), "what is harmless arrives");
    assert_eq!(of("UNSAFE_PATH"), 4 * VALUES.len(), "the rest is never sent");
    for (place, before) in places.iter().zip(climbed) {
        assert_eq!(place.log().matches("404 ").count(), before, "nothing led out: {}", place.log());
    }
    for mut place in places {
        place.child.kill().await.expect("ends");
    }
}
