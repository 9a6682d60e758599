//! Decimals as text, quickly: most numbers on a page are whole and small.

use std::io::Write as _;

use rust_decimal::Decimal;
use spantally_stitch::hex_digits;

/// Appends a decimal without trailing zeros. Its text is exact; readers may round it to their own precision.
pub(super) fn write_decimal(out: &mut Vec<u8>, value: Decimal) {
    let parts = value.unpack();
    if parts.hi != 0 {
        // More than 19 digits: rare enough for the general path. Writing to a vector cannot fail.
        let _ = write!(out, "{}", value.normalize());
        return;
    }
    let mut mantissa = u64::from(parts.mid) << 32 | u64::from(parts.lo);
    if mantissa == 0 {
        out.push(b'0');
        return;
    }
    let mut scale = parts.scale as usize;
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    if parts.negative {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(mantissa).as_bytes();
    match digits.len().checked_sub(scale) {
        _ if scale == 0 => out.extend_from_slice(digits),
        Some(whole @ 1..) => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.extend_from_slice(&[b'0'; 28][..scale - digits.len()]);
            out.extend_from_slice(digits);
        }
    }
}

/// Appends a whole number.
pub(super) fn write_count(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends bytes in hexadecimal.
pub(super) fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&hex_digits(*byte));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: Decimal) -> String {
        let mut out = Vec::new();
        write_decimal(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_plain() {
        for (given, wanted) in [
            ("0", "0"),
            ("0.000", "0"),
            ("-0.0", "0"),
            ("7", "7"),
            ("100", "100"),
            ("0.025", "0.025"),
            ("-0.0250", "-0.025"),
            ("12.50", "12.5"),
            ("18446744073709551615", "18446744073709551615"),
            ("79228162514264337593543950335", "79228162514264337593543950335"),
            ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
        ] {
            assert_eq!(text(given.parse().unwrap()), wanted);
        }
    }

    proptest! {
        #[test]
        fn the_fast_path_is_the_library_s_text(mantissa in any::<i64>(), scale in 0_u32..=28) {
            let value = Decimal::new(mantissa, scale);
            prop_assert_eq!(text(value), value.normalize().to_string());
        }
    }
}
