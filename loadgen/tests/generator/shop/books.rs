//! The orders and stock of the shop: placing, waiting, cancelling and running out.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fault::Fault;
use super::payments::Payment;
use super::{Reply, Silence};

/// How long orders are held, in microseconds, by shops that do so for a moment only.
const BRIEF_HOLD_US: i64 = 20_000;
/// When the shop opens: 2026-11-11, in microseconds since 1970.
const OPENING_US: i64 = 1_794_355_200_000_000;
const PRICE: u64 = 5;

/// SKUs with quantities.
type Lines = Vec<(String, u64)>;

#[derive(Debug)]
pub(super) struct Books {
    opened: Instant,
    stock: HashMap<String, u64>,
    received: HashMap<String, u64>,
    limit: u64,
    hold_us: i64,
    pub(super) orders: HashMap<String, Value>,
    keys: HashMap<(String, String), String>,
    units: HashMap<(String, String), u64>,
    queues: HashMap<String, VecDeque<String>>,
    pub(super) payments: HashMap<String, Payment>,
    /// Units counted as sold that no order has.
    pub(super) sold_twice: HashMap<String, u64>,
    seen: u64,
    reads: u64,
}

/// A time as the contract writes it: in milliseconds, the rest cut.
fn time(us: i64) -> String {
    Timestamp::from_millisecond(us.div_euclid(1_000)).unwrap().to_string()
}

#[expect(clippy::disallowed_methods, reason = "a shop has a clock")]
fn instant() -> Instant {
    Instant::now()
}

/// What an order asks for, or has.
fn lines(order: &Value) -> Lines {
    let line = |item: &Value| {
        (item["sku"].as_str().unwrap().to_owned(), item["quantity"].as_u64().unwrap())
    };
    match order["items"].as_array() {
        Some(items) => items.iter().map(line).collect(),
        None => vec![line(order)],
    }
}

impl Books {
    pub(super) fn new() -> Books {
        Books {
            opened: instant(),
            stock: HashMap::new(),
            received: HashMap::new(),
            limit: 0,
            hold_us: 600_000_000,
            orders: HashMap::new(),
            keys: HashMap::new(),
            units: HashMap::new(),
            queues: HashMap::new(),
            payments: HashMap::new(),
            sold_twice: HashMap::new(),
            seen: 0,
            reads: 0,
        }
    }

    pub(super) fn put(&mut self, sku: &str, units: u64) {
        self.stock.insert(sku.to_owned(), units);
        self.received.insert(sku.to_owned(), units);
    }

    pub(super) fn orders_count(&self) -> usize {
        self.orders.len()
    }

    fn now_us(&self) -> i64 {
        OPENING_US + i64::try_from(instant().duration_since(self.opened).as_micros()).unwrap()
    }

    /// Ends the holds that are over, the earliest first.
    pub(super) fn expire(&mut self, fault: Fault) {
        if fault == Fault::NeverExpires {
            return;
        }
        let now = self.now_us();
        let deadline = |order: &Value| {
            let deadline: Timestamp = order["expires_at"].as_str()?.parse().unwrap();
            let us = deadline.as_microsecond();
            (order["status"] == "reserved" && (us <= now || fault == Fault::ExpiresEarly))
                .then_some(us)
        };
        let mut over: Vec<(i64, String)> = self
            .orders
            .iter()
            .filter_map(|(id, order)| Some((deadline(order)?, id.clone())))
            .collect();
        over.sort_unstable();
        for (_, id) in over {
            self.end(&id, "expired", 1, fault);
        }
    }

    /// Ends an order that has units, and gives them back so many times.
    pub(super) fn end(&mut self, id: &str, status: &str, times: u64, fault: Fault) {
        let order = self.orders.get_mut(id).unwrap();
        order["status"] = json!(status);
        order["version"] = json!(order["version"].as_u64().unwrap() + 1);
        order.as_object_mut().unwrap().remove("expires_at");
        let (buyer, lines) = (order["buyer"].as_str().unwrap().to_owned(), lines(order));
        for (sku, quantity) in lines {
            *self.stock.get_mut(&sku).unwrap() += times * quantity;
            *self.units.get_mut(&(buyer.clone(), sku.clone())).unwrap() -= quantity;
            self.promote(&sku, fault);
        }
    }

