//! Sales: the register of all of them, and how SKU owners learn of them.
//!
//! The register stands on shard 0 and never moves. It decides and records; then it tells the owner
//! of each SKU, and answers once all of them know: whoever orders after that answer is judged by
//! the new terms. A SKU that does not exist yet gets its terms when it is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{DefineSale, ReplyTo};
use crate::event::{Actor, Event, Meta, SaleDefined, SaleMove, SaleMoved};
use crate::id::RequestId;
use crate::limits::Limits;
use crate::name::{SaleId, SkuId};
use crate::outcome::{Outcome, Refusal, SaleState, SaleView};
use crate::planted::{self, Bug};
use crate::time::Timestamp;

use super::Ledger;
use super::agenda::Agenda;
use super::protocol::Message;
use super::turn::Turn;

/// How often sales are looked at while one is to end, in microseconds.
const LOOK_EVERY_US: u64 = 10_000;

/// All sales of a node.
#[derive(Debug)]
pub(super) struct Register {
    sales: BTreeMap<SaleId, Arc<SaleView>>,
    /// Which sale that has not ended a SKU is in.
    taken: BTreeMap<SkuId, SaleId>,
    /// Answers that wait until all SKU owners know.
    pending: Vec<Pending>,
    /// How often owners were told something.
    told: u64,
    ends: Agenda,
}

/// An answer that waits.
#[derive(Debug)]
struct Pending {
    number: u64,
    sale: SaleId,
    missing: usize,
    answers: Vec<(ReplyTo, Outcome)>,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            sales: BTreeMap::new(),
            taken: BTreeMap::new(),
            pending: Vec::new(),
            told: 0,
            ends: Agenda::new(LOOK_EVERY_US, Timestamp::MAX),
        }
    }
}

impl Register {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<SaleView>> {
        self.sales.values()
    }

    pub(super) fn get(&self, sale: &SaleId) -> Option<&Arc<SaleView>> {
        self.sales.get(sale)
    }

    /// SKU owners of which it is not known whether they have heard.
    pub(super) fn half_way(&self) -> usize {
        self.pending.iter().map(|pending| pending.missing).sum()
    }

    pub(super) fn next_end(&self) -> Timestamp {
        self.ends.next_due()
    }

    /// Puts a sale in, in place of what it was. Gives what its SKUs were.
    pub(super) fn install(&mut self, sale: &Arc<SaleView>) -> Option<Arc<SaleView>> {
        let before = self.sales.insert(sale.sale.clone(), Arc::clone(sale));
        self.taken.retain(|_, taken_by| *taken_by != sale.sale);
        if !sale.ended {
            self.taken.extend(sale.skus.iter().map(|sku| (sku.clone(), sale.sale.clone())));
            self.ends.note(sale.ends_at);
        }
        before
    }

    fn decide(&self, define: &DefineSale, now: Timestamp, limits: &Limits) -> Result<u32, Refusal> {
        let known = self.sales.get(&define.sale);
        // A sale that runs may be given an end in the past: that ends it.
        if known.is_none() && define.ends_at <= now {
            return Err(Refusal::SaleWouldBeOver);
        }
        let revision = known.map_or(0, |sale| sale.revision);
        if define.if_revision.is_some_and(|expected| expected != revision) {
            return Err(Refusal::RevisionChanged { revision });
        }
        // Also while the end of its time is about to be recorded: what is over does not come back.
        if known.is_some_and(|sale| sale.state(now) == SaleState::Ended) {
            return Err(Refusal::SaleEnded);
        }
        let other = |sku: &SkuId| self.taken.get(sku).filter(|sale| **sale != define.sale);
        if let Some((sku, sale)) = define.skus.iter().find_map(|sku| Some((sku, other(sku)?))) {
            return Err(Refusal::SkuInSale { sku: sku.clone(), sale: sale.clone() });
        }
        if known.is_none() && self.sales.len() >= limits.sales_max {
            return Err(Refusal::Capacity { ceiling: "sales" });
        }
        if define.skus.len() > limits.skus_per_sale_max {
            return Err(Refusal::Capacity { ceiling: "SKUs of one sale" });
        }
        Ok(revision)
    }
}

