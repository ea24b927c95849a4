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

/// Whether `text` is a number as JSON writes it (RFC 8259, section 6).
pub fn is_number(text: &str) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let bytes = text.as_bytes();
    let mut rest = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let [b'.', fraction @ ..] = rest {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            _ => exponent,
        };
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// Reads `text`, which is a number as in JSON.
pub fn read(text: &str) -> Number {
    read_plain(text).unwrap_or_else(|| read_closely(text))
}

fn read_closely(text: &str) -> Number {
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

/// So many digits fit into 64 bits, whichever they are.
const PLAIN_DIGITS: usize = 18;
/// Whole numbers below it, of at most 15 digits, are exact as a double, and so is each power of ten up to its own length.
const PLAIN_EXACT: u64 = 1_000_000_000_000_000;

/// Reads `text` if it is a number as in JSON of at most 18 digits without an exponent, which most are. `None` says only
/// that it is to be looked at more closely.
#[must_use]
pub fn read_plain(text: &str) -> Option<Number> {
    let bytes = text.as_bytes();
    let (negative, unsigned) = match bytes {
        [b'-', unsigned @ ..] => (true, unsigned),
        _ => (false, bytes),
    };
    if unsigned.len() > PLAIN_DIGITS + 1 {
        return None;
    }
    let (whole, length) = leading_digits(unsigned, 0);
    if length == 0 || (length > 1 && unsigned[0] == b'0') {
        return None;
    }
    let Some(fraction) = unsigned[length..].strip_prefix(b".") else {
        let is_int = length == unsigned.len() && length <= PLAIN_DIGITS && !(negative && whole == 0);
        let int = i64::try_from(whole).ok().filter(|_| is_int)?;
        return Some(Number::Int(if negative { -int } else { int }));
    };
    let (digits, scale) = leading_digits(fraction, whole);
    if scale == 0 || scale != fraction.len() {
        return None;
    }
    if digits < PLAIN_EXACT {
        #[expect(clippy::cast_precision_loss, reason = "so few digits are exact")]
        let double = digits as f64 / POWERS_OF_TEN.get(scale)?;
        return Some(Number::Float(if negative { -double } else { double }));
    }
    let double: f64 = if digits <= EXACT_IN_DOUBLE {
        #[expect(clippy::cast_precision_loss, reason = "so few digits are exact")]
        let double = digits as f64 / POWERS_OF_TEN.get(scale)?;
        if negative { -double } else { double }
    } else {
        text.parse().ok()?
    };
    // Where doubles lie closer than numbers with so many digits, each of these has its own.
    if digits < significand(double) {
        return Some(Number::Float(double));
    }
    let mut buffer = zmij::Buffer::new();
    let shortest = buffer.format_finite(double);
    // What differs may still be all 17 digits of the double.
    (shortest == text || significant(shortest)? == without_zeros(digits)).then_some(Number::Float(double))
}

const POWERS_OF_TEN: [f64; PLAIN_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
];

/// Reads the digits at the beginning of `bytes`, which are 18 at most with those of `before`, and says how many they are.
fn leading_digits(bytes: &[u8], before: u64) -> (u64, usize) {
    let (mut value, mut length) = (before, 0);
    while let Some(eight) = bytes[length..].first_chunk().and_then(eight_digits) {
        value = value.wrapping_mul(100_000_000).wrapping_add(eight);
        length += 8;
    }
    while let Some(digit) = bytes
        .get(length)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|digit| *digit < 10)
    {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        length += 1;
    }
    (value, length)
}

/// The number that eight digits are, if they are digits: neighbors are joined to pairs, these to fours, these to eight.
fn eight_digits(text: &[u8; 8]) -> Option<u64> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(*text).wrapping_sub(EACH * u64::from(b'0'));
    // A byte above nine has its highest bit here, or there.
    if (digits | digits.wrapping_add(EACH * (0x7f - 9))) & (EACH * 0x80) != 0 {
        return None;
    }
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff)
}

/// The 53 bits of a double that is neither tiny nor huge.
fn significand(double: f64) -> u64 {
    (double.to_bits() & ((1 << 52) - 1)) | (1 << 52)
}

/// The digits of a plain number without its point and the zeros behind them; `None` for one with an exponent.
fn significant(text: &str) -> Option<u64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let (whole, length) = leading_digits(unsigned, 0);
    let fraction = match &unsigned[length..] {
        [b'.', fraction @ ..] => fraction,
        [] => &[],
        _ => return None,
    };
    let (digits, scale) = leading_digits(fraction, whole);
    (length + scale <= PLAIN_DIGITS && scale == fraction.len()).then(|| without_zeros(digits))
}

fn without_zeros(mut digits: u64) -> u64 {
    while digits > 0 && digits.is_multiple_of(10) {
        digits /= 10;
    }
    digits
}

