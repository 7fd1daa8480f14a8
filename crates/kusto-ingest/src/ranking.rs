//! Which storage account to try first: accounts that failed lately go behind. Pure;
//! the caller says what happened.

use std::collections::{HashMap, VecDeque};

/// The latest results of each account.
#[derive(Debug, Default)]
pub(crate) struct Ranking {
    results: HashMap<String, VecDeque<bool>>,
    turn: usize,
}

/// How many results of an account count.
const WINDOW: usize = 16;

impl Ranking {
    /// Notes that a request to an account succeeded or failed.
    pub(crate) fn note(&mut self, account: &str, succeeded: bool) {
        let results = self.results.entry(account.to_owned()).or_default();
        results.push_back(succeeded);
        if results.len() > WINDOW {
            results.pop_front();
        }
    }

    /// The share of successes among the latest results, recent ones counting more; 1 for
    /// an account never tried.
    fn score(&self, account: &str) -> f64 {
        let Some(results) = self.results.get(account).filter(|results| !results.is_empty()) else {
            return 1.0;
        };
        let weights = 1..=results.len();
        let total: usize = weights.clone().sum();
        let good: usize =
            weights.zip(results).filter(|(_, succeeded)| **succeeded).map(|(weight, _)| weight).sum();
        good as f64 / total as f64
    }

    /// The order in which to try resources: healthy accounts first, and among equals
    /// another one each time.
    pub(crate) fn order<'r, R>(&mut self, resources: &'r [R], account: impl Fn(&R) -> String) -> Vec<&'r R> {
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let mut ordered: Vec<(u8, usize, &R)> = resources
            .iter()
            .enumerate()
            .map(|(index, resource)| {
                // Tiers, so that one failure among many successes changes nothing.
                let tier = match self.score(&account(resource)) {
                    score if score >= 0.9 => 0,
                    score if score >= 0.7 => 1,
                    score if score >= 0.3 => 2,
                    _ => 3,
                };
                (tier, (index + turn) % resources.len().max(1), resource)
            })
            .collect();
        ordered.sort_by_key(|(tier, place, _)| (*tier, *place));
        ordered.into_iter().map(|(_, _, resource)| resource).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_accounts_go_last_and_equals_take_turns() {
        let mut ranking = Ranking::default();
        let accounts = ["a", "b", "c"];
        let first = ranking.order(&accounts, |account| (*account).to_owned())[0].to_owned();
        let second = ranking.order(&accounts, |account| (*account).to_owned())[0].to_owned();
        assert_ne!(first, second);
        for _ in 0..4 {
            ranking.note("b", false);
        }
        for _ in 0..5 {
            let order = ranking.order(&accounts, |account| (*account).to_owned());
            assert_eq!(*order[2], "b");
        }
        for _ in 0..WINDOW {
            ranking.note("b", true);
        }
        let firsts: std::collections::HashSet<&str> =
            (0..3).map(|_| *ranking.order(&accounts, |account| (*account).to_owned())[0]).collect();
        assert!(firsts.contains("b"));
    }
}
