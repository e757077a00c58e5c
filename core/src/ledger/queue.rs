//! The orders that wait for one SKU, first come first served.
//!
//! Tickets are counted up and stand in blocks of 256. Joining, serving and leaving touch one block
//! each; to tell a place in the queue, or to find somebody for whom few units are enough, takes a
//! look at each block, whatever stands in it.

use std::collections::VecDeque;

use crate::id::{BuyerDigest, OrderId};
use crate::name::SaleId;
use crate::quantity::Quantity;

/// Tickets of a block.
const BLOCK: u64 = 256;

/// An order that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    /// The order; names its home.
    pub(super) order: OrderId,
    pub(super) buyer: BuyerDigest,
    /// How many units it waits for.
    pub(super) quantity: Quantity,
    /// The sale in which it was ordered.
    pub(super) sale: Option<SaleId>,
    pub(super) stage: Stage,
}

/// How far an order in the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has its ticket; whether it is recorded is not known here yet.
    Joining,
    /// It waits.
    Waiting,
    /// Units are set aside for it, and its home is asked.
    Offered,
    /// Its home is told that the sale is over.
    Dismissed,
}

impl Stage {
    /// Whether it is still to be served.
    const fn is_open(self) -> bool {
        matches!(self, Self::Joining | Self::Waiting)
    }
}

#[derive(Clone, Debug)]
struct Block {
    waiters: Box<[Option<Waiter>; BLOCK as usize]>,
    present: u16,
    /// Those still to be served.
    open: u16,
    /// None that is still to be served wants fewer units.
    least: u32,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    blocks: VecDeque<Block>,
    /// The number of the first block.
    first: u64,
    next_ticket: u64,
    length: u64,
    /// Those still to be served.
    open: u64,
    /// Of these, those of whom it is not known yet whether they are recorded.
    joining: u64,
}

impl Block {
    fn new() -> Self {
        let waiters = Box::new([const { None }; BLOCK as usize]);
        Self { waiters, present: 0, open: 0, least: u32::MAX }
    }
}

impl Queue {
    /// How many wait, those who are being served included.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether somebody is still to be served.
    pub(super) fn has_open(&self) -> bool {
        self.open > 0
    }

    /// Whether somebody is still to be served of whom it is known that they are recorded.
    pub(super) fn has_recorded(&self) -> bool {
        self.open > self.joining
    }

    /// The ticket that the next one gets.
    pub(super) fn next_ticket(&self) -> u64 {
        self.next_ticket
    }

    /// The ticket that the next one gets, when there was a past that is not in the queue.
    pub(super) fn skip_to(&mut self, ticket: u64) {
        self.next_ticket = self.next_ticket.max(ticket);
    }

    /// Puts a waiter in, with the next ticket or with one that was given out before.
    ///
    /// # Panics
    /// If the ticket is taken (I11).
    pub(super) fn insert(&mut self, ticket: u64, waiter: Waiter) {
        let number = ticket / BLOCK;
        if self.blocks.is_empty() {
            self.first = number;
        }
        while number < self.first {
            self.blocks.push_front(Block::new());
            self.first -= 1;
        }
        while number >= self.first + self.blocks.len() as u64 {
            self.blocks.push_back(Block::new());
        }
        self.length += 1;
        self.open += u64::from(waiter.stage.is_open());
        self.joining += u64::from(waiter.stage == Stage::Joining);
        self.next_ticket = self.next_ticket.max(ticket + 1);
        let block = &mut self.blocks[(number - self.first) as usize];
        block.present += 1;
        if waiter.stage.is_open() {
            block.open += 1;
            block.least = block.least.min(waiter.quantity.get());
        }
        let place = &mut block.waiters[(ticket % BLOCK) as usize];
        assert!(place.is_none(), "I11 ticket {ticket} is taken");
        *place = Some(waiter);
    }

    pub(super) fn get(&self, ticket: u64) -> Option<&Waiter> {
        let block = (ticket / BLOCK).checked_sub(self.first)?;
        self.blocks.get(block as usize)?.waiters[(ticket % BLOCK) as usize].as_ref()
    }

    /// Sets how far a waiter is.
    ///
    /// # Panics
    /// If nobody has the ticket.
    pub(super) fn set_stage(&mut self, ticket: u64, stage: Stage) {
        let block = &mut self.blocks[(ticket / BLOCK - self.first) as usize];
        let waiter = block.waiters[(ticket % BLOCK) as usize].as_mut();
        let waiter = waiter.unwrap_or_else(|| panic!("I11 nobody has ticket {ticket}"));
        let before = std::mem::replace(&mut waiter.stage, stage);
        block.open -= u16::from(before.is_open());
        block.open += u16::from(stage.is_open());
        if stage.is_open() {
            block.least = block.least.min(waiter.quantity.get());
        }
        self.open -= u64::from(before.is_open());
        self.open += u64::from(stage.is_open());
        self.joining -= u64::from(before == Stage::Joining);
        self.joining += u64::from(stage == Stage::Joining);
    }

