//! Places of which no tenant can take all: bounded in total, and for each tenant.
//!
//! [`Quota`] decides, and is pure. [`SharedQuota`] is the same behind a lock; its [`Place`]s go back by themselves.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of the whole one tenant may hold, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaShare(u8);

impl QuotaShare {
    /// Everything: the tenant has no bound of its own.
    pub const ALL: Self = Self(100);
    /// What a tenant gets unless the administrator says otherwise.
    pub const QUARTER: Self = Self(25);
    /// For places of which there are many and each tenant needs a few.
    pub const HUNDREDTH: Self = Self(1);

    /// So many percent; `None` unless they are 1 to 100.
    #[must_use]
    pub fn percent(percent: u8) -> Option<Self> {
        (1..=100).contains(&percent).then_some(Self(percent))
    }

    /// The most of `total` that one tenant gets.
    #[must_use]
    pub fn of(self, total: usize) -> usize {
        let part = total as u128 * u128::from(self.0) / 100;
        usize::try_from(part).unwrap_or(total)
    }

    /// Whether a tenant may hold so much while so much is free.
    ///
    /// Alone it gets its share of the whole. The more others hold, the less it gets: however many tenants each take
    /// all they can, something stays free for one who comes later.
    fn allows(self, held: usize, free: usize) -> bool {
        let percent = u128::from(self.0);
        held as u128 * (100 - percent) <= free as u128 * percent
    }
}

/// One tenant that a place counts for, and its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<T> {
    pub tenant: T,
    pub share: QuotaShare,
}

/// Whose bound a refused place would have passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over<T> {
    /// That of all tenants together.
    Total,
    /// That of one tenant.
    Tenant(T),
}

/// A place that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused<T> {
    pub over: Over<T>,
    /// The bound: of the whole, or the most that the tenant gets of it.
    pub bound: usize,
    /// It is the first refusal since half of the bound was free.
    pub is_first: bool,
}

/// Places, and who holds how many.
#[derive(Debug)]
pub struct Quota<T> {
    total: usize,
    /// What a tenant may hold in any case, as far as it is free.
    least: usize,
    used: Held,
    tenants: HashMap<T, Held>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    places: usize,
    /// A refusal was reported since half of the bound was free.
    reported: bool,
}

impl Held {
    fn refused(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    fn give_back(&mut self, places: usize, bound: usize) {
        self.places = self.places.saturating_sub(places);
        self.reported &= self.places > bound / 2;
    }
}

impl<T: Clone + Eq + Hash> Quota<T> {
    /// So many places, all free. A tenant may hold `least` of them whatever its share is.
    #[must_use]
    pub fn new(total: usize, least: usize) -> Self {
        Self {
            total,
            least,
            used: Held::default(),
            tenants: HashMap::new(),
        }
    }

    /// Places that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.total.saturating_sub(self.used.places)
    }

    /// Places that a tenant holds.
    #[must_use]
    pub fn held(&self, tenant: &T) -> usize {
        self.tenants.get(tenant).map_or(0, |held| held.places)
    }

    /// Takes places for each of the tenants at once.
    ///
    /// # Errors
    /// Returns [`Refused`] if they are too many, in total or for one of the tenants; nothing is taken then.
    pub fn take(&mut self, claims: &[Claim<T>], places: usize) -> Result<(), Refused<T>> {
        self.check(claims, places)?;
        self.take_beyond(claims, places);
        Ok(())
    }

    /// Whether places could be taken now.
    ///
    /// # Errors
    /// Returns [`Refused`] as [`Quota::take`] would.
    pub fn check(&mut self, claims: &[Claim<T>], places: usize) -> Result<(), Refused<T>> {
        let Some(left) = self.free().checked_sub(places) else {
            return Err(Refused {
                over: Over::Total,
                bound: self.total,
                is_first: self.used.refused(),
            });
        };
        for Claim { tenant, share } in claims {
            let wanted = self.held(tenant).saturating_add(places);
            if wanted > self.least && !share.allows(wanted, left) {
                // One that holds nothing is not remembered.
                let held = self.tenants.get_mut(tenant);
                return Err(Refused {
                    over: Over::Tenant(tenant.clone()),
                    bound: share.of(self.total).max(self.least),
                    is_first: held.is_none_or(Held::refused),
                });
            }
        }
        Ok(())
    }

    /// Takes places even beyond every bound. Nothing is free then until they are given back.
    pub fn take_beyond(&mut self, claims: &[Claim<T>], places: usize) {
        if places == 0 {
            return;
        }
        self.used.places += places;
        for Claim { tenant, .. } in claims {
            self.tenants.entry(tenant.clone()).or_default().places += places;
        }
    }

    /// Gives places back that were taken for the same tenants.
    pub fn give_back(&mut self, claims: &[Claim<T>], places: usize) {
        self.used.give_back(places, self.total);
        for Claim { tenant, share } in claims {
            let bound = share.of(self.total);
            let Some(held) = self.tenants.get_mut(tenant) else {
                continue;
            };
            held.give_back(places, bound);
            if held.places == 0 {
                self.tenants.remove(tenant);
            }
        }
    }
}

/// A quota that several tasks take from.
#[derive(Debug)]
pub struct SharedQuota<T>(Mutex<Quota<T>>);

/// Places that were taken. They are free again when this is dropped.
#[derive(Debug)]
pub struct Place<T: Clone + Eq + Hash> {
    quota: Arc<SharedQuota<T>>,
    claims: Arc<[Claim<T>]>,
    places: AtomicUsize,
}

impl<T: Clone + Eq + Hash> SharedQuota<T> {
    /// See [`Quota::new`].
    #[must_use]
    pub fn new(total: usize, least: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Quota::new(total, least))))
    }

    /// Takes places, or none at first, for each of the tenants.
    ///
    /// # Errors
    /// Returns [`Refused`] if they are too many.
    pub fn take(
        self: &Arc<Self>,
        claims: &Arc<[Claim<T>]>,
        places: usize,
    ) -> Result<Place<T>, Refused<T>> {
        self.quota().take(claims, places)?;
        Ok(Place {
            quota: self.clone(),
            claims: claims.clone(),
            places: places.into(),
        })
    }

    /// The quota, locked.
    pub fn quota(&self) -> MutexGuard<'_, Quota<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Eq + Hash> Place<T> {
    /// Whether so many more could be taken now; takes none.
    ///
    /// # Errors
    /// Returns [`Refused`] if they are too many.
    pub fn check(&self, more: usize) -> Result<(), Refused<T>> {
        self.quota.quota().check(&self.claims, more)
    }

    /// Takes more for the same tenants.
    ///
    /// # Errors
    /// Returns [`Refused`] if they are too many; none is taken then.
    pub fn grow(&self, more: usize) -> Result<(), Refused<T>> {
        self.quota.quota().take(&self.claims, more)?;
        self.places.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }

    /// Takes more, even beyond every bound.
    pub fn grow_beyond(&self, more: usize) {
        self.quota.quota().take_beyond(&self.claims, more);
        self.places.fetch_add(more, Ordering::Relaxed);
    }

    /// Gives some back.
    pub fn shrink(&self, fewer: usize) {
        let fewer = fewer.min(self.places.load(Ordering::Relaxed));
        self.places.fetch_sub(fewer, Ordering::Relaxed);
        self.quota.quota().give_back(&self.claims, fewer);
    }
}

impl<T: Clone + Eq + Hash> Drop for Place<T> {
    fn drop(&mut self) {
        let places = *self.places.get_mut();
        self.quota.quota().give_back(&self.claims, places);
    }
}

#[cfg(test)]
mod tests;
