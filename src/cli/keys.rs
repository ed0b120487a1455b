//! `hookline keys`: the key that seals secrets at rest.

use clap::Subcommand;

use super::{CallArgs, CliError, show};
use crate::grpc::pb::{self, key_service_client::KeyServiceClient};

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Have everything sealed by the first of the server's sealing keys, while it runs.
    Rotate,
}

/// Carries it out.
pub async fn run(call: CallArgs, task: Task) -> Result<(), CliError> {
    let Task::Rotate = task;
    let mut client = KeyServiceClient::new(call.connection.open(None).await?);
    let (mut page_token, mut resealed) = (String::new(), 0);
    loop {
        let step = client.rotate_keys(pb::RotateKeysRequest { page_token }).await?.into_inner();
        resealed += step.resealed_count;
        if !step.next_page_token.is_empty() {
            page_token = step.next_page_token;
            continue;
        }
        if call.json {
            return show::print_json(
                "RotateKeysResponse",
                &pb::RotateKeysResponse { resealed_count: resealed, ..step },
            );
        }
        println!("{resealed} values are sealed anew, {} are left", step.remaining_count);
        if !step.done {
            return Err(CliError::new("not everything is sealed by the first key: run this again"));
        }
        println!("the keys before may be removed from --sealing-key-file in a day");
        return Ok(());
    }
}
