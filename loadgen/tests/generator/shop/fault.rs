//! The ways in which the shop of the tests may break the contract.

/// What the shop does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Sells whether or not there is stock.
    Oversells,
    /// Forgets every third order it acknowledged.
    LosesOrders,
    /// Tells another price when an order is read.
    ChangesOrders,
    /// Makes a new order for a key it has seen.
    ForgetsKeys,
    /// Acknowledges the first order to everyone.
    SharesOrder,
    /// Lets buyers have more than the limit.
    IgnoresLimit,
    /// Counts fewer units than it sells.
    Miscounts,
    /// Makes every third order, and cuts the connection instead of answering the first time.
    CutsAfterOrder,
    /// Makes every third order, and never answers the first time.
    FallsSilent,
    /// Refuses every second order with 503.
    IsOverloaded,
    /// Closes the connection after each answer.
    ClosesEach,
    /// Answers in chunks.
    Chunks,
    /// Speaks no JSON.
    Mumbles,
    /// Holds orders for 20 ms, and says so.
    HoldsBriefly,
    /// Holds orders for 20 ms by their own words, and never lets them go.
    NeverExpires,
    /// Lets every order go at once, whatever its deadline.
    ExpiresEarly,
    /// Acknowledges cancels and keeps the orders.
    KeepsCancelled,
    /// Cancels orders and keeps their units.
    KeepsUnits,
    /// Gives the units of cancelled orders back twice.
    ReturnsTwice,
    /// Refuses to cancel what is reserved.
    RefusesCancels,
    /// Cancels every third order by itself.
    CancelsByItself,
    /// Refuses to repeat an order.
    RefusesRepeats,
    /// Refuses to start payments.
    RefusesPayments,
    /// Wants another amount than the order's.
    AsksAnotherAmount,
    /// Takes no webhook.
    RefusesWebhooks,
    /// Answers webhooks of payments, and forgets them.
    DropsPayments,
    /// The same with those that come when the hold has ended.
    DropsLatePayments,
    /// Counts a payment as often as its webhook comes.
    PaysTwice,
    /// Takes a repeated webhook for a second payment, and refunds the order.
    RefundsRepeats,
    /// Takes every third order for paid.
    PaysByItself,
    /// Refuses operators' refunds.
    RefusesRefunds,
    /// Answers webhooks of refunds, and forgets them.
    DropsRefunds,
    /// Refunds without giving the units back.
    KeepsRefundedUnits,
    /// Serves the last first.
    ServesLastFirst,
    /// Gives what comes back to newcomers, not to those who wait.
    ServesNewcomers,
    /// Tells a longer queue each time.
    QueuesGrow,
    /// Keeps what it had set aside for a basket that it refuses.
    TearsBaskets,
    /// Leaves the last line of a basket out.
    ShortensBaskets,
    /// Adds one to the amount of a basket.
    AddsUpWrongly,
    /// Refuses every third order, and keeps it.
    KeepsRefused,
}
