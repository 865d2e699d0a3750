//! The order of arrival never changes what is stored (R1.2), whatever the batches have in common.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestCaseResult, TestRunner};
use store::{DecodedBatch, Persist, VerifyReads};
use types::time::SECOND;
use types::verdict::Code;

use crate::build::{Engine, Event, HOUR, T0, at, batch_of, event, incarnation};

/// One event: which id, what content, how it is spelled, whether admission refused it.
type Drawn = (u8, u32, u8, bool);

/// A batch: a slice of the events (so batches repeat, split and overlap each other), who sent it,
/// and in which incarnation of the stream.
type Slice = (Index, usize, bool, bool);

/// Batches, and an order in which they arrive.
#[derive(Debug, Clone)]
pub struct Scenario {
    events: Vec<Drawn>,
    batches: Vec<Slice>,
    /// Batches in the order they arrive, some repeatedly; those not named come last.
    arrivals: Vec<Index>,
    /// Sizes of the groups they are stored in, used in turn.
    groups: Vec<usize>,
}

/// Any scenario.
pub fn scenarios() -> impl Strategy<Value = Scenario> {
    let refused = prop::bool::weighted(0.15);
    let events = prop::collection::vec((0..4_u8, 0..2_u32, 0..3_u8, refused), 1..16);
    let bob = prop::bool::weighted(0.2);
    let batches = prop::collection::vec((any::<Index>(), 0..8_usize, bob, any::<bool>()), 1..9);
    let arrivals = prop::collection::vec(any::<Index>(), 0..16);
    let groups = prop::collection::vec(1..5_usize, 1..5);
    (events, batches, arrivals, groups).prop_map(|(events, batches, arrivals, groups)| Scenario {
        events,
        batches,
        arrivals,
        groups,
    })
}

impl Scenario {
    /// The batches, by sequence.
    pub fn incoming(&self) -> Vec<DecodedBatch> {
        let batches = self
            .batches
            .iter()
            .zip(1..)
            .map(|((start, len, bob, second_life), seq)| {
                let start = start.index(self.events.len());
                let end = self.events.len().min(start + len);
                let sent = self.events[start..end]
                    .iter()
                    .map(|drawn| Self::event(*drawn, seq));
                let developer = if *bob { "bob" } else { "ada" };
                let at = at(1 + i64::from(*second_life), seq);
                batch_of(developer, at, &sent.collect::<Vec<_>>())
            });
        batches.collect()
    }

    /// The effective time depends on the batch too, as it does if a clock was wrong.
    fn event(drawn: Drawn, seq: u64) -> Event {
        let (id, content, spelling, refused) = drawn;
        let late = i64::from(id) * HOUR + seq as i64 * SECOND;
        let event = event(&format!("e{id}"), content)
            .spelled(spelling)
            .after(late);
        if refused {
            event.refused(Code::TypeUnknown, Some("/type"), None)
        } else {
            event
        }
    }

    /// The groups to store, in their order.
    pub fn groups(&self, incoming: &[DecodedBatch]) -> Vec<Vec<DecodedBatch>> {
        let named = self
            .arrivals
            .iter()
            .map(|index| index.index(incoming.len()));
        let mut rest = named
            .chain(0..incoming.len())
            .map(|index| incoming[index].clone())
            .peekable();
        let mut groups = Vec::new();
        for size in self.groups.iter().cycle() {
            if rest.peek().is_none() {
                break;
            }
            groups.push(rest.by_ref().take(*size).collect());
        }
        groups
    }

    async fn check<E: Engine>(&self) -> TestCaseResult {
        let mut incoming = self.incoming();
        let groups = self.groups(&incoming);
        incoming.sort_by_key(|batch| batch.at);
        let one_by_one = incoming.iter().map(|batch| vec![batch.clone()]).collect();
        let (any, rising) = (stored::<E>(groups).await, stored::<E>(one_by_one).await);
        let (dump, expected) = (any.dump(), rising.dump());
        prop_assert_eq!(dump.of_events(), expected.of_events());
        let reader = any.store();
        for batch in &incoming {
            let accounts = reader
                .accounts(batch.at.src, batch.at.seq, batch.at.seq)
                .await
                .unwrap();
            prop_assert_eq!(accounts.len(), 1);
            let mut kept: Vec<u32> = accounts[0]
                .kept
                .iter()
                .map(|(ordinal, _)| *ordinal)
                .collect();
            kept.sort_unstable();
            let sent = batch.header.events.len() as u32;
            prop_assert_eq!(
                kept,
                (0..sent).collect::<Vec<_>>(),
                "each event of {} is in one place",
                batch.at
            );
        }
        Ok(())
    }
}

async fn stored<E: Engine>(groups: Vec<Vec<DecodedBatch>>) -> E {
    let store = E::fresh();
    for (created, src) in [(T0, 1), (T0 + 1, 2)] {
        assert_eq!(
            store.store().source(&incarnation(created)).await.unwrap(),
            src
        );
    }
    for group in groups {
        store.store().store_batches(group).await.unwrap();
    }
    store
}

pub fn the_order_of_arrival_never_changes_what_is_stored<E: Engine>() {
    for_each_scenario(scenarios(), async |scenario| scenario.check::<E>().await);
}

/// Checks 64 cases, the same in each run.
pub fn for_each_scenario<S: Strategy>(
    scenarios: S,
    check: impl AsyncFn(S::Value) -> TestCaseResult,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(0x6465_7674_7261_696c),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let run = TestRunner::new(config).run(&scenarios, |scenario| runtime.block_on(check(scenario)));
    run.unwrap_or_else(|failure| panic!("{failure}"));
}
