//! Which kind holds a number in a text exactly.

/// What a number text is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    Float(f64),
    /// A whole number beyond 64 bits with so many digits, at most 38.
    Whole {
        digits: u8,
    },
    /// More than any of these holds.
    Beyond,
}

/// Integers beyond it are not all exact as a double.
const EXACT_IN_DOUBLE: u64 = 1 << 53;

pub fn is_wide(int: i64) -> bool {
    int.unsigned_abs() > EXACT_IN_DOUBLE
}

/// Reads `text`, which is a number as in JSON.
pub fn read(text: &str) -> Number {
    if text != "-0" && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        if let Ok(int) = text.parse() {
            return Number::Int(int);
        }
        let digits = text.trim_start_matches('-').len();
        return match u8::try_from(digits) {
            Ok(digits) if digits <= 38 => Number::Whole { digits },
            _ => Number::Beyond,
        };
    }
    match text.parse::<f64>() {
        Ok(double) if is_same(text, double) => Number::Float(double),
        _ => Number::Beyond,
    }
}

/// Whether `double` stands for `text` and for no other number of as many digits.
fn is_same(text: &str, double: f64) -> bool {
    let wanted = digits(text);
    if !double.is_finite() {
        return false;
    }
    // Every decimal of up to 15 significant digits survives the way through a double that is neither tiny nor huge.
    if wanted.len() <= 15 && (wanted.is_empty() || double.abs() > 1e-300) {
        return true;
    }
    wanted == digits(&format!("{double:e}")) || wanted == digits(&format!("{double:.16e}"))
}

/// The significant digits, without zeros before and after.
fn digits(text: &str) -> Vec<u8> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let all: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let first = all.iter().position(|digit| *digit != b'0').unwrap_or(all.len());
    let end = all
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(first, |last| last + 1);
    all[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_only_as_what_holds_them_exactly() {
        let cases = [
            ("0", Number::Int(0)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("9223372036854775808", Number::Whole { digits: 19 }),
            ("123456789012345678901234567890123456789", Number::Beyond),
            ("-0", Number::Float(-0.0)),
            ("0.1", Number::Float(0.1)),
            ("0.30000000000000004", Number::Float(0.1 + 0.2)),
            ("1e3", Number::Float(1000.0)),
            ("0.12345678901234567890", Number::Beyond),
            ("1e400", Number::Beyond),
            ("1e-400", Number::Beyond),
            ("0.0", Number::Float(0.0)),
        ];
        for (text, number) in cases {
            assert_eq!(read(text), number, "{text}");
        }
    }
}
