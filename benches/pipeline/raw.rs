//! The raw client: a process that only POSTs the same bytes to the same receiver with reqwest, as fast as it can. What it
//! costs is the ceiling that a webhook engine is measured against.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use axum::body::Bytes;
use tokio::process::Command;

use crate::measure::{cpu_ms, number};

/// Requests in flight of the raw client.
const IN_FLIGHT: usize = 64;
/// The headers that Hookline sends and the raw client sends, too.
const HEADERS: [(&str, &str); 6] = [
    ("webhook-id", "rq-01kawdkvp7e0pvx9qgr0j8n2d3-1"),
    ("webhook-timestamp", "1790000000"),
    ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("hookline-execution-id", "ex-01kawdkvp7e0pvx9qgr0j8n2d3"),
    ("hookline-causation-depth", "1"),
];
/// Where the process finds the receiver's URL.
pub const URL: &str = "HOOKLINE_BENCH_RAW_URL";

/// What the raw client measured.
#[derive(Clone, Copy)]
pub struct Raw {
    pub per_second: f64,
    /// Of the client alone.
    pub client_cpu_us: f64,
    /// Of the receiver alone, which is this process.
    pub receiver_cpu_us: f64,
}

/// The raw client's process: POSTs the body from standard input again and again, and prints its processor time.
pub async fn run(url: String) {
    use std::io::Read;
    let count = number("HOOKLINE_BENCH_EVENTS", 20_000);
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body).expect("a body");
    let body = Bytes::from(body);
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client");
    let left = Arc::new(AtomicU64::new(count));
    let begun = Instant::now();
    let before = cpu_ms(&[std::process::id()]);
    let workers: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (client, left, body, url) = (client.clone(), Arc::clone(&left), body.clone(), url.clone());
            tokio::spawn(async move {
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    let mut request = client.post(&url).header("content-type", "application/json");
                    for (name, value) in HEADERS {
                        request = request.header(name, value);
                    }
                    let answer = request.body(body.clone()).send().await.expect("an answer");
                    answer.bytes().await.expect("a body");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("works");
    }
    let cpu = cpu_ms(&[std::process::id()]) - before;
    println!("{} {cpu}", begun.elapsed().as_micros());
}

/// Measures so many raw requests.
pub async fn measure(url: &str, body: Bytes, count: u64) -> Raw {
    use tokio::io::AsyncWriteExt;
    let own = [std::process::id()];
    let before = cpu_ms(&own);
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .env(URL, url)
        .env("HOOKLINE_BENCH_EVENTS", count.to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("standard input").write_all(&body).await.expect("writes");
    let output = child.wait_with_output().await.expect("ends");
    let receiver_cpu_us = (cpu_ms(&own) - before) as f64 * 1_000.0 / count as f64;
    let text = String::from_utf8(output.stdout).expect("text");
    let (elapsed_us, cpu_ms) = text.trim().split_once(' ').expect("two numbers");
    let (elapsed_us, cpu_ms): (f64, f64) = (elapsed_us.parse().expect("a number"), cpu_ms.parse().expect("a number"));
    let count = count as f64;
    Raw { per_second: count * 1e6 / elapsed_us, client_cpu_us: cpu_ms * 1_000.0 / count, receiver_cpu_us }
}
