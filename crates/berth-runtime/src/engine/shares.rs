//! Whose turn it is: deficit round robin over flows, in measured time.
//!
//! Each flow has a balance of compute time. Of those that can be served, the one that has the most is, the one that waited
//! longest in the ring where several have the same; it pays what it used and goes to the back. When even the richest owes
//! something, everybody who waits earns what that one owes: a round, made just so long that one can be served. So no time
//! is lost, shares are equal however costly the work of a flow is, and a flow that has nothing to do earns nothing. What a
//! flow owes is remembered while it pauses, for as long as others earn what it would have: callers who wait for each answer
//! before they ask again have nothing waiting while they are served.

use std::collections::VecDeque;

/// What a flow can have at most, in nanoseconds: one whose work is held up does not take everything later.
const MOST: i64 = 50_000_000;

/// The number of a flow.
pub(super) type FlowId = usize;

/// The balances of all flows, and the ring of those that wait.
#[derive(Debug, Default)]
pub(super) struct Shares {
    balances: Vec<Balance>,
    free: Vec<FlowId>,
    ring: VecDeque<FlowId>,
    /// Flows that have nothing waiting and owe something.
    debtors: Vec<FlowId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Balance {
    nanoseconds: i64,
    waits: bool,
    owes: bool,
}

impl Shares {
    /// A new flow, with nothing waiting.
    pub(super) fn open(&mut self) -> FlowId {
        if let Some(flow) = self.free.pop() {
            self.balances[flow] = Balance::default();
            return flow;
        }
        self.balances.push(Balance::default());
        self.balances.len() - 1
    }

    /// Forgets a flow.
    pub(super) fn close(&mut self, flow: FlowId) {
        self.ring.retain(|&other| other != flow);
        self.debtors.retain(|&other| other != flow);
        self.free.push(flow);
    }

    /// The flow has something waiting now.
    pub(super) fn begin(&mut self, flow: FlowId) {
        let balance = &mut self.balances[flow];
        if balance.waits {
            return;
        }
        balance.waits = true;
        if std::mem::take(&mut balance.owes) {
            self.debtors.retain(|&other| other != flow);
        }
        self.ring.push_back(flow);
    }

    /// The flow has nothing waiting any more. What it had not used is gone.
    pub(super) fn pause(&mut self, flow: FlowId) {
        let balance = &mut self.balances[flow];
        if !std::mem::take(&mut balance.waits) {
            return;
        }
        balance.nanoseconds = balance.nanoseconds.min(0);
        self.ring.retain(|&other| other != flow);
        self.remember_debt(flow);
    }

    /// Whether the flow has nothing waiting and owes nothing: then it can be forgotten.
    pub(super) fn is_even(&self, flow: FlowId) -> bool {
        let balance = &self.balances[flow];
        !balance.waits && balance.nanoseconds >= 0
    }

    /// The next flow among those that wait and can be served.
    pub(super) fn next(&mut self, can: impl Fn(FlowId) -> bool) -> Option<FlowId> {
        let mut richest: Option<(FlowId, i64)> = None;
        for &flow in &self.ring {
            let has = self.balances[flow].nanoseconds;
            if richest.is_none_or(|(_, most)| has > most) && can(flow) {
                richest = Some((flow, has));
            }
        }
        let (flow, has) = richest?;
        if has < 0 {
            self.earn(-has);
        }
        Some(flow)
    }

    /// How many flows wait.
    pub(super) fn waiting(&self) -> usize {
        self.ring.len()
    }

    /// The flows that wait.
    pub(super) fn ring(&self) -> impl Iterator<Item = FlowId> + '_ {
        self.ring.iter().copied()
    }

    /// The flow used so much (or less than it was charged, if negative).
    pub(super) fn charge(&mut self, flow: FlowId, nanoseconds: i64) {
        let balance = &mut self.balances[flow];
        let before = balance.nanoseconds;
        // What it was charged too much it may have earned while nobody else was there: that is no credit.
        balance.nanoseconds = before.saturating_sub(nanoseconds).min(before.max(-1));
        if !balance.waits {
            balance.nanoseconds = balance.nanoseconds.min(0);
            self.remember_debt(flow);
        } else if nanoseconds > 0
            && let Some(place) = self.ring.iter().position(|&other| other == flow)
        {
            self.ring.remove(place);
            self.ring.push_back(flow);
        }
    }

