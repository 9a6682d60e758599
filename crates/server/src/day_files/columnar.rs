//! Tables as Parquet, compressed with Zstandard.
//!
//! Money and quantities are `DECIMAL(38, 28)`: 28 places after the point is the most that a number of the
//! ledger can have, so nothing is ever rounded, and 38 digits is what every reader knows. That leaves ten
//! digits before the point; a number of ten billion or more in a single charge is an error, and the other
//! formats have it. Moments are `TIMESTAMP` in UTC with milliseconds, texts are UTF-8.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use rust_decimal::Decimal;

use super::ExportError;
use super::table::{Cell, Column, Kind};

/// Digits after the point: as many as a decimal of the ledger can have.
const SCALE: u32 = Decimal::MAX_SCALE;
/// Digits in all.
const PRECISION: u32 = 38;
/// 38 decimal digits fit in 16 bytes.
const DECIMAL_BYTES: usize = 16;
/// The same, as the schema has it.
const DECIMAL_LENGTH: i32 = 16;
/// A row group ends at so many bytes of text ...
const GROUP_BYTES: usize = 32 << 20;
/// ... or rows.
const GROUP_ROWS: usize = 128 << 10;

/// One column of the row group that is being gathered.
enum Values {
    Text(Vec<ByteArray>),
    Int(Vec<i64>),
    Decimal(Vec<FixedLenByteArray>),
}

struct Gathered {
    values: Values,
    /// Of an optional column: 1 where there is a value.
    levels: Option<Vec<i16>>,
}

/// A file that is being written.
pub(super) struct ParquetFile<W: Write + Send> {
    columns: &'static [Column],
    writer: SerializedFileWriter<W>,
    gathered: Vec<Gathered>,
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> ParquetFile<W> {
    pub(super) fn new(out: W, columns: &'static [Column]) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("spantally").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("spantally ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
        let gathered = columns.iter().map(Gathered::new).collect();
        Ok(Self { columns, writer, gathered, rows: 0, bytes: 0 })
    }

    pub(super) fn row(&mut self, cells: &[Cell]) -> Result<(), ExportError> {
        for ((gathered, column), cell) in self.gathered.iter_mut().zip(self.columns).zip(cells) {
            self.bytes += gathered.push(column, cell)?;
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (gathered, column) in self.gathered.iter_mut().zip(self.columns) {
            let full = std::mem::replace(gathered, Gathered::new(column));
            if let Some(writer) = group.next_column()? {
                full.write(writer)?;
            }
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }

    /// Writes what is left and the footer; gives back what it wrote to.
    pub(super) fn finish(mut self) -> Result<W, ParquetError> {
        self.flush()?;
        self.writer.into_inner()
    }
}

fn field(column: &Column) -> Result<Arc<Type>, ParquetError> {
    let repetition = if column.is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let physical = match column.kind {
        Kind::Text => Physical::BYTE_ARRAY,
        Kind::Whole | Kind::Moment => Physical::INT64,
        Kind::Decimal => Physical::FIXED_LEN_BYTE_ARRAY,
    };
    let builder = Type::primitive_type_builder(column.name, physical).with_repetition(repetition);
    let builder = match column.kind {
        Kind::Text => builder.with_logical_type(Some(LogicalType::String)),
        Kind::Whole => builder.with_logical_type(Some(LogicalType::integer(64, true))),
        Kind::Moment => builder.with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        Kind::Decimal => builder
            .with_length(DECIMAL_LENGTH)
            .with_precision(PRECISION.cast_signed())
            .with_scale(SCALE.cast_signed())
            .with_logical_type(Some(LogicalType::decimal(SCALE.cast_signed(), PRECISION.cast_signed()))),
    };
    builder.build().map(Arc::new)
}

impl Gathered {
    fn new(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Whole | Kind::Moment => Values::Int(Vec::new()),
            Kind::Decimal => Values::Decimal(Vec::new()),
        };
        Self { values, levels: column.is_optional.then(Vec::new) }
    }

    /// Takes a cell; how many bytes of text it has.
    fn push(&mut self, column: &Column, cell: &Cell) -> Result<usize, ExportError> {
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(*cell != Cell::None));
        }
        match (&mut self.values, cell) {
            (_, Cell::None) if column.is_optional => Ok(0),
            (Values::Text(values), Cell::Text(text)) => {
                values.push(ByteArray::from(text.as_bytes().to_vec()));
                Ok(text.len())
            }
            (Values::Int(values), Cell::Whole(number)) => {
                values.push(number.cast_signed());
                Ok(8)
            }
            (Values::Int(values), Cell::Moment(nanos)) => {
                values.push((nanos / 1_000_000).cast_signed());
                Ok(8)
            }
            (Values::Decimal(values), Cell::Decimal(number)) => {
                let bytes = decimal_bytes(*number)
                    .ok_or(ExportError::TooLarge { column: column.name, value: *number })?;
                values.push(FixedLenByteArray::from(bytes.to_vec()));
                Ok(DECIMAL_BYTES)
            }
            (_, cell) => Err(ExportError::Cell { column: column.name, cell: format!("{cell:?}") }),
        }
    }

    fn write(self, mut writer: SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = self.levels.as_deref();
        match &self.values {
            Values::Text(values) => write_values(writer.typed::<ByteArrayType>(), values, levels)?,
            Values::Int(values) => write_values(writer.typed::<Int64Type>(), values, levels)?,
            Values::Decimal(values) => {
                write_values(writer.typed::<FixedLenByteArrayType>(), values, levels)?;
            }
        }
        writer.close()
    }
}

fn write_values<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    writer.write_batch(values, levels, None).map(drop)
}

/// The number as a whole number of the smallest units, most significant byte first; none when it has more
/// digits than the type.
fn decimal_bytes(number: Decimal) -> Option<[u8; DECIMAL_BYTES]> {
    let units = number.mantissa().checked_mul(10_i128.checked_pow(SCALE - number.scale())?)?;
    (units.unsigned_abs() < 10_u128.pow(PRECISION)).then(|| units.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_whole_numbers_of_the_smallest_unit() {
        let of = |text: &str| decimal_bytes(text.parse().unwrap()).map(i128::from_be_bytes);
        assert_eq!(of("0"), Some(0));
        assert_eq!(of("0.0000000000000000000000000001"), Some(1));
        assert_eq!(of("-1.5"), Some(-15 * 10_i128.pow(27)));
        assert_eq!(of("9999999999.99"), Some(999_999_999_999 * 10_i128.pow(26)));
        assert_eq!(of("10000000000"), None);
        assert_eq!(of("79228162514264337593543950335"), None);
    }
}
