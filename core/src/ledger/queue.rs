//! The orders that wait for one SKU, first come first served.
//!
//! Tickets are counted up and stand in blocks of 256. Joining, serving and leaving touch one block
//! each; to tell a place in the queue, or to find somebody for whom few units are enough, takes a
//! look at what is known of each block: only one in which somebody is to be found is looked into.

use std::cmp::Ordering;
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
    /// `None` while nobody is in it.
    waiters: Option<Box<[Option<Waiter>; BLOCK as usize]>>,
    present: u16,
    /// Those still to be served.
    open: u16,
    /// How few units one of these wants; more than anybody can if there is none.
    least: u32,
    /// How many of these want as few.
    wanting_least: u16,
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
        Self { waiters: None, present: 0, open: 0, least: u32::MAX, wanting_least: 0 }
    }

    /// Whoever is in it, by place.
    fn iter(&self) -> impl Iterator<Item = (usize, &Waiter)> {
        let waiters = self.waiters.iter().flat_map(|waiters| waiters.iter().enumerate());
        waiters.filter_map(|(place, it)| Some((place, it.as_ref()?)))
    }

    fn get(&self, place: u64) -> Option<&Waiter> {
        self.waiters.as_ref()?[place as usize].as_ref()
    }

    fn get_mut(&mut self, place: u64) -> Option<&mut Waiter> {
        self.waiters.as_mut()?[place as usize].as_mut()
    }

    fn place(&mut self, place: u64) -> &mut Option<Waiter> {
        let vacant = || Box::new([const { None }; BLOCK as usize]);
        &mut self.waiters.get_or_insert_with(vacant)[place as usize]
    }

    /// Somebody who wants so many units is to be served.
    fn opened(&mut self, units: u32) {
        self.open += 1;
        if units < self.least {
            (self.least, self.wanting_least) = (units, 0);
        }
        self.wanting_least += u16::from(units == self.least);
    }

    /// Somebody who wants so many units is not to be served any more. The others are asked only once
    /// the last of those who want least has gone.
    fn closed(&mut self, units: u32) {
        self.open -= 1;
        self.wanting_least -= u16::from(units == self.least);
        if self.wanting_least > 0 {
            return;
        }
        let open = self.iter().filter(|(_, waiter)| waiter.stage.is_open());
        let wishes = open.map(|(_, waiter)| waiter.quantity.get());
        let (least, count) =
            wishes.fold((u32::MAX, 0), |(least, count), wish| match wish.cmp(&least) {
                Ordering::Less => (wish, 1),
                Ordering::Equal => (least, count + 1),
                Ordering::Greater => (least, count),
            });
        (self.least, self.wanting_least) = (least, count);
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
            block.opened(waiter.quantity.get());
        }
        let place = block.place(ticket % BLOCK);
        assert!(place.is_none(), "I11 ticket {ticket} is taken");
        *place = Some(waiter);
    }

    pub(super) fn get(&self, ticket: u64) -> Option<&Waiter> {
        let block = (ticket / BLOCK).checked_sub(self.first)?;
        self.blocks.get(block as usize)?.get(ticket % BLOCK)
    }

    /// Sets how far a waiter is.
    ///
    /// # Panics
    /// If nobody has the ticket.
    pub(super) fn set_stage(&mut self, ticket: u64, stage: Stage) {
        let block = &mut self.blocks[(ticket / BLOCK - self.first) as usize];
        let waiter = block.get_mut(ticket % BLOCK);
        let waiter = waiter.unwrap_or_else(|| panic!("I11 nobody has ticket {ticket}"));
        let before = std::mem::replace(&mut waiter.stage, stage);
        let units = waiter.quantity.get();
        match (before.is_open(), stage.is_open()) {
            (false, true) => block.opened(units),
            (true, false) => block.closed(units),
            _ => {}
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
        let waiter = block.waiters.as_mut()?[(ticket % BLOCK) as usize].take()?;
        block.present -= 1;
        if waiter.stage.is_open() {
            block.closed(waiter.quantity.get());
        }
        // The block of the next ticket is about to be needed.
        if block.present == 0 && self.next_ticket / BLOCK > ticket / BLOCK {
            block.waiters = None;
        }
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
                let mut waiters = block.iter().map(|(at, it)| (first + at as u64, it));
                waiters.find(|(at, waiter)| *at >= ticket && waiter.stage.is_open())
            },
        )
    }

    /// The first who is still to be served and wants no more than `units`.
    pub(super) fn next_within(&self, units: u64) -> Option<(u64, &Waiter)> {
        if units == 0 {
            return None;
        }
        let blocks = self.blocks.iter().enumerate();
        let mut worth_a_look =
            blocks.filter(|(_, block)| block.open > 0 && u64::from(block.least) <= units);
        worth_a_look.find_map(|(n, block)| {
            let wants =
                |waiter: &Waiter| waiter.stage.is_open() && waiter.quantity.units() <= units;
            let (place, waiter) = block.iter().find(|(_, waiter)| wants(waiter))?;
            Some(((self.first + n as u64) * BLOCK + place as u64, waiter))
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
            let place = (ticket % BLOCK) as usize;
            block.iter().take_while(|(at, _)| *at < place).count() as u64
        });
        before + within + 1
    }

    /// All who wait, by ticket.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Waiter)> {
        self.blocks.iter().enumerate().flat_map(move |(n, block)| {
            let first = (self.first + n as u64) * BLOCK;
            block.iter().map(move |(place, waiter)| (first + place as u64, waiter))
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
    fn a_block_is_looked_into_only_for_somebody_who_is_in_it() {
        let mut wishes = vec![5; BLOCK as usize];
        (wishes[3], wishes[7], wishes[200]) = (2, 3, 2);
        wishes.extend(vec![1; 2 * BLOCK as usize]);
        let mut queue = queue(&wishes);
        let least = |queue: &Queue| queue.blocks.iter().map(|it| it.least).collect::<Vec<_>>();
        queue.set_stage(3, Stage::Offered);
        assert_eq!(least(&queue), [2, 1, 1]);
        queue.remove(200);
        assert_eq!(least(&queue), [3, 1, 1]);
        queue.remove(7);
        assert_eq!(least(&queue), [5, 1, 1]);
        queue.set_stage(3, Stage::Waiting);
        assert_eq!(least(&queue), [2, 1, 1]);
        // What is empty in the middle takes no room, but for where the next will stand.
        (BLOCK..3 * BLOCK).for_each(|ticket| drop(queue.remove(ticket)));
        assert_eq!(least(&queue), [2, u32::MAX, u32::MAX]);
        assert!(queue.blocks[1].waiters.is_none() && queue.blocks[2].waiters.is_none());
        queue.insert(queue.next_ticket(), waiter(1));
        queue.remove(3 * BLOCK);
        assert!(queue.blocks[3].waiters.is_some());
        assert_eq!((queue.position(3 * BLOCK), queue.len()), (255, 254));
        queue.insert(300, waiter(1));
        assert_eq!(queue.next_within(1).map(|(ticket, _)| ticket), Some(300));
    }

    #[test]
    fn what_is_known_of_blocks_agrees_with_who_is_in_them() {
        let mut queue = queue(&[1]);
        let mut state = 1_u64;
        for _ in 0..20_000 {
            // A linear congruential generator (Knuth, volume 2, 3.3.4): the high bits serve.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let ticket = (state >> 40) % queue.next_ticket();
            let stage = [Stage::Joining, Stage::Waiting, Stage::Offered, Stage::Dismissed];
            match (state >> 33) % 5 {
                0 | 1 => {
                    let units = 1 + (state >> 50) as u32 % 9;
                    queue.insert(queue.next_ticket(), waiter(units));
                }
                2 => drop(queue.remove(ticket)),
                what if queue.get(ticket).is_some() => {
                    queue.set_stage(ticket, stage[(what + (state >> 60)) as usize % 4]);
                }
                _ => {}
            }
            let most = (state >> 45) % 10;
            let mut open = queue.iter().filter(|(_, waiter)| waiter.stage.is_open());
            let first = open.find(|(_, waiter)| waiter.quantity.units() <= most);
            assert_eq!(queue.next_within(most), first);
        }
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
