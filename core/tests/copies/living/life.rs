//! The whole life of orders: standby, payments, late ones, refunds, shipping, sales.

use sluice_core::command::{
    Buyer, Cancel, Command, DefineSale, DefineSku, Notice, Place, PlaceLine, ReceiveLot, Refund,
    Ship, StartPayment,
};
use sluice_core::engine::Handle;
use sluice_core::event::{NoticeKind, OrderStatus, SaleMove};
use sluice_core::id::{OrderId, PaymentId};
use sluice_core::money::{Amount, Currency};
use sluice_core::name::{LotId, SaleId, SkuId};
use sluice_core::outcome::{OrderView, Outcome};
use sluice_core::quantity::Quantity;
use sluice_core::sink::StoredOrder;
use smallvec::smallvec;
use smol_str::SmolStr;

use super::selling::{REQUEST, ask};

/// How often an order is looked at until it must be what it should be.
const LOOKS_MAX: u32 = 1_000_000;

/// An engine that orders live in.
pub(crate) struct Life<'a> {
    handle: &'a Handle,
    drawn: u64,
    /// Every order with its buyer.
    orders: Vec<(OrderId, &'static str)>,
}

/// What came of it.
pub(crate) struct Lived {
    /// Every order as the ledger shows it, but for its place in a queue.
    pub(crate) orders: Vec<StoredOrder>,
    /// One that was paid, shipped, delivered and given back.
    pub(crate) whole: OrderId,
    /// Payments that are still to be given back.
    pub(crate) refunding: Vec<PaymentId>,
}

pub(crate) fn sku(name: &str) -> SkuId {
    SkuId::new(name).expect("a name")
}

fn sale(name: &str) -> SaleId {
    SaleId::new(name).expect("a name")
}

fn quantity(units: u32) -> Quantity {
    Quantity::new(units).expect("in range")
}

fn amount(minor: u64) -> Amount {
    Amount::new(minor).expect("in range")
}

fn currency() -> Currency {
    Currency::new("CNY").expect("a code")
}