impl Ledger {
    pub(super) fn define_sale(&mut self, turn: &mut Turn<'_>, define: &DefineSale, reply: ReplyTo) {
        let limits = self.limits;
        let revision = match self.register().decide(define, turn.now, &limits) {
            Ok(revision) => revision,
            Err(refusal) => return turn.effects.answer(reply, Outcome::Refused(refusal)),
        };
        let defined = SaleDefined {
            sale: define.sale.clone(),
            revision: revision + 1,
            title: &define.title,
            starts_at: define.starts_at,
            ends_at: define.ends_at,
            per_buyer_limit: define.per_buyer_limit,
            skus: define.skus.clone(),
        };
        let meta = Meta { time: turn.now, actor: Actor::Operator, request: define.request };
        turn.recorder.record(&meta, &Event::SaleDefined(defined.clone()));
        let sale = self.register().defined(&defined);
        self.spread(turn, sale, Some((reply, revision == 0)));
    }

    pub(super) fn move_sale(
        &mut self,
        turn: &mut Turn<'_>,
        (sale, to): (&SaleId, SaleMove),
        request: RequestId,
        reply: ReplyTo,
    ) {
        let Some(known) = self.register().sales.get(sale) else {
            return turn.effects.answer(reply, Outcome::Refused(Refusal::SaleNotFound));
        };
        let already = match to {
            SaleMove::Paused => known.paused,
            SaleMove::Resumed => !known.paused,
            SaleMove::Ended => known.ended,
        };
        if known.ended && to != SaleMove::Ended {
            return turn.effects.answer(reply, Outcome::Refused(Refusal::SaleEnded));
        }
        if already {
            let outcome = Outcome::Sale { created: false, sale: Arc::clone(known) };
            // A retry waits as its first request does.
            let mut pending = self.register().pending.iter_mut();
            return match pending.rfind(|pending| pending.sale == *sale) {
                Some(pending) => pending.answers.push((reply, outcome)),
                None => turn.effects.answer(reply, outcome),
            };
        }
        let meta = Meta { time: turn.now, actor: Actor::Operator, request };
        let sale = self.record_move(turn, &meta, sale.clone(), to);
        self.spread(turn, sale, Some((reply, false)));
    }

    /// Ends sales whose time is over. Says how many.
    pub fn end_sales(&mut self, turn: &mut Turn<'_>) -> usize {
        let Some(register) = self.register.as_mut() else { return 0 };
        if register.ends.begin(turn.now).is_none() {
            return 0;
        }
        let running = register.sales.values().filter(|sale| !sale.ended);
        let over = running.clone().filter(|sale| sale.ends_at <= turn.now);
        let over: Vec<SaleId> = over.map(|sale| sale.sale.clone()).collect();
        let next = running.map(|sale| sale.ends_at).filter(|ends| *ends > turn.now).min();
        register.ends.note(next.unwrap_or(Timestamp::MAX));
        register.ends.end(turn.now);
        let ended = over.len();
        for sale in over {
            let meta = Meta { time: turn.now, actor: Actor::Engine, request: RequestId::NONE };
            let sale = self.record_move(turn, &meta, sale, SaleMove::Ended);
            self.spread(turn, sale, None);
        }
        ended
    }

    fn record_move(
        &mut self,
        turn: &mut Turn<'_>,
        meta: &Meta,
        sale: SaleId,
        to: SaleMove,
    ) -> Change {
        let revision = self.register().sales[&sale].revision + 1;
        let moved = SaleMoved { sale, revision, to };
        turn.recorder.record(meta, &Event::SaleMoved(moved.clone()));
        self.register().moved(&moved)
    }

    /// Tells the owners of a sale's SKUs, and of those that it had before, what has changed.
    fn spread(&mut self, turn: &mut Turn<'_>, change: Change, answer: Option<(ReplyTo, bool)>) {
        let Change { sale, gone } = change;
        turn.effects.sales.push(Arc::clone(&sale));
        let number = self.register().told;
        let told = sale.skus.iter().map(|sku| (sku, Some(&sale)));
        let told = told.chain(gone.iter().map(|sku| (sku, None)));
        let mut missing = 0;
        for (sku, terms) in told {
            missing += 1;
            turn.effects.send(Message::SaleTerms {
                sku: sku.clone(),
                sale: terms.map(Arc::clone),
                number,
            });
        }
        let answer = answer
            .map(|(reply, created)| (reply, Outcome::Sale { created, sale: Arc::clone(&sale) }));
        if missing == 0 || planted::is(Bug::SaleAnsweredEarly) {
            if let Some((reply, outcome)) = answer {
                turn.effects.answer(reply, outcome);
            }
            return;
        }
        let answers = answer.into_iter().collect();
        let sale = sale.sale.clone();
        let register = self.register();
        register.told += 1;
        register.pending.push(Pending { number, sale, missing, answers });
    }

