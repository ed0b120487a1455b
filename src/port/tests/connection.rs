use std::time::Duration;

use super::*;

fn bounds() -> Bounds {
    Bounds {
        connections_max: 1,
        connections_of_address_max: 1,
        oldest_goes_first: false,
        handshake_timeout: Duration::from_secs(1),
        preface_timeout: Duration::from_secs(2),
        stranger_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(100),
        progress_timeout: Duration::from_secs(20),
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_of_being_slow_has_its_time() {
    let bounds = bounds();
    let connection = Connection::new("10.0.0.1:1".parse().expect("an address"));
    let after = async |seconds: u64| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        connection.look(Instant::now(), &bounds)
    };
    assert_eq!(after(1).await, None);
    assert_eq!(after(1).await, Some(Ended::Preface));
    connection.spoke();
    assert_eq!(after(7).await, None);
    assert_eq!(after(1).await, Some(Ended::Stranger));
    let call = connection.begin_call();
    assert_eq!(after(90).await, None, "a call may take its time while it waits for us");
    connection.waits_for_client(call, true);
    assert_eq!(after(19).await, None);
    assert_eq!(after(1).await, Some(Ended::Stalled));
    let other = connection.begin_call();
    assert_eq!(after(0).await, Some(Ended::Unread), "another call goes on");
    connection.end_call(other);
    connection.end_call(call);
    connection.trust(Party::Account("42".parse().expect("an id")));
    assert_eq!(after(99).await, None);
    assert_eq!(after(1).await, Some(Ended::Idle));
    connection.write_is_blocked(true);
    assert_eq!(after(20).await, Some(Ended::Stalled));
    connection.write_is_blocked(true);
    assert_eq!(after(0).await, Some(Ended::Stalled), "it is blocked since the first time");
    connection.write_is_blocked(false);
    assert_eq!(after(0).await, Some(Ended::Idle));
}
