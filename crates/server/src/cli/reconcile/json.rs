//! An export in JSON: an array, pages of an API, or an object a line.
//!
//! The keys of an export lead to its rows, through the lists that are on the way; what a row lacks is looked
//! for in what holds it, as the day of a list of sums. Numbers are read digit by digit, never as a binary
//! fraction.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use spantally_providers::Export;

use super::file::{Candidates, Lines, Place, Rows};
use crate::cli::Failure;

/// Lists and objects in one another before the rows.
const DEPTH_MAX: usize = 16;

type Object<'t> = BTreeMap<Cow<'t, str>, &'t RawValue>;

/// Reads every value of the text.
pub(super) fn read(
    name: &str,
    text: &str,
    candidates: &Candidates,
    rows: &mut Rows,
) -> Result<Export, Failure> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        values.push(value.map_err(|error| {
            Failure::failed(miette::miette!("{name}:{}: not JSON: {error}", error.line()))
        })?);
    }
    let export = choose(name, text, &values, candidates)?;
    let mut lines = Lines::new(text);
    for value in values {
        walk(value, &export.rows, &mut Vec::new(), 0, &mut |holders, value| {
            let place = Place { file: name.to_owned(), line: lines.at(offset(text, value)) };
            match holders {
                Some(holders) => rows.take(export.read(|column| cell(holders, column)), place),
                None => rows.skip(place, "not an object".to_owned()),
            }
        });
    }
    Ok(export)
}

/// The export whose columns the first row has.
fn choose(name: &str, text: &str, values: &[&RawValue], candidates: &Candidates) -> Result<Export, Failure> {
    let mut nothing_found = None;
    for export in &candidates.exports {
        let mut first: Option<bool> = None;
        for value in values {
            walk(value, &export.rows, &mut Vec::new(), 0, &mut |holders, _| {
                let has = |column: &str| holders.is_some_and(|holders| has(holders, column));
                first.get_or_insert_with(|| export.missing(has).is_empty());
            });
            if first.is_some() {
                break;
            }
        }
        match first {
            Some(true) => return Ok(export.clone()),
            Some(false) => {}
            // The rows are where they belong, and there are none.
            None => nothing_found = nothing_found.or(Some(export)),
        }
    }
    if let Some(export) = nothing_found {
        return Ok(export.clone());
    }
    let mut columns = Vec::new();
    let mut line = 1;
    let keys = candidates.exports.first().map(|export| export.rows.clone()).unwrap_or_default();
    let mut lines = Lines::new(text);
    for value in values.iter().take(1) {
        walk(value, &keys, &mut Vec::new(), 0, &mut |holders, value| {
            if let Some(row) = holders.and_then(|holders| holders.last()).filter(|_| columns.is_empty()) {
                columns = row.keys().map(ToString::to_string).collect();
                line = lines.at(offset(text, value));
            }
        });
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let has = |column: &str| columns.contains(&column);
    candidates.choose(name, line, &columns, has).cloned()
}

/// Gives out the rows: with the objects that hold each, the row itself last; with none for what is no object.
fn walk<'t>(
    value: &'t RawValue,
    keys: &[String],
    above: &mut Vec<Object<'t>>,
    depth: usize,
    visit: &mut impl FnMut(Option<&[Object<'t>]>, &'t RawValue),
) {
    if depth > DEPTH_MAX {
        return visit(None, value);
    }
    if value.get().starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
        return items.into_iter().for_each(|item| walk(item, keys, above, depth + 1, visit));
    }
    let Ok(object) = serde_json::from_str::<Object<'t>>(value.get()) else {
        if value.get() != "null" {
            visit(None, value);
        }
        return;
    };
    let next = keys.split_first().map(|(key, rest)| (object.get(key.as_str()).copied(), rest));
    above.push(object);
    match next {
        Some((Some(inner), rest)) => walk(inner, rest, above, depth + 1, visit),
        // Rows that were taken out of their page.
        Some((None, _)) if above.len() == 1 => visit(Some(above), value),
        Some((None, _)) => {}
        None => visit(Some(above), value),
    }
    above.pop();
}

/// Whether a row or what holds it has a column, also an empty one.
fn has(holders: &[Object<'_>], column: &str) -> bool {
    find(holders, column).is_some()
}

/// The text of a cell.
fn cell<'t>(holders: &[Object<'t>], column: &str) -> Option<Cow<'t, str>> {
    let value = find(holders, column)?.get();
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Cow<'t, str>>(value).ok(),
        _ if value == "null" => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

fn find<'t>(holders: &[Object<'t>], column: &str) -> Option<&'t RawValue> {
    holders.iter().rev().find_map(|object| inside(object, column))
}

/// A value by its key, or by keys with dots between them.
fn inside<'t>(object: &Object<'t>, column: &str) -> Option<&'t RawValue> {
    if let Some(value) = object.get(column) {
        return Some(value);
    }
    let (key, rest) = column.split_once('.')?;
    let inner: Object<'t> = serde_json::from_str(object.get(key)?.get()).ok()?;
    inside(&inner, rest)
}

/// Where a value begins, which is a piece of the text.
fn offset(text: &str, value: &RawValue) -> usize {
    value.get().as_ptr().addr().saturating_sub(text.as_ptr().addr())
}