    /// Gives what is there to those who wait.
    fn promote(&mut self, sku: &str, fault: Fault) {
        if fault == Fault::ServesNewcomers {
            return;
        }
        while let Some(queue) = self.queues.get_mut(sku) {
            let next = if fault == Fault::ServesLastFirst { queue.back() } else { queue.front() };
            let Some(id) = next.cloned() else { return };
            let quantity = self.orders[&id]["items"][0]["quantity"].as_u64().unwrap();
            if self.stock[sku] < quantity {
                return;
            }
            queue.retain(|other| *other != id);
            *self.stock.get_mut(sku).unwrap() -= quantity;
            self.hold(&id, fault);
        }
    }

    /// Prices an order whose units are set aside, and dates the end of it.
    fn hold(&mut self, id: &str, fault: Fault) {
        let hold_us = match fault {
            Fault::HoldsBriefly | Fault::NeverExpires => BRIEF_HOLD_US,
            _ => self.hold_us,
        };
        let until = time(self.now_us() + hold_us);
        let order = self.orders.get_mut(id).unwrap();
        let lines = lines(order);
        order["items"] = lines
            .iter()
            .map(|(sku, quantity)| {
                json!({"sku": sku, "quantity": quantity, "unit_price": PRICE, "amount": PRICE * quantity,
                       "lots": [{"lot": "L1", "quantity": quantity, "unit_price": PRICE}]})
            })
            .collect();
        let is_wrong = fault == Fault::AddsUpWrongly && lines.len() > 1;
        let units: u64 = lines.iter().map(|(_, quantity)| quantity).sum();
        order["amount"] = json!(PRICE * units + u64::from(is_wrong));
        order["status"] = json!("reserved");
        order["expires_at"] = json!(until);
    }

    /// Takes the units of an order that had ended again, if they are there and nobody waits for them.
    pub(super) fn take_again(&mut self, id: &str) -> bool {
        let order = &self.orders[id];
        let (buyer, lines) = (order["buyer"].as_str().unwrap().to_owned(), lines(order));
        let is_there = |(sku, quantity): &(String, u64)| {
            self.stock[sku] >= *quantity && self.queues.get(sku).is_none_or(VecDeque::is_empty)
        };
        if !lines.iter().all(is_there) {
            return false;
        }
        for (sku, quantity) in lines {
            *self.stock.get_mut(&sku).unwrap() -= quantity;
            *self.units.get_mut(&(buyer.clone(), sku)).unwrap() += quantity;
        }
        true
    }

    pub(super) fn cancel(&mut self, buyer: &str, id: &str, fault: Fault) -> Reply {
        let Some(order) = self.orders.get(id).filter(|order| order["buyer"] == buyer) else {
            return Reply::refusal(404, "order_not_found");
        };
        let before = order.clone();
        let times = match fault {
            Fault::KeepsUnits => 0,
            Fault::ReturnsTwice => 2,
            _ => 1,
        };
        match order["status"].as_str().unwrap() {
            "waiting" => {
                let sku = lines(order)[0].0.clone();
                self.queues.get_mut(&sku).unwrap().retain(|other| other != id);
                self.orders.get_mut(id).unwrap()["status"] = json!("cancelled");
            }
            "reserved" if fault != Fault::RefusesCancels => {
                self.end(id, "cancelled", times, fault);
            }
            "cancelled" => return Reply::new(200, before),
            _ => return Reply::refusal(409, "order_state"),
        }
        let reply = Reply::new(200, self.orders[id].clone());
        if fault == Fault::KeepsCancelled {
            self.orders.insert(id.to_owned(), before);
        }
        reply
    }