/// Whether `double` stands for `text` and for no other number of as many digits.
fn is_same(text: &str, double: f64) -> bool {
    if !double.is_finite() {
        return false;
    }
    let count = digits(text).count();
    // Every decimal of up to 15 significant digits survives the way through a double that is neither tiny nor huge.
    if count <= 15 && (count == 0 || double.abs() > 1e-300) {
        return true;
    }
    digits(text).eq(digits(zmij::Buffer::new().format_finite(double)))
        || digits(text).eq(digits(&format!("{double:.16e}")))
}

/// The significant digits, without zeros before and after.
fn digits(text: &str) -> impl Iterator<Item = u8> + '_ {
    let mantissa = text.bytes().position(|byte| matches!(byte, b'e' | b'E'));
    let mantissa = &text.as_bytes()[..mantissa.unwrap_or(text.len())];
    let is_significant = |byte: &u8| matches!(byte, b'1'..=b'9');
    let first = mantissa.iter().position(is_significant).unwrap_or(mantissa.len());
    let end = mantissa.iter().rposition(is_significant).map_or(first, |last| last + 1);
    mantissa[first..end].iter().copied().filter(u8::is_ascii_digit)
}

/// The number in `text`, as in JSON, in units of the last of `scale` digits behind the point; `None` when it has more
/// than `precision` digits then, or digits beyond the scale.
#[must_use]
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = all.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    if kept.is_empty() {
        return Some(0);
    }
    let cut = i64::try_from(digits.len() - kept.len()).ok()?;
    let fraction = i64::try_from(fraction.len()).ok()?;
    // Zeros behind the digits that are kept, in units of the last place.
    let zeros = exponent
        .checked_sub(fraction)?
        .checked_add(cut)?
        .checked_add(i64::from(scale))?;
    let zeros = usize::try_from(zeros).ok()?;
    if kept.len().checked_add(zeros)? > usize::from(precision) {
        return None;
    }
    let value: i128 = format!("{kept}{}", "0".repeat(zeros)).parse().ok()?;
    Some(if mantissa.starts_with('-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Compared with `serde_json`.
        #[test]
        fn numbers_are_what_a_parser_of_json_takes(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][-+]?[0-9]{0,2})?[-x. ]?") {
            let parsed = serde_json::from_str::<&serde_json::value::RawValue>(&text);
            let is_number = !text.contains(' ') && parsed.is_ok();
            proptest::prop_assert_eq!(super::is_number(&text), is_number, "{:?}", text);
        }
    }

    proptest::proptest! {
        #[test]
        fn eight_digits_are_read_at_once(text in "[0-9]{8}|[ -~\u{0}\u{7f}]{8}") {
            let bytes = text.as_bytes().first_chunk().unwrap();
            let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
            proptest::prop_assert_eq!(eight_digits(bytes), is_digits.then(|| text.parse().unwrap()), "{:?}", text);
        }

        /// Also with bytes that are no text.
        #[test]
        fn eight_bytes_are_digits_or_not(bytes: [u8; 8]) {
            let text = std::str::from_utf8(&bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            proptest::prop_assert_eq!(eight_digits(&bytes), text.map(|text| text.parse().unwrap()));
        }
    }

    proptest::proptest! {
        /// The quick way gives what the thorough one does.
        #[test]
        fn plain_numbers_are_read_the_same_way(text in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,12})?") {
            if let Some(number) = read_plain(&text) {
                proptest::prop_assert_eq!(number, read_closely(&text), "{:?}", text);
            }
        }

        #[test]
        fn doubles_are_read_back(bits: u64) {
            let double = f64::from_bits(bits);
            if double.is_finite() {
                let text = serde_json::Value::from(double).to_string();
                proptest::prop_assert_eq!(read(&text), read_closely(&text), "{:?}", text);
            }
        }

        #[test]
        fn what_is_read_the_quick_way_is_a_number(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?[-x. e]?") {
            proptest::prop_assert!(read_plain(&text).is_none() || is_number(&text), "{:?}", text);
        }
    }

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

    #[test]
    fn decimals_keep_every_digit_or_are_none() {
        for (text, expected) in [
            ("1", Some(100)),
            ("-1.5", Some(-150)),
            ("123.45", Some(12_345)),
            ("1.50000", Some(150)),
            ("1.2e2", Some(12_000)),
            ("1200e-2", Some(1_200)),
            ("0.00", Some(0)),
            ("-0", Some(0)),
            ("1.234", None),
            ("1234", None),
            ("1e400", None),
            ("1e-400", None),
            ("", None),
            ("1,5", None),
        ] {
            assert_eq!(decimal(text, 5, 2), expected, "{text}");
        }
        let most = "9".repeat(38);
        assert_eq!(decimal(&most, 38, 0), most.parse().ok());
    }
}
