//! Rows as CSV: RFC 4180 quoting, nested values as JSON text, null as an empty cell and empty text as `""`.
//!
//! Cells that a spreadsheet would take for formulas are left as they are: changing data is the console's choice.

use arrow::array::RecordBatch;
use assay_core::{Column, Result};

use super::json;

pub fn write_header(columns: &[Column], out: &mut Vec<u8>) {
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_cell(column.name.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

pub fn write_rows(batch: &RecordBatch, columns: &[Column], out: &mut Vec<u8>) -> Result<()> {
    let pairs = columns.iter().zip(batch.columns());
    let cells = pairs
        .map(|(column, array)| json::cells(array, &column.kind))
        .collect::<Result<Vec<_>>>()?;
    let mut cell = Vec::new();
    for row in 0..batch.num_rows() {
        for (index, column) in cells.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if column.is_null(row) {
                continue;
            }
            cell.clear();
            column.write_plain(row, &mut cell);
            write_cell(&cell, out);
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn write_cell(cell: &[u8], out: &mut Vec<u8>) {
    let needs_quotes = cell.is_empty()
        || cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
        || cell.starts_with(b" ")
        || cell.ends_with(b" ");
    if !needs_quotes {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    for &byte in cell {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}