    pub(super) fn order(&mut self, buyer: &str, key: &str, body: &[u8], fault: Fault) -> Reply {
        let known = (buyer.to_owned(), key.to_owned());
        if let Some(id) = self.keys.get(&known).cloned()
            && fault != Fault::ForgetsKeys
        {
            if fault == Fault::RefusesRepeats {
                return Reply::refusal(409, "sold_out");
            }
            let mut reply = Reply::new(200, self.render(&id, fault));
            reply.replayed = true;
            return reply;
        }
        self.seen += 1;
        if fault == Fault::IsOverloaded && self.seen.is_multiple_of(2) {
            return Reply::refusal(503, "overloaded");
        }
        let request: Value = serde_json::from_slice(body).unwrap();
        let mut lines = lines(&request);
        if fault == Fault::ShortensBaskets && lines.len() > 1 {
            lines.pop();
        }
        if let Some(refusal) = self.refuse(buyer, &lines, fault) {
            return refusal;
        }
        let lacks = |(sku, quantity): &&(String, u64)| {
            let is_queued = self.queues.get(sku).is_some_and(|queue| !queue.is_empty());
            self.stock[sku] < *quantity || (is_queued && fault != Fault::ServesNewcomers)
        };
        if fault == Fault::Oversells || !lines.iter().any(|line| lacks(&line)) {
            return self.make(buyer, key, &lines, fault);
        }
        if request["standby"] == true {
            return self.queue(buyer, key, &lines[0], fault);
        }
        if fault == Fault::TearsBaskets
            && let Some((sku, quantity)) = lines.iter().find(|line| !lacks(line))
        {
            *self.stock.get_mut(sku).unwrap() -= quantity;
        }
        Reply::refusal(409, "sold_out")
    }

    /// Why nothing can be ordered, stock apart.
    fn refuse(&mut self, buyer: &str, lines: &Lines, fault: Fault) -> Option<Reply> {
        for (sku, quantity) in lines {
            let units = *self.units.entry((buyer.to_owned(), sku.clone())).or_default();
            if self.limit > 0 && units + quantity > self.limit && fault != Fault::IgnoresLimit {
                return Some(Reply::refusal(409, "buyer_limit"));
            }
            if !self.stock.contains_key(sku) {
                return Some(Reply::refusal(404, "sku_not_found"));
            }
        }
        None
    }

