//! How the columns of a part lie in its file, by what they hold: small, and quick to write and to read.

use std::hash::Hash;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use foldhash::{HashSet, HashSetExt as _};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

const ROWS_PER_GROUP: usize = 131_072;
/// Small pages let a page of records be read without its neighbors.
const ROWS_PER_PAGE: usize = 5_000;
/// So many values of a column are looked at before it is written;
const SAMPLE: usize = 4_096;
/// of less nothing is concluded.
const FEW: usize = 256;
/// Where neighbors matter, they are looked at in so many places.
const STRETCHES: usize = 8;

/// How `batch` is written, where `key` is the key attribute of its data set.
pub(super) fn of(batch: &RecordBatch, key: Option<&str>) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_data_page_row_count_limit(ROWS_PER_PAGE)
        .set_write_batch_size(ROWS_PER_PAGE);
    if let Some(key) = key {
        properties = properties.set_column_bloom_filter_enabled(ColumnPath::from(key), true);
    }
    for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
        if !repeat(values) {
            properties = without_dictionary(properties, ColumnPath::from(field.name().as_str()), values);
        }
    }
    properties.build()
}

/// Whole numbers and times are written as the differences between neighbors, and doubles compressed only when that makes
/// them smaller.
fn without_dictionary(
    properties: WriterPropertiesBuilder,
    column: ColumnPath,
    values: &ArrayRef,
) -> WriterPropertiesBuilder {
    let properties = properties.set_column_dictionary_enabled(column.clone(), false);
    match values.data_type() {
        DataType::Int64 | DataType::Timestamp(..) => {
            properties.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
        }
        DataType::Float64 if !is_compressible(values) => {
            properties.set_column_compression(column, Compression::UNCOMPRESSED)
        }
        _ => properties,
    }
}

/// Whether many of the values come several times, so that a dictionary is worth making. Nested values are not looked at.
fn repeat(values: &ArrayRef) -> bool {
    let step = values.len().div_ceil(SAMPLE).max(1);
    let rows = (0..values.len()).step_by(step).filter(|row| values.is_valid(*row));
    let (distinct, all) = match values.data_type() {
        DataType::Int64 => distinct(rows.map(|row| values.as_primitive::<Int64Type>().value(row))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            distinct(rows.map(|row| values.as_primitive::<TimestampMicrosecondType>().value(row)))
        }
        DataType::Float64 => distinct(rows.map(|row| values.as_primitive::<Float64Type>().value(row).to_bits())),
        DataType::Utf8 => distinct(rows.map(|row| values.as_string::<i32>().value(row))),
        _ => return true,
    };
    all < FEW || distinct * 100 < all * 97
}

fn distinct<T: Hash + Eq>(values: impl Iterator<Item = T>) -> (usize, usize) {
    let (mut known, mut all) = (HashSet::with_capacity(SAMPLE), 0);
    for value in values {
        known.insert(value);
        all += 1;
    }
    (known.len(), all)
}

/// Whether the doubles take a tenth less when they are compressed, told by some stretches of them. Doubles with many
/// digits do not, and would cost each query the time to decompress them.
fn is_compressible(values: &ArrayRef) -> bool {
    let values = values.as_primitive::<Float64Type>();
    let (stretch, step) = (SAMPLE / STRETCHES, values.len() / STRETCHES);
    let stretches = (0..STRETCHES).flat_map(|number| number * step..number * step + stretch.min(step));
    let doubles = stretches
        .filter(|row| values.is_valid(*row))
        .map(|row| values.value(row));
    let bytes: Vec<u8> = doubles.flat_map(f64::to_le_bytes).collect();
    match zstd::bulk::compress(&bytes, ZstdLevel::default().compression_level()) {
        Ok(compressed) => compressed.len() * 10 <= bytes.len() * 9,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    const ROWS: i64 = 6_000;

    /// Numbers all over their range, none of them twice.
    fn scattered() -> impl Iterator<Item = i64> {
        (1..=ROWS).map(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64))
    }

    #[test]
    fn each_column_is_written_as_fits_what_it_holds_and_read_back() {
        let doubles = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let extremes = [i64::MIN, i64::MAX, 0, -1].into_iter().chain(scattered().skip(4));
        let gaps = scattered().map(|value| (value % 3 != 0).then_some(value));
        let columns: [(&str, ArrayRef, Encoding, bool); 8] = [
            (
                "serial",
                Arc::new(Int64Array::from_iter_values(0..ROWS)),
                Encoding::DELTA_BINARY_PACKED,
                true,
            ),
            (
                "extreme",
                Arc::new(Int64Array::from_iter_values(extremes)),
                Encoding::DELTA_BINARY_PACKED,
                true,
            ),
            (
                "gaps",
                Arc::new(Int64Array::from_iter(gaps)),
                Encoding::DELTA_BINARY_PACKED,
                true,
            ),
            (
                "time",
                Arc::new(TimestampMicrosecondArray::from_iter_values(scattered()).with_timezone("UTC")),
                Encoding::DELTA_BINARY_PACKED,
                true,
            ),
            (
                "few",
                Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row % 9))),
                Encoding::RLE_DICTIONARY,
                true,
            ),
            (
                "measured",
                doubles(scattered().map(|value| (value as f64).sin()).collect()),
                Encoding::PLAIN,
                false,
            ),
            (
                "counted",
                doubles((0..ROWS).map(|row| row as f64).collect()),
                Encoding::PLAIN,
                true,
            ),
            (
                "text",
                Arc::new(StringArray::from_iter_values(
                    scattered().map(|value| value.to_string()),
                )),
                Encoding::PLAIN,
                true,
            ),
        ];
        let batch =
            RecordBatch::try_from_iter(columns.iter().map(|(name, values, ..)| (*name, values.clone()))).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(of(&batch, Some("serial")))).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
        let written = reader.metadata().row_group(0).clone();
        for ((name, _, encoding, is_compressed), column) in columns.iter().zip(written.columns()) {
            assert!(column.encodings().any(|used| used == *encoding), "{name}: {column:?}");
            assert_eq!(
                column.compression() != Compression::UNCOMPRESSED,
                *is_compressed,
                "{name}"
            );
        }
        let batches: Vec<RecordBatch> = reader
            .with_batch_size(ROWS as usize)
            .build()
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(batches, [batch]);
    }
}
