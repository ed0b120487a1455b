use futures::FutureExt;

use super::*;
use crate::grpc::pb;

fn frame(bytes: usize) -> pb::PublishRequest {
    pb::PublishRequest { parent: "x".repeat(bytes - 2), ..pb::PublishRequest::default() }
}

#[test]
fn frames_wait_for_room_and_what_waits_is_bounded() {
    let budget = ByteBudget::new(100, 50);
    let first = budget.enter(&frame(90)).now_or_never().expect("at once").expect("has room");
    let (large, small) = (frame(40), frame(20));
    let mut waits = Box::pin(budget.enter(&large));
    assert!(waits.as_mut().now_or_never().is_none(), "it waits");
    let refused = budget.enter(&small).now_or_never().expect("at once").expect_err("too much waits");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    drop(first);
    let second = waits.now_or_never().expect("has its turn").expect("has room");
    assert_eq!(second.num_permits(), 40);
    assert!(budget.enter(&small).now_or_never().expect("at once").is_ok());
}
