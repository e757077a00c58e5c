//! Holds around their deadlines (I10): each is paid, cancelled, or both, within ±50 ms of the moment
//! at which it expires, while newcomers want what comes back. Run over the production step, and
//! judged by what the journal says.

use sluice_core::command::{
    Buyer, Cancel, DefineSku, Notice, Place, PlaceLine, ReceiveLot, StartPayment,
};
use sluice_core::event::{NoticeKind, OrderStatus, record};
use sluice_core::id::{OrderId, PaymentId, RequestId};
use sluice_core::limits::{Limits, TINY};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SkuId};
use sluice_core::outcome::{OrderView, Outcome, PaymentStatus, PaymentView};
use sluice_core::quantity::Quantity;
use sluice_core::time::Timestamp;

use crate::chance::Chance;
use crate::clients::Clients;
use crate::cuts::Cuts;
use crate::disk::FaultRates;
use crate::model::{Model, Order, Payment};
use crate::profile::Profile;
use crate::requests::Body;
use crate::world::{Verdict, World};

/// How far from its deadline a hold is paid or cancelled, in microseconds.
const AROUND_US: u64 = 50_000;

/// How long holds last, in seconds: longer than it takes to make all of them.
const HOLD_SECONDS: u32 = 60;

/// Latest end of a hold behind its deadline, in microseconds.
const LATE_MAX_US: u64 = 1_000_000;

/// How often the node looks for holds that are over, and more, in microseconds.
const LOOK_US: u64 = 15_000;

/// How holds ended, and what became of money that came late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Holds.
    pub holds: u64,
    /// Paid while they held.
    pub paid: u64,
    /// Cancelled by their buyers.
    pub cancelled: u64,
    /// Expired.
    pub expired: u64,
    /// Paid after that, and the units were there.
    pub held_anew: u64,
    /// Paid after that, and the units were gone.
    pub given_back: u64,
}

impl Ends {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.holds += other.holds;
        self.paid += other.paid;
        self.cancelled += other.cancelled;
        self.expired += other.expired;
        self.held_anew += other.held_anew;
        self.given_back += other.given_back;
    }
}

/// Makes so many holds on so many shards, and lets them end.
///
/// # Errors
/// The check that failed.
pub fn run(seed: u64, shards: usize, holds: u64) -> Result<Ends, String> {
    let mut world = World::with_profile(seed, profile(shards, holds), Cuts::default(), false);
    world.listen();
    world.start(shards)?;
    let mut run = Run { world, chance: Chance::new(seed, 1) };
    run.stock(holds)?;
    let mut acts = Vec::new();
    for number in 0..holds {
        run.world.advance(run.chance.below(5_000))?;
        run.hold(number, &mut acts)?;
    }
    acts.sort_by_key(|(at, _)| *at);
    let told: Vec<Notice> = acts.iter().filter_map(|(_, act)| notice(act).cloned()).collect();
    for (at, act) in acts {
        run.world.advance(at.micros_since(run.world.now()))?;
        run.act(act)?;
    }
    run.world.rest()?;
    // A provider who was told 503 tells it again.
    for notice in told {
        let is_open = |payment: &Payment| payment.status() == PaymentStatus::Open;
        let payment = PaymentId::parse(&notice.payment).ok_or("a payment's id")?;
        if run.world.model.payments.get(&payment).is_some_and(is_open) {
            run.act(Body::Notify(notice))?;
            run.world.rest()?;
        }
    }
    // What newcomers got runs out too.
    for _ in 0..4 * holds {
        let Some(due) = run.world.model.reserved().map(|(_, due)| due).min() else { break };
        run.world.advance(due.micros_since(run.world.now()) + LOOK_US)?;
        run.world.rest()?;
    }
    let ends = judge(&run.world.model)?;
    // A start with other shards finds the same, and nothing ends once more.
    run.world.restart(if shards == 1 { 3 } else { 1 })?;
    run.world.rest()?;
    match judge(&run.world.model)? {
        same if same == ends => Ok(ends),
        other => Err(format!("I10 {ends:?} before a restart, {other:?} behind it")),
    }
}