    fn remember_debt(&mut self, flow: FlowId) {
        let balance = &mut self.balances[flow];
        if balance.nanoseconds < 0 && !balance.owes {
            balance.owes = true;
            self.debtors.push(flow);
        }
    }

    fn earn(&mut self, nanoseconds: i64) {
        for &flow in &self.ring {
            let balance = &mut self.balances[flow].nanoseconds;
            *balance = balance.saturating_add(nanoseconds).min(MOST);
        }
        let balances = &mut self.balances;
        self.debtors.retain(|&flow| {
            let balance = &mut balances[flow];
            balance.nanoseconds = balance.nanoseconds.saturating_add(nanoseconds).min(0);
            balance.owes = balance.nanoseconds < 0;
            balance.owes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `rounds` runs among flows whose runs cost so much; gives what each used.
    fn serve(shares: &mut Shares, costs: &[(FlowId, i64)], rounds: usize) -> Vec<i64> {
        let mut used = vec![0; costs.len()];
        for _ in 0..rounds {
            let flow = shares.next(|_| true).expect("somebody waits");
            let index = costs
                .iter()
                .position(|(id, _)| *id == flow)
                .expect("is one of them");
            used[index] += costs[index].1;
            shares.charge(flow, costs[index].1);
        }
        used
    }

    #[test]
    fn time_is_shared_whatever_a_run_costs() {
        let mut shares = Shares::default();
        let costs: Vec<_> = [20_000, 900_000, 70_000_000]
            .into_iter()
            .map(|cost| (shares.open(), cost))
            .collect();
        for &(flow, _) in &costs {
            shares.begin(flow);
        }
        let used = serve(&mut shares, &costs, 40_000);
        let (least, most) = (
            used.iter().min().expect("three"),
            used.iter().max().expect("three"),
        );
        assert!(most - least <= 2 * 70_000_000, "{used:?}");
    }

    #[test]
    fn nothing_is_earned_while_nothing_waits() {
        let mut shares = Shares::default();
        let (busy, idle) = (shares.open(), shares.open());
        shares.begin(busy);
        shares.begin(idle);
        shares.pause(idle);
        serve(&mut shares, &[(busy, 1_000_000)], 1000);
        shares.begin(idle);
        let used = serve(&mut shares, &[(busy, 1_000_000), (idle, 1_000_000)], 100);
        assert!((used[0] - used[1]).abs() <= 2_000_000, "{used:?}");
    }

    #[test]
    fn debt_is_remembered_over_a_pause_until_others_have_earned_it() {
        let mut shares = Shares::default();
        let (loud, quiet) = (shares.open(), shares.open());
        shares.begin(loud);
        shares.next(|_| true);
        shares.charge(loud, 10_000_000);
        shares.pause(loud);
        assert!(!shares.is_even(loud));
        shares.begin(quiet);
        shares.begin(loud);
        let used = serve(&mut shares, &[(loud, 1_000_000), (quiet, 1_000_000)], 9);
        assert_eq!(used, [0, 9_000_000]);
        shares.pause(loud);
        serve(&mut shares, &[(quiet, 1_000_000)], 20);
        assert!(shares.is_even(loud));
    }

    #[test]
    fn flow_that_cannot_be_served_is_passed_over_and_keeps_its_place() {
        let mut shares = Shares::default();
        let (first, second) = (shares.open(), shares.open());
        shares.begin(first);
        shares.begin(second);
        assert_eq!(shares.next(|flow| flow != first), Some(second));
        shares.charge(second, 1_000_000);
        assert_eq!(shares.next(|_| true), Some(first));
        assert_eq!(shares.next(|_| false), None);
    }

    #[test]
    fn closed_flow_is_gone_and_its_number_is_used_again() {
        let mut shares = Shares::default();
        let flow = shares.open();
        shares.begin(flow);
        shares.charge(flow, 1);
        shares.close(flow);
        assert_eq!(shares.next(|_| true), None);
        let again = shares.open();
        assert_eq!(again, flow);
        assert!(shares.is_even(again));
    }
}