    /// Register: one more SKU owner knows what was told with this number.
    pub(super) fn sale_terms_known(&mut self, turn: &mut Turn<'_>, number: u64) {
        let pending = &mut self.register().pending;
        let place = pending.iter().position(|pending| pending.number == number);
        let Some(place) = place else { return };
        pending[place].missing -= 1;
        if pending[place].missing == 0 {
            for (reply, outcome) in pending.remove(place).answers {
                turn.effects.answer(reply, outcome);
            }
        }
    }

    /// Owner: the sale that a SKU is in.
    pub(super) fn sale_terms(
        &mut self,
        turn: &mut Turn<'_>,
        sku: &SkuId,
        sale: Option<Arc<SaleView>>,
        number: u64,
    ) {
        self.apply_sale_terms(sku, sale);
        turn.effects.send(Message::SaleTermsKnown(number));
        if self.stocks.contains_key(sku) {
            turn.effects.touch(sku);
            self.stir(turn, sku);
        }
    }

    /// Applies the sale that a SKU is in, whether the SKU exists yet or not.
    pub(super) fn apply_sale_terms(&mut self, sku: &SkuId, sale: Option<Arc<SaleView>>) {
        match (self.stocks.get_mut(sku), sale) {
            (Some(stock), sale) => stock.enter_sale(sale),
            // A SKU that is made when its owner knows that the sale is over was never in it.
            (None, Some(sale)) if !sale.ended => {
                self.awaited.insert(sku.clone(), sale);
            }
            (None, _) => {
                self.awaited.remove(sku);
            }
        }
    }

    /// Applies a sale at the register and at all SKUs, all of which are here.
    pub(super) fn apply_sale(&mut self, change: &Change) {
        for sku in &change.gone {
            self.apply_sale_terms(sku, None);
        }
        for sku in &change.sale.skus {
            self.apply_sale_terms(sku, Some(Arc::clone(&change.sale)));
        }
    }

    /// The register, where it stands.
    pub(super) fn register(&mut self) -> &mut Register {
        self.register.as_mut().expect("what is about sales goes to the register's shard")
    }
}

/// A sale after a change.
pub(super) struct Change {
    sale: Arc<SaleView>,
    /// SKUs that it had before and has no more.
    gone: Vec<SkuId>,
}

impl Register {
    /// Applies a sale's terms.
    pub(super) fn defined(&mut self, defined: &SaleDefined<'_>) -> Change {
        let paused = self.sales.get(&defined.sale).is_some_and(|sale| sale.paused);
        let sale = Arc::new(SaleView {
            sale: defined.sale.clone(),
            revision: defined.revision,
            title: Box::from(defined.title),
            starts_at: defined.starts_at,
            ends_at: defined.ends_at,
            per_buyer_limit: defined.per_buyer_limit,
            skus: defined.skus.clone(),
            paused,
            ended: false,
        });
        let before = self.install(&sale);
        let gone = before.map_or(Vec::new(), |before| before.skus.clone());
        let gone = gone.into_iter().filter(|sku| sale.skus.binary_search(sku).is_err()).collect();
        Change { sale, gone }
    }

    /// Applies what became of a sale.
    ///
    /// # Panics
    /// If the sale does not exist.
    pub(super) fn moved(&mut self, moved: &SaleMoved) -> Change {
        let known = self.sales.get(&moved.sale);
        let known = known.unwrap_or_else(|| panic!("I1 sale {} does not exist", moved.sale));
        let mut sale = SaleView::clone(known);
        sale.revision = moved.revision;
        match moved.to {
            SaleMove::Paused => sale.paused = true,
            SaleMove::Resumed => sale.paused = false,
            SaleMove::Ended => sale.ended = true,
        }
        let sale = Arc::new(sale);
        self.install(&sale);
        Change { sale, gone: Vec::new() }
    }
}