fn profile(shards: usize, holds: u64) -> Profile {
    let live_orders_max = 4 * holds as usize + 64 * shards;
    Profile {
        shards,
        limits: Limits { live_orders_max, inbox_vital_max: 64, ..TINY },
        ticks: 0,
        buyers: Vec::new(),
        skus: Vec::new(),
        faults: Vec::new(),
        rates: FaultRates::default(),
        weights: [0; 11],
        bulky: false,
        lot_units_max: 1,
        hold_seconds_max: 1,
        advance_us_max: 1,
        retention_us: sluice_core::config::RETENTION_US,
        journal_keep_bytes: None,
        archives: false,
        payment_extension_us: 0,
        standby: false,
        sales: false,
        journal_max_bytes: None,
        sinks: Vec::new(),
    }
}

struct Run {
    world: World,
    chance: Chance,
}

impl Run {
    /// As many units as there are holds: whoever comes later gets what came back.
    fn stock(&mut self, units: u64) -> Verdict {
        let define = Body::Define(Box::new(DefineSku {
            sku: sku(),
            title: "tea".into(),
            unit_price: Amount::new(500).ok_or("price")?,
            currency: Currency::new("CNY").ok_or("currency")?,
            per_buyer_limit: 0,
            hold_seconds: HOLD_SECONDS,
            standby_pass: false,
            if_revision: None,
            request: RequestId::NONE,
        }));
        self.world.converse(define, &mut self.chance)?;
        let receive = Body::Receive(ReceiveLot {
            sku: sku(),
            lot: LotId::new("L").ok_or("lot")?,
            quantity: Quantity::new(units as u32).ok_or("units")?,
            unit_price: None,
            request: RequestId::NONE,
        });
        self.world.converse(receive, &mut self.chance).map(|_| ())
    }

    /// Makes a hold, and draws what happens around its deadline.
    fn hold(&mut self, number: u64, acts: &mut Vec<(Timestamp, Body)>) -> Verdict {
        let name = format!("buyer-{number}");
        let view = match self.world.converse(self.place(&name)?, &mut self.chance)? {
            Outcome::Placed(view) => *view,
            other => return Err(format!("{name} gets {other:?}")),
        };
        let (order, due) = (view.order, view.expires_at);
        let buyer = Buyer::new(&self.world.hash_key().ok_or("the node is down")?, &name).digest;
        let request = RequestId::NONE;
        if !self.chance.one_in(4) {
            let payment = PaymentId::from_bits(0);
            let start = StartPayment { payment, order, buyer, request };
            let start = Body::StartPayment(start, name.clone());
            let payment = match self.world.converse(start, &mut self.chance)? {
                Outcome::Payment { payment, .. } => *payment,
                other => return Err(format!("{name} begins {other:?}")),
            };
            acts.push((self.around(due), succeeded(&view, &payment)));
        }
        if self.chance.one_in(2) {
            let cancel = Cancel { order, buyer, request };
            acts.push((self.around(due), Body::Cancel(cancel, name)));
        }
        if self.chance.one_in(3) {
            acts.push((self.around(due), self.place(&format!("newcomer-{number}"))?));
        }
        Ok(())
    }

    fn place(&self, name: &str) -> Result<Body, String> {
        let hash_key = self.world.hash_key().ok_or("the node is down")?;
        let lines = smallvec::smallvec![PlaceLine { sku: sku(), quantity: Quantity::ONE }];
        Ok(Body::Place(Box::new(Place {
            order: OrderId::from_bits(0),
            buyer: Buyer::new(&hash_key, name),
            key: None,
            fingerprint: Place::fingerprint_of(&lines, false, None),
            lines,
            standby: false,
            max_amount: None,
            request: RequestId::NONE,
        })))
    }

