//! Small readings of rows that came back as JSON, and of numbers on their way into SQL.

use serde_json::{Map, Value};

pub(crate) type Row = Map<String, Value>;

/// The number under `name`; `None` for null, which also stands for NaN and the infinities.
pub(crate) fn number(row: &Row, name: &str) -> Option<f64> {
    row.get(name)?.as_f64()
}

/// The count under `name`; zero when it is absent.
pub(crate) fn count(row: &Row, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A cell of the answer; what JSON cannot say becomes null.
pub(crate) fn cell(number: Option<f64>) -> Value {
    number.map_or(Value::Null, Value::from)
}

/// A double as SQL reads it back exactly, in parentheses because of its sign.
pub(crate) fn double(number: f64) -> String {
    format!("(CAST('{number:?}' AS DOUBLE))")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_so_that_they_read_back() {
        for number in [0.1, -2700.0, 1e300, f64::MIN_POSITIVE, 1.0 / 3.0] {
            let text = double(number);
            let digits = text.trim_start_matches("(CAST('").trim_end_matches("' AS DOUBLE))");
            assert_eq!(digits.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
    }
}
