//! Compiles `proto/` with protox, so that no `protoc` is needed.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 14] = [
    "hookline/v1/account.proto",
    "hookline/v1/audit.proto",
    "hookline/v1/automation.proto",
    "hookline/v1/caller.proto",
    "hookline/v1/catalogue.proto",
    "hookline/v1/clock.proto",
    "hookline/v1/event.proto",
    "hookline/v1/execution.proto",
    "hookline/v1/explain.proto",
    "hookline/v1/ingest.proto",
    "hookline/v1/job.proto",
    "hookline/v1/key.proto",
    "hookline/v1/watch.proto",
    "hookline/v1/webhook.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("hookline.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    let mut prost = tonic_prost_build::Config::new();
    prost.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".")
        .codec_path("crate::grpc::BoundedCodec")
        .compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