    /// A moment around a deadline; now and then the deadline itself.
    fn around(&mut self, due: Timestamp) -> Timestamp {
        let offset =
            if self.chance.one_in(8) { AROUND_US } else { self.chance.below(2 * AROUND_US + 1) };
        Timestamp::from_micros(due.micros() - AROUND_US + offset)
    }

    /// Asks, and waits for the node to come to rest or not: several may meet in one step.
    fn act(&mut self, body: Body) -> Verdict {
        if !self.ask(body.clone())? {
            // Many met, and the lane is full.
            self.world.rest()?;
            if !self.ask(body)? {
                return Err("an empty lane is full".to_owned());
            }
        }
        if self.chance.one_in(3) { Ok(()) } else { self.world.rest() }
    }

    /// Asks; says whether there was room.
    fn ask(&mut self, body: Body) -> Result<bool, String> {
        let mut clients =
            std::mem::replace(&mut self.world.clients, Clients::new(&self.world.profile));
        let sight = self.world.sight();
        let question = sight.map(|sight| clients.question(&mut self.chance, body, sight));
        self.world.clients = clients;
        Ok(self.world.submit(question.ok_or("the node is down")?, false))
    }
}

fn sku() -> SkuId {
    SkuId::new("tea").expect("a name")
}

fn notice(act: &Body) -> Option<&Notice> {
    match act {
        Body::Notify(notice) => Some(notice),
        _ => None,
    }
}

fn succeeded(view: &OrderView, payment: &PaymentView) -> Body {
    Body::Notify(Notice {
        kind: NoticeKind::PaymentSucceeded,
        payment: payment.payment.to_string().into(),
        order: view.order.to_string().into(),
        amount: payment.amount,
        currency: payment.currency.as_str().into(),
        request: RequestId::NONE,
    })
}

/// Each hold ended once, in time; each payment that was told is an order's, or goes back.
fn judge(model: &Model) -> Result<Ends, String> {
    let mut ends = Ends::default();
    for (id, order) in &model.orders {
        one(model, order, &mut ends)
            .map_err(|what| format!("I10 order {id}: {what}: {order:?}"))?;
    }
    let units = model.skus[&sku()].now();
    if units.held != 0 || units.sold != ends.paid + ends.held_anew {
        return Err(format!("I1 {units:?} after {ends:?}"));
    }
    Ok(ends)
}

fn one(model: &Model, order: &Order, ends: &mut Ends) -> Verdict {
    use OrderStatus as S;
    ends.holds += 1;
    let changes = order.states.windows(2).filter(|pair| pair[0].1 == S::Reserved);
    let mut endings = changes.filter(|pair| pair[1].1 != S::Reserved).map(|pair| pair[1]);
    let (sequence, status) = endings.next().ok_or("it never ended")?;
    if endings.next().is_some() {
        return Err("it ended twice".to_owned());
    }
    let bytes = &model.records[sequence as usize - 1];
    let (meta, _) = record::decode(bytes).map_err(|error| error.to_string())?;
    let (due, at) = (order.expires_at(), meta.time);
    if at > due.plus_micros(LATE_MAX_US) {
        return Err(format!("it ended at {at}"));
    }
    match status {
        S::Paid => ends.paid += 1,
        S::Cancelled => ends.cancelled += 1,
        S::Expired if at >= due => ends.expired += 1,
        other => return Err(format!("it became {other:?} at {at}")),
    }
    for id in &order.payments {
        match (model.payments[id].status(), order.status()) {
            (PaymentStatus::Succeeded, S::Paid) if status == S::Paid => {}
            (PaymentStatus::Succeeded, S::Paid) => ends.held_anew += 1,
            (PaymentStatus::Refunding, S::Refunding) => ends.given_back += 1,
            other => return Err(format!("its payment is left as {other:?}")),
        }
    }
    Ok(())
}
