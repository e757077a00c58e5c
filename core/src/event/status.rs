//! The states of an order.

/// The states of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum OrderStatus {
    /// On standby for units that come back.
    Waiting = 1,
    /// Holding its units.
    Reserved = 2,
    /// Paid.
    Paid = 3,
    /// Ended by the buyer or an operator.
    Cancelled = 4,
    /// Ended by its deadline.
    Expired = 5,
    /// On its way.
    Shipped = 6,
    /// Handed over.
    Delivered = 7,
    /// Money is on its way back.
    Refunding = 8,
    /// Money is back.
    Refunded = 9,
}

impl OrderStatus {
    /// All states, as the contract spells them.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Waiting, "waiting"),
        (Self::Reserved, "reserved"),
        (Self::Paid, "paid"),
        (Self::Cancelled, "cancelled"),
        (Self::Expired, "expired"),
        (Self::Shipped, "shipped"),
        (Self::Delivered, "delivered"),
        (Self::Refunding, "refunding"),
        (Self::Refunded, "refunded"),
    ];

    /// Whether nothing more will become of the order.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Cancelled | Self::Expired | Self::Delivered | Self::Refunded)
    }

    /// Whether its units count against the limits of its buyer.
    pub const fn counts_against_limits(self) -> bool {
        matches!(
            self,
            Self::Waiting | Self::Reserved | Self::Paid | Self::Shipped | Self::Delivered
        )
    }

    /// The state with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().map(|(status, _)| *status).find(|status| *status as u8 == number)
    }

    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }

    /// The state that the contract spells so.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, word)| *word == text).map(|(status, _)| *status)
    }
}

#[cfg(test)]
mod tests {
    use super::OrderStatus;

    #[test]
    fn states_are_spelled_as_in_the_contract() {
        for (status, word) in OrderStatus::ALL {
            assert_eq!(status.as_str(), word);
            assert_eq!(OrderStatus::parse(word), Some(status));
        }
        assert_eq!(OrderStatus::parse("Reserved"), None);
    }
}
