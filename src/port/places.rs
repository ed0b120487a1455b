//! Who has a place on a port, and who gives it up where there is none left.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use super::{
    Bounds,
    connection::{Connection, Worth},
};
use crate::domain::caller::Party;

/// The bound that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Of all connections.
    All,
    /// Of those of one address.
    Address,
    /// Of all connections, and each is so new that it gets its chance first.
    NewOnes,
}

/// The connections of a port, oldest first.
pub struct Places {
    of_all_max: usize,
    of_address_max: usize,
    oldest_goes_first: bool,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    last: u64,
    connections: BTreeMap<u64, (IpAddr, Connection)>,
    of_address: HashMap<IpAddr, usize>,
}

impl Taken {
    fn free(&mut self, number: u64) -> Option<Connection> {
        let (address, connection) = self.connections.remove(&number)?;
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
        Some(connection)
    }

    /// The connection that gives up its place: the stranger, or where that is so anybody, with whom least is lost; of those
    /// the oldest.
    fn loser(&self, of: Option<IpAddr>, oldest_goes_first: bool, now: Instant) -> Option<u64> {
        let fits = |address: &IpAddr| of.is_none_or(|wanted| wanted == *address);
        let may_go = |(_, (address, connection)): &(&u64, &(IpAddr, Connection))| {
            fits(address) && (oldest_goes_first || !connection.is_known())
        };
        let candidates = self.connections.iter().filter(may_go);
        let least = candidates.min_by_key(|(number, (_, connection))| (connection.worth(now), **number));
        least.map(|(number, _)| *number).or_else(|| self.quiet_of_most(fits, now))
    }

    /// The oldest connection without a call, of whoever has most connections.
    fn quiet_of_most(&self, fits: impl Fn(&IpAddr) -> bool, now: Instant) -> Option<u64> {
        let mut of_party: HashMap<Party, usize> = HashMap::new();
        for owner in self.connections.values().filter_map(|(_, connection)| connection.owner()) {
            *of_party.entry(owner).or_default() += 1;
        }
        let is_quiet = |(_, (address, connection)): &(&u64, &(IpAddr, Connection))| {
            fits(address) && connection.worth(now) < Worth::Busy
        };
        let count = |connection: &Connection| {
            connection.owner().and_then(|owner| of_party.get(&owner).copied()).unwrap_or_default()
        };
        let quiet = self.connections.iter().filter(is_quiet);
        let most = quiet.max_by_key(|(number, (_, connection))| (count(connection), std::cmp::Reverse(**number)));
        most.map(|(number, _)| *number)
    }
}

impl Places {
    /// No place is taken yet.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            of_all_max: bounds.connections_max.max(1),
            of_address_max: bounds.connections_of_address_max.max(1),
            oldest_goes_first: bounds.oldest_goes_first,
            taken: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a connection; it is free again when the last handle of the connection is dropped.
    pub fn take(self: &Arc<Self>, from: SocketAddr) -> Result<Connection, Full> {
        let address = counted(from.ip());
        let mut taken = self.lock();
        let is_full = taken.connections.len() >= self.of_all_max;
        let is_full_of_it = taken.of_address.get(&address).is_some_and(|count| *count >= self.of_address_max);
        if is_full || is_full_of_it {
            let of = is_full_of_it.then_some(address);
            let full = if is_full_of_it { Full::Address } else { Full::All };
            let now = Instant::now();
            let loser = taken.loser(of, self.oldest_goes_first, now).ok_or(full)?;
            // An address that is full of its own drives out itself at once: nobody else waits for it.
            let may_stay = |(_, connection): &(IpAddr, Connection)| !is_full_of_it && connection.deserves_a_chance(now);
            if taken.connections.get(&loser).is_some_and(may_stay) {
                return Err(Full::NewOnes);
            }
            if let Some(evicted) = taken.free(loser) {
                evicted.evict();
            }
        }
        taken.last += 1;
        let number = taken.last;
        *taken.of_address.entry(address).or_default() += 1;
        let connection = Connection::new(from);
        taken.connections.insert(number, (address, connection.clone()));
        drop(taken);
        let places = Arc::downgrade(self);
        Ok(connection.with_place(move || {
            if let Some(places) = places.upgrade() {
                let freed = places.lock().free(number);
                drop(freed);
            }
        }))
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.lock().connections.len()
    }
}

/// The address that connections are counted by: of IPv6 the network, which one host has whole.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn places(of_all: usize, of_address: usize, oldest_goes_first: bool) -> Arc<Places> {
        let second = Duration::from_secs(1);
        Arc::new(Places::new(&Bounds {
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
}
