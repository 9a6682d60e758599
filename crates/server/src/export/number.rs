//! Decimals as text, quickly: most numbers on a page are whole and small.

use std::io::Write as _;

use rust_decimal::Decimal;

/// Appends a decimal without trailing zeros. Its text is exact; readers may round it to their own precision.
pub(super) fn write_decimal(out: &mut Vec<u8>, value: Decimal) {
    let Ok(mut mantissa) = u64::try_from(value.mantissa().unsigned_abs()) else {
        // More than 19 digits: rare enough for the general path. Writing to a vector cannot fail.
        let _ = write!(out, "{}", value.normalize());
        return;
    };
    if mantissa == 0 {
        out.push(b'0');
        return;
    }
    let mut scale = value.scale() as usize;
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    // 20 digits of a u64, or a zero, a point and up to 28 digits after it.
    let mut digits = [b'0'; 32];
    let mut at = digits.len();
    let mut written = 0;
    while mantissa > 0 || written <= scale {
        if written == scale && scale > 0 {
            at -= 1;
            digits[at] = b'.';
        }
        at -= 1;
        digits[at] = b'0' + (mantissa % 10) as u8;
        mantissa /= 10;
        written += 1;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a whole number.
pub(super) fn write_count(out: &mut Vec<u8>, value: u64) {
    write_decimal(out, Decimal::from(value));
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
