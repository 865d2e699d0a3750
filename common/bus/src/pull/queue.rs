//! What is pulled and not yet handled, and which of it is the next group. Pure.
//!
//! Developers take turns, so that the flood of one delays nobody else: the deficit round robin of FQ-CoDel
//! ([RFC 8290](https://www.rfc-editor.org/rfc/rfc8290), section 4.1.3), with one turn a developer and group, and
//! without its queue management. Who had nothing waiting comes first, once; after that, in turn with all others.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::pull::settings::GroupBounds;

/// Who was alone for so long has no share to keep to. Then others are rare, and wait for a large group at most once.
const ALONE_FOR: Duration = Duration::from_secs(10);

/// Items by developer.
#[derive(Debug)]
pub struct FairQueue<T> {
    waiting: HashMap<String, VecDeque<Queued<T>>>,
    /// Developers who had nothing waiting, until their first turn.
    new: VecDeque<String>,
    /// The other developers. Who has nothing left stays for another turn: coming back sooner gains no place.
    in_turn: VecDeque<String>,
    /// Whether the last group was of new developers alone.
    was_of_new: bool,
    /// When several developers were last there.
    shared_at: Option<Instant>,
    items: usize,
}

#[derive(Debug)]
struct Queued<T> {
    item: T,
    work: u64,
}

/// What is taken so far.
struct Group<T> {
    items: Vec<T>,
    work: u64,
}

/// What became of a developer's turn.
enum Turn {
    Over,
    /// The group was full before it.
    StillToCome,
}

