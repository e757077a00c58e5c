//! Orders: by their ids, and by what operators look for.

use crate::event::{Draw, Line, Lines, OrderStatus, total};
use crate::id::OrderId;
use crate::money::{Amount, Currency};
use crate::name::{LotId, SaleId, SkuId};
use crate::outcome::OrderView;
use crate::quantity::Quantity;
use crate::time::Timestamp;

use super::super::connection::Row;
use super::super::error::{SinkError, Trouble};
use super::super::table::Value;
use super::{Reading, at_most, optional, ranged, read, text, time};

/// An order as the copy has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredOrder {
    /// The buyer's raw id.
    pub buyer: Box<str>,
    /// The order, as the ledger would show it, but for its place in a queue.
    pub view: OrderView,
}

/// What a query of orders came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundOrders {
    /// How far the copy was at that moment: an order that a later record made may be missing.
    pub sequence: u64,
    /// Those that it has.
    pub orders: Vec<StoredOrder>,
}

/// What orders are looked for: all that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderSearch {
    /// The buyer's raw id.
    pub buyer: Option<Box<str>>,
    /// A SKU that the order has a line of.
    pub sku: Option<SkuId>,
    /// The state it is in.
    pub status: Option<OrderStatus>,
    /// Only orders older than this one, by when it was placed and its id.
    pub before: Option<(Timestamp, OrderId)>,
}

/// How far the copy is, and beside it, in order, each line and draw of the orders that are `{asked}`.
const ORDERS: &str = "SELECT w.sequence, o.order_id, o.buyer, o.status, o.version, o.currency, \
     o.created_at, o.expires_at, l.line, l.sku, l.sale, l.quantity, d.lot, d.ordinal, \
     d.quantity AS drawn, d.unit_price \
     FROM watermarks AS w \
     LEFT JOIN orders AS o ON o.cell = w.cell AND o.order_id IN ({asked}) \
     LEFT JOIN order_lines AS l ON l.cell = o.cell AND l.order_id = o.order_id \
     LEFT JOIN order_draws AS d ON d.cell = l.cell AND d.order_id = l.order_id AND d.line = l.line \
     WHERE w.cell = ? ORDER BY o.order_id, l.line, d.draw";

