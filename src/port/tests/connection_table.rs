use std::time::Duration;

use super::*;

fn places(of_all: usize, of_address: usize, oldest_goes_first: bool) -> Arc<ConnectionTable> {
    let second = Duration::from_secs(1);
    Arc::new(ConnectionTable::new(&Bounds {
        connections_max: of_all,
        connections_of_address_max: of_address,
        oldest_goes_first,
        handshake_timeout: second,
        preface_timeout: second,
        stranger_timeout: second,
        idle_timeout: second,
        progress_timeout: second,
    }))
}

fn from(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), 1)
}

#[tokio::test(start_paused = true)]
async fn the_oldest_stranger_gives_up_its_place_and_a_known_caller_never() {
    let places = places(3, 3, false);
    let known = places.take(from("10.0.0.1")).expect("a place");
    known.trust(party("42"));
    known.begin_call();
    let first = places.take(from("10.0.0.2")).expect("a place");
    let second = places.take(from("10.0.0.3")).expect("a place");
    assert_eq!(places.take(from("10.0.0.4")).err(), Some(Full::NewOnes), "everybody gets a chance");
    tokio::time::advance(Duration::from_secs(1)).await;
    let third = places.take(from("10.0.0.4")).expect("the place of the oldest stranger");
    let gone = |connection: &Connection| connection.evicted().is_cancelled();
    assert!(gone(&first) && !gone(&second) && !gone(&third) && !gone(&known));
    drop(first);
    assert_eq!(places.count(), 3, "a place that was given up is not given back twice");
    for one in [&second, &third] {
        one.trust(party("43"));
        one.begin_call();
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(places.take(from("10.0.0.5")).err(), Some(Full::All), "whoever has a call keeps their place");
    drop(second);
    assert!(places.take(from("10.0.0.5")).is_ok(), "a place is free once its connection ends");
}

fn party(account: &str) -> Party {
    Party::Account(account.parse().expect("an id"))
}

#[tokio::test(start_paused = true)]
async fn quiet_connections_of_whoever_has_most_go_before_anybody_is_refused() {
    let places = places(6, 6, false);
    let one = places.take(from("10.0.0.1")).expect("a place");
    one.trust(party("42"));
    let many: Vec<_> = (0..5).map(|_| places.take(from("10.0.0.2")).expect("a place")).collect();
    many.iter().for_each(|connection| connection.trust(party("43")));
    tokio::time::advance(Duration::from_secs(2)).await;
    let fresh = places.take(from("10.0.0.3")).expect("a place of the many");
    assert!(many[0].evicted().is_cancelled() && !one.evicted().is_cancelled() && !fresh.evicted().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn with_whom_least_is_lost_goes_first() {
    let places = places(3, 3, true);
    let held: Vec<_> = (0..3).map(|_| places.take(from("10.0.0.1")).expect("a place")).collect();
    held[0].begin_call();
    let unread = held[2].begin_call();
    held[2].waits_for_client(unread, true);
    tokio::time::advance(Duration::from_secs(2)).await;
    let gone = || held.iter().map(|one| one.evicted().is_cancelled()).collect::<Vec<_>>();
    let _fourth = places.take(from("10.0.0.1")).expect("the place of who does not read");
    assert_eq!(gone(), [false, false, true]);
    let _fifth = places.take(from("10.0.0.1")).expect("the place of who is quiet");
    assert_eq!(gone(), [false, true, true]);
    tokio::time::advance(Duration::from_millis(300)).await;
    let _sixth = places.take(from("10.0.0.1")).expect("the oldest's");
    assert_eq!(gone(), [true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn one_address_drives_out_itself_only() {
    let places = places(10, 2, false);
    let other = places.take(from("10.0.0.9")).expect("a place");
    let mut flood = Vec::new();
    for _ in 0..50 {
        flood.extend(places.take(from("10.0.0.1")).ok());
        flood.extend((0..50).filter_map(|at| places.take(from(&format!("2001:db8::{at:x}"))).ok()));
        tokio::time::advance(Duration::from_millis(300)).await;
    }
    assert_eq!(places.count(), 5, "two of the address, and two of its network, which is a /64");
    assert!(!other.evicted().is_cancelled());
    assert_eq!(flood.iter().filter(|one| !one.evicted().is_cancelled()).count(), 4);
}