    /// Takes a waiter out; `None` if nobody has the ticket.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let number = (ticket / BLOCK).checked_sub(self.first)?;
        let block = self.blocks.get_mut(number as usize)?;
        let waiter = block.waiters[(ticket % BLOCK) as usize].take()?;
        block.present -= 1;
        block.open -= u16::from(waiter.stage.is_open());
        self.length -= 1;
        self.open -= u64::from(waiter.stage.is_open());
        self.joining -= u64::from(waiter.stage == Stage::Joining);
        while self.blocks.front().is_some_and(|block| block.present == 0) {
            self.blocks.pop_front();
            self.first += 1;
        }
        Some(waiter)
    }

    /// The first who is still to be served.
    pub(super) fn next(&self) -> Option<(u64, &Waiter)> {
        self.next_within(u64::MAX)
    }

    /// The first who is still to be served and has this ticket or a later one.
    pub(super) fn next_from(&self, ticket: u64) -> Option<(u64, &Waiter)> {
        let number = (ticket / BLOCK).saturating_sub(self.first) as usize;
        self.blocks.iter().enumerate().skip(number).filter(|(_, block)| block.open > 0).find_map(
            |(n, block)| {
                let first = (self.first + n as u64) * BLOCK;
                let waiters = block.waiters.iter().enumerate();
                let mut waiters =
                    waiters.filter_map(|(at, it)| Some((first + at as u64, it.as_ref()?)));
                waiters.find(|(at, waiter)| *at >= ticket && waiter.stage.is_open())
            },
        )
    }

    /// The first who is still to be served and wants no more than `units`.
    pub(super) fn next_within(&self, units: u64) -> Option<(u64, &Waiter)> {
        let blocks = self.blocks.iter().enumerate();
        let mut worth_a_look =
            blocks.filter(|(_, block)| block.open > 0 && u64::from(block.least) <= units);
        worth_a_look.find_map(|(n, block)| {
            let wants =
                |waiter: &Waiter| waiter.stage.is_open() && waiter.quantity.units() <= units;
            let place = block.waiters.iter().position(|it| it.as_ref().is_some_and(wants))?;
            let ticket = (self.first + n as u64) * BLOCK + place as u64;
            Some((ticket, block.waiters[place].as_ref()?))
        })
    }

    /// The last who is still to be served. Nobody is served so: a planted bug is.
    pub(super) fn last_open(&self) -> Option<(u64, &Waiter)> {
        self.iter().filter(|(_, waiter)| waiter.stage.is_open()).last()
    }

    /// The place of a ticket: one more than there are waiters with lower ones.
    pub(super) fn position(&self, ticket: u64) -> u64 {
        let number = (ticket / BLOCK).saturating_sub(self.first) as usize;
        let before: u64 =
            self.blocks.iter().take(number).map(|block| u64::from(block.present)).sum();
        let within = self.blocks.get(number).map_or(0, |block| {
            block.waiters[..(ticket % BLOCK) as usize].iter().flatten().count() as u64
        });
        before + within + 1
    }

    /// All who wait, by ticket.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Waiter)> {
        self.blocks.iter().enumerate().flat_map(move |(n, block)| {
            let first = (self.first + n as u64) * BLOCK;
            let waiters = block.waiters.iter().enumerate();
            waiters.filter_map(move |(place, it)| Some((first + place as u64, it.as_ref()?)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Queue, Stage, Waiter};
    use crate::id::{BuyerDigest, OrderId};
    use crate::quantity::Quantity;

    fn waiter(units: u32) -> Waiter {
        Waiter {
            order: OrderId::from_bits(u128::from(units)),
            buyer: BuyerDigest(1),
            quantity: Quantity::new(units).expect("in range"),
            sale: None,
            stage: Stage::Waiting,
        }
    }

    fn queue(wishes: &[u32]) -> Queue {
        let mut queue = Queue::default();
        for units in wishes {
            queue.insert(queue.next_ticket(), waiter(*units));
        }
        queue
    }

    #[test]
    fn the_first_is_served_first_and_places_move_up() {
        let mut queue = queue(&vec![2; 3 * BLOCK as usize]);
        assert_eq!(queue.next().map(|(ticket, _)| ticket), Some(0));
        assert_eq!((queue.position(0), queue.position(700)), (1, 701));
        queue.set_stage(0, Stage::Offered);
        assert_eq!(queue.next().map(|(ticket, _)| ticket), Some(1));
        assert_eq!(queue.position(1), 2, "whoever is being served still stands before");
        for ticket in 0..600 {
            assert!(queue.remove(ticket).is_some());
        }
        assert_eq!((queue.position(700), queue.len()), (101, 168));
        assert!(queue.remove(5).is_none());
        assert_eq!(queue.next().map(|(ticket, _)| ticket), Some(600));
        assert_eq!(queue.next_ticket(), 768);
    }

    #[test]
    fn whoever_wants_few_is_found_behind_those_who_want_many() {
        let mut wishes = vec![5; 2 * BLOCK as usize];
        wishes.extend([3, 1, 4]);
        let mut queue = queue(&wishes);
        let found = |queue: &Queue, units| queue.next_within(units).map(|(ticket, _)| ticket);
        assert_eq!(found(&queue, 3), Some(512));
        assert_eq!(found(&queue, 2), Some(513));
        queue.set_stage(513, Stage::Offered);
        assert_eq!(found(&queue, 2), None);
        assert_eq!(found(&queue, 9), Some(0));
    }

    #[test]
    fn tickets_may_come_back_in_any_order() {
        let mut queue = Queue::default();
        for ticket in [900, 3, 256, 4] {
            queue.insert(ticket, waiter(1));
        }
        let tickets: Vec<u64> = queue.iter().map(|(ticket, _)| ticket).collect();
        assert_eq!(tickets, [3, 4, 256, 900]);
        assert_eq!((queue.next_ticket(), queue.position(900)), (901, 4));
        queue.remove(3);
        queue.remove(4);
        queue.insert(1, waiter(1));
        assert_eq!(queue.next().map(|(ticket, _)| ticket), Some(1));
    }
}
