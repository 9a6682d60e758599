//! Accounts by themselves; what budgets do over turns and restarts is tested with the core.

use rust_decimal::Decimal;
use spantally_stitch::UnixNanos;

use super::account::Account;
use super::*;

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Hours after a day in November.
fn hour(hours: u64) -> UnixNanos {
    UnixNanos((1_795_132_800 + hours * 3600) * 1_000_000_000)
}

fn top_up(amount: &str, at: u64, expires: Option<u64>) -> TopUp {
    TopUp { amount: dec(amount), at: hour(at), expires: expires.map(hour) }
}

fn account(balance: &str, expires: Option<u64>, top_ups: Vec<TopUp>) -> Account {
    Account::new(&AccountDefinition {
        name: "runway".to_owned(),
        measure: Measure::Unit("credit".to_owned()),
        balance: dec(balance),
        as_of: hour(100),
        expires: expires.map(hour),
        top_ups,
        scope: Scope::default(),
    })
}

#[test]
fn what_expires_first_is_used_first() {
    let mut account = account("100", None, vec![top_up("50", 101, Some(200))]);
    account.book(dec("30"), hour(150));
    assert_eq!(account.balance(), dec("120"));
    // 20 of the 50 are left and go; nothing of the 100 was used.
    account.pass(hour(200));
    assert_eq!(account.balance(), dec("100"));
}

#[test]
fn spend_and_expiry_count_in_the_order_of_time() {
    let mut account = account("10", Some(120), vec![top_up("5", 130, None)]);
    // Booked in one go after a long silence, each at its own moment.
    account.book(dec("4"), hour(119));
    account.book(dec("4"), hour(121));
    assert_eq!(account.balance(), dec("-4"), "6 expired, 4 was spent without credits");
    account.pass(hour(131));
    assert_eq!(account.balance(), dec("1"), "the top-up paid the debt first");
}

#[test]
fn a_top_up_before_the_balance_was_looked_at_is_in_it() {
    assert_eq!(account("100", None, vec![top_up("50", 99, None)]).balance(), dec("100"));
}

#[test]
fn what_is_taken_back_is_there_again() {
    let mut account = account("100", None, Vec::new());
    account.book(dec("130"), hour(101));
    account.book(dec("-50"), hour(102));
    assert_eq!(account.balance(), dec("20"));
}

#[test]
fn the_runway_is_the_pace_of_the_last_day() {
    let mut account = account("100", None, Vec::new());
    assert_eq!(account.runway_seconds(hour(148)), None, "no spend, no pace");
    account.book(dec("24"), hour(140));
    assert_eq!(account.runway_seconds(hour(148)), Some(dec("273600")), "76 left, one an hour");
    assert_eq!(account.runway_seconds(hour(170)), None, "a day later the spend is forgotten");
    account.book(dec("80"), hour(171));
    assert_eq!(account.runway_seconds(hour(172)), Some(dec("0")), "nothing left");
}

#[test]
fn what_expires_before_it_is_used_shortens_the_runway() {
    let mut account = account("100", Some(160), vec![top_up("12", 101, None)]);
    account.book(dec("24"), hour(140));
    // One an hour: the 76 would last to 224 but go at 160; then 12 hours.
    assert_eq!(account.runway_seconds(hour(148)), Some(dec("86400")));
}

#[test]
fn a_young_account_has_the_pace_of_an_hour_at_least() {
    let mut account = account("100", None, Vec::new());
    account.book(dec("10"), hour(100));
    assert_eq!(account.runway_seconds(hour(100)), Some(dec("32400")), "90 left, ten an hour");
}
