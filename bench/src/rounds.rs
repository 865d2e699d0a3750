//! Rounds: everything is measured several times, and a thing and its ceiling in turns.

use crate::stats::Spread;

/// What was measured of Devtrail, and of its ceiling, a round each in turns: A B A B.
/// What the machine does meanwhile hits both.
#[derive(Debug)]
pub struct Interleaved<O, C> {
    pub ours: Vec<O>,
    pub ceiling: Vec<C>,
}

impl<O, C> Interleaved<O, C> {
    /// Measures `rounds` of each.
    ///
    /// # Errors
    /// The first failure of either.
    pub async fn measure(
        rounds: usize,
        mut ours: impl AsyncFnMut(usize) -> anyhow::Result<O>,
        mut ceiling: impl AsyncFnMut(usize) -> anyhow::Result<C>,
    ) -> anyhow::Result<Self> {
        let mut measured = Self {
            ours: Vec::with_capacity(rounds),
            ceiling: Vec::with_capacity(rounds),
        };
        for round in 0..rounds {
            measured.ceiling.push(ceiling(round).await?);
            measured.ours.push(ours(round).await?);
        }
        Ok(measured)
    }

    /// A figure of ours over the rounds.
    pub fn ours(&self, figure: impl Fn(&O) -> f64) -> Spread {
        Spread::of(self.ours.iter().map(figure))
    }

    /// A figure of the ceiling over the rounds.
    pub fn ceiling(&self, figure: impl Fn(&C) -> f64) -> Spread {
        Spread::of(self.ceiling.iter().map(figure))
    }

    /// Ours divided by the ceiling of the same round.
    pub fn ratio(&self, ours: impl Fn(&O) -> f64, ceiling: impl Fn(&C) -> f64) -> Spread {
        let pairs = self.ours.iter().zip(&self.ceiling);
        Spread::of(pairs.map(|(one, other)| ours(one) / ceiling(other)))
    }
}
