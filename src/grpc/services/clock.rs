//! `ClockService`.

use tonic::Status;

use super::{
    access::{Backend, serve},
    api::Api,
};
use crate::grpc::{convert, pb};

serve! {
    clock_service_server::ClockService {
        confirm_clock(ConfirmClockRequest) -> ConfirmClockResponse;
    }
}

impl Api {
    async fn confirm_clock(
        &self,
        backend: Backend,
        _: pb::ConfirmClockRequest,
    ) -> Result<pb::ConfirmClockResponse, Status> {
        backend.require_all("only a service whose token lists * may confirm the clock of the installation")?;
        let now = self.engine.confirm_clock();
        Ok(pb::ConfirmClockResponse { confirmed_time: Some(convert::timestamp(now)) })
    }
}