impl Life<'_> {
    /// Lets everything happen that can happen to orders.
    pub(crate) fn lived(handle: &Handle) -> Lived {
        let mut life = Life { handle, drawn: 1_000_000, orders: Vec::new() };
        life.prepare();
        let whole = life.standby_and_refund();
        let refunding = life.late_payments();
        life.end_sales();
        let orders = life.orders.iter().map(|(order, buyer)| {
            let view = OrderView { waits: None, ..life.view(*order) };
            StoredOrder { buyer: Box::from(*buyer), view }
        });
        Lived { orders: orders.collect(), whole, refunding }
    }

    /// Two SKUs of a sale that is defined twice and paused meanwhile, and one of its own.
    fn prepare(&mut self) {
        for name in ["gold", "silver", "tin"] {
            ask(
                self.handle,
                Command::DefineSku(Box::new(DefineSku {
                    sku: sku(name),
                    title: Box::from(name),
                    unit_price: amount(500),
                    currency: currency(),
                    per_buyer_limit: 0,
                    hold_seconds: 600,
                    standby_pass: false,
                    if_revision: None,
                    request: REQUEST,
                })),
            );
        }
        self.define_sale("night", "Night", &["gold"]);
        self.define_sale("other", "Other", &["silver", "tin"]);
        self.move_sale("night", SaleMove::Paused);
        self.move_sale("other", SaleMove::Paused);
        self.define_sale("night", "The night", &["gold", "iron"]);
        self.define_sale("other", "The other", &["zinc"]);
        self.move_sale("night", SaleMove::Resumed);
        self.receive("gold", "A", 2, None);
        self.receive("tin", "A", 1, None);
        self.receive("tin", "B", 1, Some(700));
    }

    /// One order is paid, shipped, delivered and given back; others wait for its units.
    fn standby_and_refund(&mut self) -> OrderId {
        let whole = self.place("ann", "gold", 2, false, None, OrderStatus::Reserved);
        let first = self.place("bob", "gold", 1, true, None, OrderStatus::Waiting);
        let second = self.place("cat", "gold", 1, true, Some(900), OrderStatus::Waiting);
        let gone = self.place("dan", "gold", 1, true, None, OrderStatus::Waiting);
        self.cancel(gone, "dan");
        let failed = self.start(whole, "ann");
        self.notify(NoticeKind::PaymentFailed, failed, whole, 1_000);
        let paid = self.start(whole, "ann");
        self.notify(NoticeKind::PaymentSucceeded, paid, whole, 1_000);
        // It is paid already.
        self.notify(NoticeKind::PaymentSucceeded, failed, whole, 1_000);
        self.notify(NoticeKind::RefundSucceeded, failed, whole, 1_000);
        self.ship(whole);
        ask(self.handle, Command::Deliver { order: whole, request: REQUEST });
        self.refund(whole, true);
        self.notify(NoticeKind::RefundFailed, paid, whole, 1_000);
        self.notify(NoticeKind::RefundSucceeded, paid, whole, 1_000);
        self.until(first, OrderStatus::Reserved);
        self.until(second, OrderStatus::Reserved);
        whole
    }

    /// Late payments: units of another lot, the same units, none.
    fn late_payments(&mut self) -> Vec<PaymentId> {
        let other_lot = self.place("eve", "tin", 1, false, None, OrderStatus::Reserved);
        let late = self.start(other_lot, "eve");
        self.cancel(other_lot, "eve");
        let taken = self.place("fay", "tin", 1, false, None, OrderStatus::Reserved);
        self.notify(NoticeKind::PaymentSucceeded, late, other_lot, 500);
        self.until(other_lot, OrderStatus::Paid);
        self.ship(other_lot);
        self.refund(other_lot, false);
        self.place("gil", "tin", 1, true, None, OrderStatus::Waiting);
        // Whoever waits comes before a late payment.
        let (in_vain, open) = (self.start(taken, "fay"), taken);
        self.cancel(open, "fay");
        self.notify(NoticeKind::PaymentSucceeded, in_vain, open, 500);
        self.until(open, OrderStatus::Refunding);
        self.notify(NoticeKind::RefundFailed, in_vain, open, 500);
        self.place("hal", "tin", 1, true, Some(800), OrderStatus::Waiting);
        for number in 0..2 {
            self.say(NoticeKind::PaymentSucceeded, "nobody's", &format!("order {number}"), number);
        }
        vec![late, in_vain]
    }

    fn end_sales(&mut self) {
        self.move_sale("night", SaleMove::Ended);
        self.move_sale("other", SaleMove::Ended);
    }

    fn define_sale(&self, name: &str, title: &str, skus: &[&str]) {
        let now = self.handle.now();
        let define = DefineSale {
            sale: sale(name),
            title: Box::from(title),
            starts_at: sluice_core::time::Timestamp::from_micros(1),
            ends_at: now.plus_seconds(3_600),
            per_buyer_limit: 5,
            skus: skus.iter().map(|name| sku(name)).collect(),
            if_revision: None,
            request: REQUEST,
        };
        let outcome = ask(self.handle, Command::DefineSale(Box::new(define)));
        assert!(matches!(outcome, Outcome::Sale { .. }), "{outcome:?}");
    }

    fn move_sale(&self, name: &str, to: SaleMove) {
        let outcome =
            ask(self.handle, Command::MoveSale { sale: sale(name), to, request: REQUEST });
        assert!(matches!(outcome, Outcome::Sale { .. }), "{outcome:?}");
    }

    fn receive(&self, name: &str, lot: &str, units: u32, price: Option<u64>) {
        let receive = ReceiveLot {
            sku: sku(name),
            lot: LotId::new(lot).expect("a name"),
            quantity: quantity(units),
            unit_price: price.map(amount),
            request: REQUEST,
        };
        ask(self.handle, Command::ReceiveLot(Box::new(receive)));
    }

    fn place(
        &mut self,
        name: &'static str,
        of: &str,
        units: u32,
        standby: bool,
        most: Option<u64>,
        expected: OrderStatus,
    ) -> OrderId {
        let buyer = Buyer::new(self.handle.hash_key(), name);
        self.drawn += 1;
        let order = OrderId::new(self.handle.now(), 1, buyer.slot, self.drawn);
        let lines = smallvec![PlaceLine { sku: sku(of), quantity: quantity(units) }];
        let max_amount = most.map(amount);
        let place = Place {
            order,
            key: None,
            fingerprint: Place::fingerprint_of(&lines, standby, max_amount),
            buyer,
            lines,
            standby,
            max_amount,
            request: REQUEST,
        };
        let outcome = ask(self.handle, Command::Place(Box::new(place)));
        assert!(
            matches!(&outcome, Outcome::Placed(view) if view.status == expected),
            "{outcome:?}"
        );
        self.orders.push((order, name));
        order
    }

    fn cancel(&self, order: OrderId, buyer: &str) {
        let buyer = self.handle.hash_key().buyer(buyer);
        let cancel = Cancel { order, buyer, request: REQUEST };
        let outcome = ask(self.handle, Command::Cancel(Box::new(cancel)));
        assert!(matches!(outcome, Outcome::Order(_)), "{outcome:?}");
    }

    fn start(&mut self, order: OrderId, buyer: &str) -> PaymentId {
        self.drawn += 1;
        let payment = PaymentId::new(self.handle.now(), 1, order.slot(), self.drawn);
        let buyer = self.handle.hash_key().buyer(buyer);
        let start = StartPayment { payment, order, buyer, request: REQUEST };
        let outcome = ask(self.handle, Command::StartPayment(Box::new(start)));
        assert!(matches!(outcome, Outcome::Payment { created: true, .. }), "{outcome:?}");
        payment
    }

    fn notify(&self, kind: NoticeKind, payment: PaymentId, order: OrderId, minor: u64) {
        self.say(kind, &payment.to_string(), &order.to_string(), minor);
    }

    fn say(&self, kind: NoticeKind, payment: &str, order: &str, minor: u64) {
        let notice = Notice {
            kind,
            payment: SmolStr::new(payment),
            order: SmolStr::new(order),
            amount: amount(minor),
            currency: currency().as_str().into(),
            request: REQUEST,
        };
        let outcome = ask(self.handle, Command::Notify(Box::new(notice)));
        assert!(matches!(outcome, Outcome::Noted), "{outcome:?}");
    }

    fn ship(&self, order: OrderId) {
        let ship = Ship {
            order,
            carrier: Box::from("Swift"),
            tracking_number: Box::from("S 1"),
            request: REQUEST,
        };
        let outcome = ask(self.handle, Command::Ship(Box::new(ship)));
        assert!(matches!(outcome, Outcome::Order(_)), "{outcome:?}");
    }

    fn refund(&self, order: OrderId, return_to_stock: bool) {
        let refund = Refund { order, return_to_stock, request: REQUEST };
        let outcome = ask(self.handle, Command::Refund(Box::new(refund)));
        assert!(matches!(outcome, Outcome::Order(_)), "{outcome:?}");
    }

    fn view(&self, order: OrderId) -> OrderView {
        match ask(self.handle, Command::ReadOrder { order, buyer: None }) {
            Outcome::Order(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    fn until(&self, order: OrderId, status: OrderStatus) {
        for _ in 0..LOOKS_MAX {
            if self.view(order).status == status {
                return;
            }
            std::thread::yield_now();
        }
        panic!("{order} never was {status:?}: {:?}", self.view(order));
    }
}
