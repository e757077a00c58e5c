//! The buyer slots of a ledger. One in which nothing ever was takes no memory and no time: a
//! start would otherwise make a thousand of them.

use crate::id::SlotId;
use crate::limits::SLOTS;

use super::BuyerSlot;

/// The slots that are here.
#[derive(Debug)]
pub(super) struct Slots {
    places: Box<[Place]>,
    here: usize,
    /// What is read of a slot in which nothing ever was.
    blank: BuyerSlot,
}

/// Where a slot is.
#[derive(Debug)]
enum Place {
    /// Another shard has it.
    Elsewhere,
    /// It is here, and nothing ever was in it.
    Blank,
    /// It is here.
    Here(Box<BuyerSlot>),
}

impl Slots {
    /// All slots of a node, with nothing in them.
    pub(super) fn all() -> Self {
        Self { here: SLOTS, ..Self::filled(|| Place::Blank) }
    }

    /// No slot.
    pub(super) fn none() -> Self {
        Self::filled(|| Place::Elsewhere)
    }

    fn filled(place: impl FnMut() -> Place) -> Self {
        let blank = BuyerSlot::new(SlotId::all().next().expect("there are slots"));
        Self { places: std::iter::repeat_with(place).take(SLOTS).collect(), here: 0, blank }
    }

    /// How many are here.
    pub(super) fn here(&self) -> usize {
        self.here
    }

    pub(super) fn is_here(&self, slot: SlotId) -> bool {
        !matches!(self.places[slot.index()], Place::Elsewhere)
    }

    /// # Panics
    /// If the slot is not here.
    #[inline]
    pub(super) fn get(&self, slot: SlotId) -> &BuyerSlot {
        match &self.places[slot.index()] {
            Place::Here(slot) => slot,
            Place::Blank => &self.blank,
            Place::Elsewhere => panic!("slot {} is elsewhere", slot.index()),
        }
    }

    /// # Panics
    /// If the slot is not here.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: SlotId) -> &mut BuyerSlot {
        let place = &mut self.places[slot.index()];
        if matches!(place, Place::Blank) {
            *place = Place::Here(Box::new(BuyerSlot::new(slot)));
        }
        match place {
            Place::Here(slot) => slot,
            _ => panic!("slot {} is elsewhere", slot.index()),
        }
    }

    /// The slot with this index, if it is here and anything ever was in it.
    #[inline]
    pub(super) fn filled_at(&self, index: usize) -> Option<&BuyerSlot> {
        match &self.places[index] {
            Place::Here(slot) => Some(slot),
            _ => None,
        }
    }

    /// As [`Slots::filled_at`], to change it.
    #[inline]
    pub(super) fn filled_at_mut(&mut self, index: usize) -> Option<&mut BuyerSlot> {
        match &mut self.places[index] {
            Place::Here(slot) => Some(slot),
            _ => None,
        }
    }

    /// All that are here and in which anything ever was, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &BuyerSlot> {
        (0..SLOTS).filter_map(|index| self.filled_at(index))
    }

    /// Takes a slot out; `None` if nothing ever was in it.
    ///
    /// # Panics
    /// If it is not here.
    pub(super) fn take(&mut self, slot: SlotId) -> Option<Box<BuyerSlot>> {
        self.here -= 1;
        match std::mem::replace(&mut self.places[slot.index()], Place::Elsewhere) {
            Place::Here(slot) => Some(slot),
            Place::Blank => None,
            Place::Elsewhere => panic!("slot {} is elsewhere", slot.index()),
        }
    }

    /// Puts a slot in, or one in which nothing ever was.
    ///
    /// # Panics
    /// If it is here already: a slot has one owner.
    pub(super) fn put(&mut self, id: SlotId, slot: Option<Box<BuyerSlot>>) {
        let place = &mut self.places[id.index()];
        assert!(matches!(place, Place::Elsewhere), "a slot has one owner");
        *place = slot.map_or(Place::Blank, Place::Here);
        self.here += 1;
    }

    /// Takes all out that are here, in order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (SlotId, Option<Box<BuyerSlot>>)> {
        let here = SlotId::all().filter(|slot| self.is_here(*slot)).collect::<Vec<_>>();
        here.into_iter().map(|slot| (slot, self.take(slot)))
    }
}
