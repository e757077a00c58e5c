//! Who is called for single answers: the buyers' listener, and the operators' if there is a token.

use crate::call::Caller;
use crate::error::Result;
use crate::plan::Plan;
use crate::stock::Looker;
use crate::work::Orders;

/// Who is called for single answers.
pub(crate) struct Callers {
    pub(crate) public: Caller,
    pub(crate) ops: Option<Caller>,
}

impl Callers {
    /// Reaches both.
    pub(crate) fn new(plan: &Plan, orders: &Orders) -> Result<Callers> {
        let patience = plan.patience.answer;
        let bytes_max = plan.limits.answer_bytes_max;
        let address = plan.target.reach(plan.allow_remote, patience)?;
        let public = Caller::new(&plan.target, address, None, patience, bytes_max);
        let ops = orders.ops.as_ref().map(|ops| {
            let address = ops.url.reach(plan.allow_remote, patience)?;
            Ok(Caller::new(&ops.url, address, Some(ops.admin_token.clone()), patience, bytes_max))
        });
        Ok(Callers { public, ops: ops.transpose()? })
    }

    /// Who looks at stock during the rush, and whether that is an operator.
    pub(crate) fn looked_at_by(&self, plan: &Plan, orders: &Orders) -> Result<(Caller, bool)> {
        let Callers { public, ops } = Callers::new(plan, orders)?;
        Ok(match ops {
            Some(ops) => (ops, true),
            None => (public, false),
        })
    }

    /// Who looks at stock.
    pub(crate) fn looker(&self) -> Looker<'_> {
        Looker { public: &self.public, ops: self.ops.as_ref() }
    }
}
