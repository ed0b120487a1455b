//! nginx as Debian has it, in a folder of the test.

use std::{path::Path, process::Stdio};

use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use super::eventually;

/// A port that was free a moment ago.
pub async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts nginx with what stands in its `http` block; `LISTEN` is the address to listen on. Answers it and the address.
pub async fn nginx(folder: &Path, http: &str) -> (Child, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/nginx");
    assert!(program.exists(), "{} is missing: ./tests/run installs it", program.display());
    let address = format!("127.0.0.1:{}", free_port().await);
    for name in ["logs", "body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        std::fs::create_dir_all(folder.join(name)).expect("makes");
    }
    let config = format!(
        "daemon off; master_process off; pid logs/pid; error_log logs/error.log; events {{ worker_connections 512; }}
         http {{
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
           scgi_temp_path scgi;
           {}
         }}",
        http.replace("LISTEN", &address)
    );
    std::fs::write(folder.join("nginx.conf"), config).expect("writes");
    let child = Command::new(program)
        .args(["-e", "logs/error.log", "-c", "nginx.conf", "-p"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    eventually("nginx listens", || async { TcpStream::connect(&address).await.ok() }).await;
    (child, address)
}
