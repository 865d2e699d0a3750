//! A quota against what it promises: it is never exceeded, leaks nothing, and leaves room for who comes later.

use proptest::prelude::*;

use super::*;

fn claims(tenant: u8, share: QuotaShare) -> [Claim<u8>; 1] {
    [Claim { tenant, share }]
}

/// A tenant takes single places until it is refused; gives how many it got.
fn takes_all(quota: &mut Quota<u8>, tenant: u8, share: QuotaShare) -> usize {
    let claims = claims(tenant, share);
    (0..).take_while(|_| quota.take(&claims, 1).is_ok()).count()
}

#[test]
fn one_tenant_gets_a_quarter_and_another_one_gets_in() {
    let mut quota = Quota::new(1024, 1);
    assert_eq!(takes_all(&mut quota, 0, QuotaShare::QUARTER), 256);
    let refused = quota.take(&claims(0, QuotaShare::QUARTER), 1).unwrap_err();
    assert_eq!((refused.over, refused.bound), (Over::Tenant(0), 256));
    assert!(takes_all(&mut quota, 1, QuotaShare::QUARTER) >= 128);
    // A tenant without a bound of its own has all that is left, and no more.
    let left = quota.free();
    assert_eq!(takes_all(&mut quota, 2, QuotaShare::ALL), left);
    let refused = quota.take(&claims(3, QuotaShare::QUARTER), 1).unwrap_err();
    assert_eq!((refused.over, refused.bound), (Over::Total, 1024));
}

#[test]
fn a_tenant_may_have_the_least_whatever_its_share() {
    let mut quota = Quota::new(100, 40);
    assert!(quota.take(&claims(0, QuotaShare::QUARTER), 40).is_ok());
    assert_eq!(
        quota
            .take(&claims(0, QuotaShare::QUARTER), 1)
            .unwrap_err()
            .bound,
        40
    );
    // Nor beyond what is free.
    assert!(quota.take(&claims(1, QuotaShare::QUARTER), 40).is_ok());
    assert_eq!(
        quota
            .take(&claims(2, QuotaShare::QUARTER), 40)
            .unwrap_err()
            .over,
        Over::Total
    );
    assert!(quota.take(&claims(2, QuotaShare::QUARTER), 20).is_ok());
}

#[test]
fn what_is_taken_beyond_the_bound_is_paid_back_first() {
    let mut quota = Quota::new(100, 1);
    quota.take_beyond(&claims(0, QuotaShare::ALL), 130);
    assert_eq!(quota.free(), 0);
    quota.give_back(&claims(0, QuotaShare::ALL), 30);
    assert!(quota.take(&claims(1, QuotaShare::ALL), 1).is_err());
    quota.give_back(&claims(0, QuotaShare::ALL), 50);
    assert!(quota.take(&claims(1, QuotaShare::ALL), 50).is_ok());
}

#[test]
fn a_refusal_is_reported_once_until_half_is_free() {
    let mut quota = Quota::new(40, 1);
    let claims = claims(0, QuotaShare::QUARTER);
    assert_eq!(takes_all(&mut quota, 0, QuotaShare::QUARTER), 10);
    // The one that ended the loop was the first.
    assert!(!quota.take(&claims, 1).unwrap_err().is_first);
    quota.give_back(&claims, 4);
    assert_eq!(takes_all(&mut quota, 0, QuotaShare::QUARTER), 4);
    assert!(!quota.take(&claims, 1).unwrap_err().is_first);
    quota.give_back(&claims, 5);
    assert!(quota.take(&claims, 5).is_ok());
    assert!(quota.take(&claims, 1).unwrap_err().is_first);
}

#[test]
fn a_place_goes_back_when_it_is_dropped() {
    let quota = SharedQuota::new(10, 1);
    let claims: Arc<[Claim<u8>]> = claims(0, QuotaShare::ALL).into();
    let place = quota.take(&claims, 4).unwrap();
    place.grow(3).unwrap();
    assert!(place.grow(4).is_err() && place.check(4).is_err() && place.check(3).is_ok());
    place.grow_beyond(5);
    place.shrink(2);
    assert_eq!(quota.quota().held(&0), 10);
    drop(place);
    assert_eq!(quota.quota().free(), 10);
    assert_eq!(quota.quota().held(&0), 0);
}

#[derive(Debug, Clone)]
enum Step {
    /// Key, address, places.
    Take(u8, u8, usize),
    /// Which of the places that are held is given back.
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4_u8, 10..14_u8, 1..20_usize).prop_map(|(key, address, n)| Step::Take(key, address, n)),
        2 => any::<usize>().prop_map(Step::GiveBack),
    ]
}

proptest! {
    #[test]
    fn a_quota_is_never_exceeded_and_leaks_nothing(
        total in 1..300_usize,
        percent in 1..=100_u8,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let share = QuotaShare::percent(percent).unwrap();
        let mut quota = Quota::new(total, 1);
        let mut held: Vec<([Claim<u8>; 2], usize)> = Vec::new();
        for step in steps {
            match step {
                Step::Take(key, address, places) => {
                    let claims = [key, address].map(|tenant| Claim { tenant, share });
                    if quota.take(&claims, places).is_ok() {
                        held.push((claims, places));
                    }
                }
                Step::GiveBack(which) if !held.is_empty() => {
                    let (claims, places) = held.swap_remove(which % held.len());
                    quota.give_back(&claims, places);
                }
                Step::GiveBack(_) => {}
            }
            let used: usize = held.iter().map(|(_, places)| places).sum();
            prop_assert_eq!(quota.free(), total - used);
            for tenant in (0..4).chain(10..14) {
                let own = |(claims, _): &&([Claim<u8>; 2], usize)| claims.iter().any(|claim| claim.tenant == tenant);
                let of_tenant: usize = held.iter().filter(own).map(|(_, places)| places).sum();
                prop_assert_eq!(quota.held(&tenant), of_tenant);
                prop_assert!(of_tenant <= share.of(total).max(1));
            }
        }
        for (claims, places) in held {
            quota.give_back(&claims, places);
        }
        prop_assert_eq!((quota.free(), quota.tenants.len()), (total, 0));
    }

    /// However long some tenants take all they can, and in whatever order: one who holds nothing gets a place.
    /// Each of them takes at most a quarter of what it finds free.
    #[test]
    fn who_comes_later_finds_room(
        total in 64..5000_usize,
        greedy in 1..8_u8,
        order in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let mut quota = Quota::new(total, 1);
        for tenant in order.into_iter().map(|tenant| tenant % greedy) {
            let half = quota.held(&tenant) / 2;
            quota.give_back(&claims(tenant, QuotaShare::QUARTER), half);
            takes_all(&mut quota, tenant, QuotaShare::QUARTER);
        }
        let least = total as f64 * 0.75_f64.powi(i32::from(greedy));
        prop_assert!(quota.free() as f64 >= least.floor() - 1.0, "{} of {least} are free", quota.free());
        prop_assert!(quota.take(&claims(99, QuotaShare::QUARTER), 1).is_ok());
    }
}