impl Reading {
    /// Those of `orders` that the copy has, by one query.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn orders(
        &mut self,
        cell: u16,
        orders: &[OrderId],
    ) -> Result<FoundOrders, SinkError> {
        let Some(last) = orders.last() else {
            let sequence = self.connection.mark(cell).await?.sequence;
            return Ok(FoundOrders { sequence, orders: Vec::new() });
        };
        // A few lengths, so that the database need not learn a statement for each number of ids.
        let places = orders.len().next_power_of_two();
        let ids = orders.iter().chain(std::iter::repeat(last)).take(places);
        let ids = ids.map(|order| Value::text(&order.to_string())).collect();
        self.found(cell, &vec!["?"; places].join(","), ids).await
    }

    /// The newest orders that fit, at most `limit`, newest first.
    ///
    /// # Errors
    /// What the database says; a row is not what this program writes.
    pub async fn find_orders(
        &mut self,
        cell: u16,
        search: &OrderSearch,
        limit: usize,
    ) -> Result<FoundOrders, SinkError> {
        let mut asked = String::from("SELECT f.order_id FROM orders AS f WHERE f.cell = ?");
        let mut values = vec![Value::number(cell)];
        if let Some(buyer) = &search.buyer {
            asked.push_str(" AND f.buyer = ?");
            values.push(Value::text(buyer));
        }
        if let Some(status) = search.status {
            // Spelled out, so that the database sees when an index over some states will do.
            asked.push_str(&format!(" AND f.status = '{}'", status.as_str()));
        }
        if let Some(sku) = &search.sku {
            asked.push_str(
                " AND EXISTS (SELECT 1 FROM order_lines AS s WHERE s.cell = f.cell \
                 AND s.order_id = f.order_id AND s.sku = ?)",
            );
            values.push(Value::text(sku.as_str()));
        }
        if let Some((placed, order)) = search.before {
            asked.push_str(" AND (f.created_at, f.order_id) < (?, ?)");
            values.extend([Value::number(placed.micros()), Value::text(&order.to_string())]);
        }
        asked.push_str(" ORDER BY f.created_at DESC, f.order_id DESC LIMIT ?");
        values.push(at_most(limit));
        let mut found = self.found(cell, &asked, values).await?;
        let place = |order: &StoredOrder| (order.view.created_at, order.view.order);
        found.orders.sort_unstable_by_key(|order| std::cmp::Reverse(place(order)));
        Ok(found)
    }

    /// The orders whose ids `asked` selects with these values.
    async fn found(
        &mut self,
        cell: u16,
        asked: &str,
        mut values: Vec<Value>,
    ) -> Result<FoundOrders, SinkError> {
        values.push(Value::number(cell));
        let rows = self.connection.query(&ORDERS.replace("{asked}", asked), values).await?;
        let mut found = FoundOrders { sequence: 0, orders: Vec::new() };
        let mut line_number = -1;
        for row in &rows {
            found.sequence = row.number("sequence")?.max(0) as u64;
            if row.is_null("order_id")? {
                break;
            }
            let order = read(row, "order_id", OrderId::parse)?;
            if found.orders.last().is_none_or(|last| last.view.order != order) {
                found.orders.push(head(row, order)?);
                line_number = -1;
            }
            let lines = &mut found.orders.last_mut().expect("one was pushed").view.lines;
            if row.number("line")? != line_number {
                line_number = row.number("line")?;
                lines.push(line(row)?);
            }
            if !row.is_null("lot")? {
                lines.last_mut().expect("one was pushed").draws.push(draw(row)?);
            }
        }
        for order in &mut found.orders {
            sum_up(order)?;
        }
        Ok(found)
    }
}

fn head(row: &Row, order: OrderId) -> Result<StoredOrder, SinkError> {
    let created_at = time(row, "created_at")?;
    Ok(StoredOrder {
        buyer: text(row, "buyer")?,
        view: OrderView {
            order,
            status: read(row, "status", OrderStatus::parse)?,
            version: ranged(row, "version", |number| u32::try_from(number).ok())?,
            currency: read(row, "currency", Currency::new)?,
            created_at,
            // As in the ledger, where an order that never held anything has none either.
            expires_at: optional(row, "expires_at", time)?.unwrap_or(created_at),
            lines: Lines::new(),
            amount: None,
            waits: None,
        },
    })
}

fn line(row: &Row) -> Result<Line, SinkError> {
    Ok(Line {
        sku: read(row, "sku", SkuId::new)?,
        quantity: ranged(row, "quantity", units)?,
        sale: optional(row, "sale", |row, column| read(row, column, SaleId::new))?,
        draws: Default::default(),
    })
}

fn draw(row: &Row) -> Result<Draw, SinkError> {
    Ok(Draw {
        lot: read(row, "lot", LotId::new)?,
        ordinal: ranged(row, "ordinal", |number| u32::try_from(number).ok())?,
        quantity: ranged(row, "drawn", units)?,
        unit_price: ranged(row, "unit_price", Amount::new)?,
    })
}

/// Fills in the amount that the order's draws add up to, if it ever got any.
fn sum_up(order: &mut StoredOrder) -> Result<(), SinkError> {
    let id = order.view.order;
    let wrong =
        || SinkError::new(Trouble::Damaged, format!("order {id}: its lots add up to no order"));
    let lines = &order.view.lines;
    if lines.iter().all(|line| line.draws.is_empty()) {
        return Ok(());
    }
    for line in lines {
        let sum: u64 = line.draws.iter().map(|draw| draw.quantity.units()).sum();
        if sum != line.quantity.units() {
            return Err(wrong());
        }
    }
    order.view.amount = Some(total(lines).ok_or_else(wrong)?);
    Ok(())
}

fn units(number: u64) -> Option<Quantity> {
    u32::try_from(number).ok().and_then(Quantity::new)
}