    /// Writes an order down that has nothing yet; its id.
    fn enter(&mut self, buyer: &str, key: &str, lines: &[(String, u64)]) -> String {
        let id = format!("01KA{:022}", self.seen);
        for (sku, quantity) in lines {
            *self.units.get_mut(&(buyer.to_owned(), sku.clone())).unwrap() += quantity;
        }
        let items: Vec<Value> = lines
            .iter()
            .map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity, "lots": []}))
            .collect();
        let order = json!({
            "order_id": id, "version": 1, "status": "waiting", "buyer": buyer, "items": items,
            "amount": null, "currency": "CNY", "created_at": time(self.now_us()),
        });
        self.orders.insert(id.clone(), order);
        self.keys.insert((buyer.to_owned(), key.to_owned()), id.clone());
        id
    }

    fn queue(&mut self, buyer: &str, key: &str, line: &(String, u64), fault: Fault) -> Reply {
        let id = self.enter(buyer, key, std::slice::from_ref(line));
        self.queues.entry(line.0.clone()).or_default().push_back(id.clone());
        Reply::new(202, self.render(&id, fault))
    }

    fn make(&mut self, buyer: &str, key: &str, lines: &Lines, fault: Fault) -> Reply {
        if fault == Fault::SharesOrder
            && let Some(first) = self.orders.values().next()
        {
            return Reply::new(201, first.clone());
        }
        for (sku, quantity) in lines {
            let stock = self.stock.get_mut(sku).unwrap();
            *stock = stock.saturating_sub(*quantity);
        }
        let id = self.enter(buyer, key, lines);
        self.hold(&id, fault);
        let mut reply = Reply::new(201, self.orders[&id].clone());
        if !self.seen.is_multiple_of(3) {
            return reply;
        }
        match fault {
            Fault::LosesOrders => {
                self.orders.remove(&id);
                self.keys.remove(&(buyer.to_owned(), key.to_owned()));
            }
            Fault::CancelsByItself => self.end(&id, "cancelled", 1, fault),
            Fault::PaysByItself => self.orders.get_mut(&id).unwrap()["status"] = json!("paid"),
            Fault::KeepsRefused => return Reply::refusal(409, "sold_out"),
            Fault::CutsAfterOrder => reply.silence = Some(Silence::Cut),
            Fault::FallsSilent => reply.silence = Some(Silence::Forever),
            _ => {}
        }
        reply
    }

    /// An order as it is told.
    pub(super) fn render(&mut self, id: &str, fault: Fault) -> Value {
        self.reads += 1;
        let mut order = self.orders.get(id).cloned().unwrap_or_default();
        if order["status"] == "waiting" {
            let queue = &self.queues[&lines(&order)[0].0];
            let position = queue.iter().position(|other| other == id).unwrap() as u64 + 1;
            let grown = if fault == Fault::QueuesGrow { self.reads } else { 0 };
            order["position"] = json!(position + grown);
        }
        if fault == Fault::ChangesOrders {
            order["amount"] = json!(1);
        }
        order
    }

    pub(super) fn read(&mut self, buyer: &str, id: &str, fault: Fault) -> Reply {
        match self.orders.get(id) {
            Some(order) if order["buyer"] == buyer => Reply::new(200, self.render(id, fault)),
            _ => Reply::refusal(404, "order_not_found"),
        }
    }

    pub(super) fn read_by_key(&mut self, buyer: &str, key: &str) -> Reply {
        match self.keys.get(&(buyer.to_owned(), key.to_owned())).cloned() {
            Some(id) => Reply::new(200, self.render(&id, Fault::None)),
            None => Reply::refusal(404, "order_not_found"),
        }
    }

    pub(super) fn sku(&self, sku: &str) -> Reply {
        match self.stock.get(sku) {
            Some(available) => {
                Reply::new(200, json!({"sku": sku, "available": available, "status": "on_sale"}))
            }
            None => Reply::refusal(404, "sku_not_found"),
        }
    }

    pub(super) fn put_sku(&mut self, sku: &str, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap();
        self.limit = body["per_buyer_limit"].as_u64().unwrap();
        self.hold_us = body["hold_seconds"].as_i64().unwrap() * 1_000_000;
        self.stock.entry(sku.to_owned()).or_default();
        Reply::new(201, json!({"sku": sku}))
    }

    pub(super) fn put_lot(&mut self, sku: &str, body: &[u8]) -> Reply {
        let body: Value = serde_json::from_slice(body).unwrap();
        let quantity = body["quantity"].as_u64().unwrap();
        *self.stock.entry(sku.to_owned()).or_default() += quantity;
        *self.received.entry(sku.to_owned()).or_default() += quantity;
        Reply::new(201, json!({"lot": body["lot"]}))
    }

    pub(super) fn counters(&self, sku: &str, fault: Fault) -> Reply {
        let (received, available) = (self.received[sku], self.stock[sku]);
        let of_sku = |order: &Value| -> u64 {
            let lines = lines(order).into_iter().filter(|(name, _)| name == sku);
            lines.map(|(_, quantity)| quantity).sum()
        };
        let paid = self.orders.values().filter(|order| order["status"] == "paid");
        let sold = paid.map(of_sku).sum::<u64>() + self.sold_twice.get(sku).unwrap_or(&0);
        let held = received.saturating_sub(available + sold)
            - u64::from(fault == Fault::Miscounts && received > available);
        let body = json!({"sku": sku, "received": received, "available": available, "held": held,
                          "sold": sold, "withdrawn": 0});
        Reply::new(200, body)
    }
}
