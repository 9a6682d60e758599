//! Tables as text: CSV with a header line (RFC 4180), or one JSON object a line.
//!
//! Money and quantities are decimal text in both, as in the job JSON. An empty cell is none; that a text is
//! empty (no tenant) looks the same in CSV.

use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer as _};
use spantally_stitch::UnixNanos;

use super::table::{Cell, Column};
use crate::csv::csv_cell;
use crate::job_json::Rfc3339;

pub(super) fn csv_header(out: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    writeln!(out, "{}", names.join(","))
}

pub(super) fn csv_row(out: &mut impl Write, cells: &[Cell]) -> io::Result<()> {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        match cell {
            Cell::None => {}
            Cell::Text(text) => out.write_all(csv_cell(text).as_bytes())?,
            Cell::Whole(number) => write!(out, "{number}")?,
            Cell::Decimal(number) => write!(out, "{number}")?,
            Cell::Moment(nanos) => write!(out, "{}", Rfc3339(UnixNanos(*nanos)))?,
        }
    }
    writeln!(out)
}

pub(super) fn json_row(out: &mut impl Write, columns: &[Column], cells: &[Cell]) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::new(&mut *out);
    let mut map = serializer.serialize_map(Some(columns.len()))?;
    for (column, cell) in columns.iter().zip(cells) {
        match cell {
            Cell::None => map.serialize_entry(column.name, &())?,
            Cell::Text(text) => map.serialize_entry(column.name, &**text)?,
            Cell::Whole(number) => map.serialize_entry(column.name, number)?,
            Cell::Decimal(number) => map.serialize_entry(column.name, &number.to_string())?,
            Cell::Moment(nanos) => {
                map.serialize_entry(column.name, &Rfc3339(UnixNanos(*nanos)).to_string())?;
            }
        }
    }
    map.end()?;
    writeln!(out)
}