impl<T> FairQueue<T> {
    /// With nothing in it.
    pub fn new() -> Self {
        Self {
            waiting: HashMap::new(),
            new: VecDeque::new(),
            in_turn: VecDeque::new(),
            was_of_new: false,
            shared_at: None,
            items: 0,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Queues an item behind those of the same developer. `work` is what handling it costs.
    pub fn push(&mut self, developer: &str, work: u64, item: T) {
        let queued = Queued { item, work };
        self.items += 1;
        match self.waiting.get_mut(developer) {
            Some(waiting) => waiting.push_back(queued),
            None => {
                self.waiting
                    .insert(developer.to_owned(), VecDeque::from([queued]));
                self.new.push_back(developer.to_owned());
            }
        }
    }

    /// Takes what is handled next, developer by developer; nothing if nothing waits. New developers come in a group of
    /// their own, which is done soon, but never in two groups running.
    pub fn next_group(&mut self, bounds: GroupBounds, now: Instant) -> Vec<T> {
        let bounds = self.bounds(bounds, now);
        self.was_of_new = !self.new.is_empty() && !self.was_of_new;
        let turns = match self.was_of_new {
            true => self.new.len(),
            false => self.waiting.len(),
        };
        let mut group = Group {
            items: Vec::new(),
            work: 0,
        };
        for _ in 0..turns {
            let is_new = !self.new.is_empty();
            let Some(developer) = self.new.pop_front().or_else(|| self.in_turn.pop_front()) else {
                break;
            };
            let Some(waiting) = self.waiting.get_mut(&developer) else {
                continue;
            };
            if waiting.is_empty() {
                self.waiting.remove(&developer);
                continue;
            }
            match group.fill(waiting, bounds) {
                Turn::Over => self.in_turn.push_back(developer),
                Turn::StillToCome if is_new => {
                    self.new.push_front(developer);
                    break;
                }
                Turn::StillToCome => {
                    self.in_turn.push_front(developer);
                    break;
                }
            }
        }
        self.items -= group.items.len();
        group.items
    }

    fn bounds(&mut self, bounds: GroupBounds, now: Instant) -> GroupBounds {
        if self.waiting.len() > 1 {
            self.shared_at = Some(now);
        }
        let is_shared = self.shared_at.is_some_and(|at| now < at + ALONE_FOR);
        GroupBounds {
            share: if is_shared { bounds.share } else { bounds.work },
            ..bounds
        }
    }

    /// Takes all that waits.
    pub fn take_all(&mut self) -> Vec<T> {
        let waiting = std::mem::take(self).waiting.into_values().flatten();
        waiting.map(|queued| queued.item).collect()
    }
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Group<T> {
    /// Takes a developer's share. One item is taken whatever its work, of each developer's share and of the group.
    fn fill(&mut self, waiting: &mut VecDeque<Queued<T>>, bounds: GroupBounds) -> Turn {
        let mut share: u64 = 0;
        while let Some(Queued { work, .. }) = waiting.front() {
            let group_has_room = self.items.len() < bounds.messages
                && self.work.saturating_add(*work) <= bounds.work;
            let share_has_room = share.saturating_add(*work) <= bounds.share;
            if share > 0 && !(group_has_room && share_has_room) {
                return Turn::Over;
            }
            if !self.items.is_empty() && !group_has_room {
                return Turn::StillToCome;
            }
            if let Some(Queued { item, work }) = waiting.pop_front() {
                share = share.saturating_add(work.max(1));
                self.work = self.work.saturating_add(work);
                self.items.push(item);
            }
        }
        Turn::Over
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const BOUNDS: GroupBounds = GroupBounds {
        messages: 20,
        work: 100,
        share: 30,
    };

    /// Items are their developer and a number.
    type Item = (char, u32);

    /// A queue in which several developers were just now.
    fn shared<T>(now: Instant) -> FairQueue<T> {
        FairQueue {
            shared_at: Some(now),
            ..FairQueue::new()
        }
    }

    fn push(
        queue: &mut FairQueue<Item>,
        developer: char,
        numbers: std::ops::Range<u32>,
        work: u64,
    ) {
        for number in numbers {
            queue.push(&developer.to_string(), work, (developer, number));
        }
    }

    fn developers(group: &[Item]) -> String {
        group.iter().map(|(developer, _)| developer).collect()
    }

    #[test]
    fn who_comes_during_a_flood_is_in_the_next_group() {
        let now = Instant::now();
        let mut queue = shared(now);
        push(&mut queue, 'f', 0..100, 10);
        assert_eq!(developers(&queue.next_group(BOUNDS, now)), "fff");
        push(&mut queue, 'a', 0..2, 10);
        push(&mut queue, 'b', 0..1, 10);
        assert_eq!(developers(&queue.next_group(BOUNDS, now)), "aabfff");
        assert_eq!(developers(&queue.next_group(BOUNDS, now)), "fff");
    }

    #[test]
    fn coming_again_and_again_gains_no_place() {
        let now = Instant::now();
        let mut queue = shared(now);
        let one_at_a_time = GroupBounds { work: 30, ..BOUNDS };
        push(&mut queue, 'f', 0..100, 10);
        assert_eq!(developers(&queue.next_group(one_at_a_time, now)), "fff");
        let mut groups = String::new();
        for number in 0..6 {
            push(&mut queue, 'a', number..number + 1, 30);
            groups += &developers(&queue.next_group(one_at_a_time, now));
        }
        assert_eq!(groups, "afffafffafff");
    }

    #[test]
    fn what_is_larger_than_a_share_comes_alone() {
        let now = Instant::now();
        let mut queue = shared(now);
        push(&mut queue, 'f', 0..2, 1000);
        push(&mut queue, 'a', 0..1, 0);
        assert_eq!(queue.next_group(BOUNDS, now), [('f', 0)]);
        assert_eq!(queue.next_group(BOUNDS, now), [('a', 0)]);
        assert_eq!(queue.next_group(BOUNDS, now), [('f', 1)]);
        assert_eq!(queue.next_group(BOUNDS, now), []);
    }

    #[test]
    fn who_is_alone_gets_whole_groups_until_another_comes() {
        let mut queue = FairQueue::new();
        let start = Instant::now();
        push(&mut queue, 'f', 0..100, 10);
        assert_eq!(queue.next_group(BOUNDS, start).len(), 10);
        push(&mut queue, 'a', 0..1, 10);
        assert_eq!(developers(&queue.next_group(BOUNDS, start)), "afff");
        assert_eq!(developers(&queue.next_group(BOUNDS, start)), "fff");
        let almost = start + ALONE_FOR - Duration::from_millis(1);
        assert_eq!(developers(&queue.next_group(BOUNDS, almost)), "fff");
        let later = start + ALONE_FOR;
        assert_eq!(queue.next_group(BOUNDS, later).len(), 10);
    }

    /// What arrives, and when the next group is taken.
    #[derive(Debug, Clone)]
    enum Step {
        Arrives { developer: u8, work: u64 },
        Group,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u8..5, 0_u64..50).prop_map(|(developer, work)| Step::Arrives { developer, work }),
            1 => Just(Step::Group),
        ]
    }

    proptest! {
        #[test]
        fn each_item_comes_once_and_in_order_and_no_group_is_too_large(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let now = Instant::now();
            let mut queue = shared(now);
            let mut pushed: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
            let mut taken: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
            let ending = std::iter::repeat_n(Step::Group, steps.len());
            for (number, step) in steps.iter().cloned().chain(ending).enumerate() {
                let Step::Arrives { developer, work } = step else {
                    let group: Vec<(u8, u64, usize)> = queue.next_group(BOUNDS, now);
                    let sum = |of: &dyn Fn(u8) -> bool| -> (usize, u64) {
                        let items = group.iter().filter(|(developer, _, _)| of(*developer));
                        items.fold((0, 0), |(count, sum), (_, work, _)| (count + 1, sum + work))
                    };
                    let (count, work) = sum(&|_| true);
                    prop_assert!(count <= BOUNDS.messages && (work <= BOUNDS.work || count == 1));
                    for one in 0..5 {
                        let (count, work) = sum(&|developer| developer == one);
                        prop_assert!(work <= BOUNDS.share || count == 1);
                    }
                    for (developer, _, number) in group {
                        taken.entry(developer).or_default().push(number);
                    }
                    continue;
                };
                pushed.entry(developer).or_default().push(number);
                queue.push(&developer.to_string(), work, (developer, work, number));
            }
            prop_assert!(queue.is_empty());
            prop_assert_eq!(taken, pushed);
        }

        #[test]
        fn who_always_has_something_gets_as_many_turns_as_anyone(
            sizes in prop::collection::vec(1_u64..60, 2..12),
            guests in prop::collection::vec(0_usize..4, 40),
        ) {
            let now = Instant::now();
            let mut queue = FairQueue::new();
            for (developer, work) in sizes.iter().enumerate() {
                for _ in 0..2000 {
                    queue.push(&developer.to_string(), *work, developer);
                }
            }
            let mut turns = vec![0_i32; sizes.len()];
            for (number, guests) in guests.into_iter().enumerate() {
                for guest in 0..guests {
                    let guest = 1000 + 10 * number + guest;
                    queue.push(&guest.to_string(), 5, guest);
                }
                let group = queue.next_group(BOUNDS, now);
                for (developer, turns) in turns.iter_mut().enumerate() {
                    *turns += i32::from(group.contains(&developer));
                }
            }
            let (fewest, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
            prop_assert!(*fewest > 0 && most - fewest <= 1, "{turns:?}");
        }
    }
}
