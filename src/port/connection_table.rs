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
pub struct ConnectionTable {
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

impl ConnectionTable {
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
#[path = "tests/connection_table.rs"]
mod tests;
