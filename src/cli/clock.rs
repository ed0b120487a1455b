//! `hookline confirm-clock`: a person's word that the server's clock is right.

use super::{CallArgs, CliError, show};
use crate::grpc::pb::{self, clock_service_client::ClockServiceClient};

/// Gives it.
pub async fn run(call: CallArgs) -> Result<(), CliError> {
    let mut client = ClockServiceClient::new(call.connection.open(None).await?);
    let confirmed = client.confirm_clock(pb::ConfirmClockRequest {}).await?.into_inner();
    if call.json {
        return show::print_json("ConfirmClockResponse", &confirmed);
    }
    println!("the server's clock is trusted; it says {}", show::time(confirmed.confirmed_time));
    Ok(())
}
