//! `resource.Quantity`: exact decimal numbers with SI and binary suffixes.
//!
//! Source: the `Quantity` type of `k8s.io/apimachinery` (grammar, rounding up to nano units,
//! canonical form). Values are kept as nano units in an `i128`, so that sums are exact.

use std::fmt;

const NANO: i128 = 1_000_000_000;

/// An exact amount, in nano units.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

/// How a quantity was written, and so how it is printed again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
enum Format {
    #[default]
    Decimal,
    Binary,
    Exponent,
}

/// Why a text is no quantity.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QuantityError {
    #[error(
        "quantities must match the regular expression \
         '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Malformed,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("quantity is out of range")]
    Range,
}

impl Quantity {
    pub const ZERO: Self = Self {
        nano: 0,
        format: Format::Decimal,
    };

    pub fn from_milli(milli: i64) -> Self {
        Self {
            nano: i128::from(milli) * 1_000_000,
            format: Format::Decimal,
        }
    }

    pub fn from_units(units: i64) -> Self {
        Self {
            nano: i128::from(units) * NANO,
            format: Format::Decimal,
        }
    }

    /// Whole units that print with a binary suffix (`Ki`, `Mi`, …) where they divide evenly.
    pub fn from_bytes(bytes: i64) -> Self {
        Self {
            nano: i128::from(bytes) * NANO,
            format: Format::Binary,
        }
    }

    /// Reads `100m`, `1.5Gi`, `2e3`, `128974848`, `-0.5`.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned
            .find(|letter: char| !(letter.is_ascii_digit() || letter == '.'))
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Malformed);
        }
        let (scale, format) = scale_of(suffix)?;
        let nano = scaled(whole, fraction, scale)?;
        Ok(Self {
            nano: if negative { -nano } else { nano },
            format,
        })
    }

    /// Milli units, rounded up (away from zero for negative amounts as upstream's `MilliValue`).
    pub fn milli(self) -> i64 {
        clamp(divide_up(self.nano, 1_000_000))
    }

    /// Whole units, rounded up.
    pub fn value(self) -> i64 {
        clamp(divide_up(self.nano, NANO))
    }

    /// The exact amount in nano units, for comparisons: equal amounts may be written differently.
    pub fn nano(self) -> i128 {
        self.nano
    }

    pub fn is_zero(self) -> bool {
        self.nano == 0
    }

    pub fn is_negative(self) -> bool {
        self.nano < 0
    }

    /// The sum; the format is the left side's, as upstream's `Add` keeps it.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let format = if self.nano == 0 {
            other.format
        } else {
            self.format
        };
        Self {
            nano: self.nano.saturating_add(other.nano),
            format,
        }
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let format = if self.nano == 0 {
            other.format
        } else {
            self.format
        };
        Self {
            nano: self.nano.saturating_sub(other.nano),
            format,
        }
    }
}

#[derive(Clone, Copy)]
enum Scale {
    /// Times ten to this power.
    Ten(i32),
    /// Times two to this power.
    Two(u32),
}

fn scale_of(suffix: &str) -> Result<(Scale, Format), QuantityError> {
    let scale = match suffix {
        "" => Scale::Ten(0),
        "n" => Scale::Ten(-9),
        "u" => Scale::Ten(-6),
        "m" => Scale::Ten(-3),
        "k" => Scale::Ten(3),
        "M" => Scale::Ten(6),
        "G" => Scale::Ten(9),
        "T" => Scale::Ten(12),
        "P" => Scale::Ten(15),
        "E" => Scale::Ten(18),
        "Ki" => Scale::Two(10),
        "Mi" => Scale::Two(20),
        "Gi" => Scale::Two(30),
        "Ti" => Scale::Two(40),
        "Pi" => Scale::Two(50),
        "Ei" => Scale::Two(60),
        _ => {
            let exponent = suffix
                .strip_prefix(['e', 'E'])
                .ok_or(QuantityError::Suffix)?;
            let power: i32 = exponent.parse().map_err(|_error| QuantityError::Suffix)?;
            return Ok((Scale::Ten(power), Format::Exponent));
        }
    };
    let format = if matches!(scale, Scale::Two(_)) {
        Format::Binary
    } else {
        Format::Decimal
    };
    Ok((scale, format))
}

/// The digits as nano units, anything finer rounded up.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> Result<i128, QuantityError> {
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    // 2^63 units are 28 digits of nano units; more digits than this are never in range or are
    // finer than nano, and `i128` holds 38.
    if digits.len() > 36 {
        return Err(QuantityError::Range);
    }
    let mantissa: i128 = digits.parse().map_err(|_error| QuantityError::Malformed)?;
    let places = i32::try_from(fraction.len()).map_err(|_error| QuantityError::Range)?;
    let (mantissa, power) = match scale {
        Scale::Ten(power) => (mantissa, power.saturating_sub(places).saturating_add(9)),
        Scale::Two(power) => {
            let shifted = mantissa
                .checked_mul(1_i128 << power)
                .ok_or(QuantityError::Range)?;
            (shifted, 9 - places)
        }
    };
    let nano = if power >= 0 {
        let power = u32::try_from(power).map_err(|_error| QuantityError::Range)?;
        let factor = 10_i128.checked_pow(power).ok_or(QuantityError::Range)?;
        mantissa.checked_mul(factor).ok_or(QuantityError::Range)?
    } else {
        match 10_i128.checked_pow(power.unsigned_abs()) {
            Some(divisor) => divide_up(mantissa, divisor),
            None => 1,
        }
    };
    // Upstream caps amounts at 2^63-1 units.
    Ok(nano.min(i128::from(i64::MAX) * NANO))
}

fn divide_up(amount: i128, divisor: i128) -> i128 {
    let quotient = amount / divisor;
    match amount % divisor {
        0 => quotient,
        rest if rest > 0 => quotient + 1,
        _ => quotient - 1,
    }
}

fn clamp(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

/// The canonical form: no fraction, the largest suffix that divides evenly.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        const EXPONENT: [&str; 10] = [
            "e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18",
        ];
        const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        if self.nano == 0 {
            return f.write_str("0");
        }
        let whole = self.nano % NANO == 0;
        if self.format == Format::Binary && whole && (self.nano / NANO).abs() >= 1024 {
            return write_with(f, self.nano / NANO, 1024, &BINARY);
        }
        let suffixes = if self.format == Format::Exponent {
            &EXPONENT
        } else {
            &DECIMAL
        };
        write_with(f, self.nano, 1000, suffixes)
    }
}

fn write_with(
    f: &mut fmt::Formatter<'_>,
    amount: i128,
    step: i128,
    suffixes: &[&str],
) -> fmt::Result {
    let mut amount = amount;
    let mut chosen = "";
    for (place, suffix) in suffixes.iter().enumerate() {
        chosen = suffix;
        if amount % step != 0 || place + 1 == suffixes.len() {
            break;
        }
        amount /= step;
    }
    write!(f, "{amount}{chosen}")
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Accepts a string or, as the API does, a bare number.
impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity such as `100m`, `1.5Gi` or 2")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                Quantity::parse(text).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, units: u64) -> Result<Quantity, E> {
                Quantity::parse(&units.to_string()).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, units: i64) -> Result<Quantity, E> {
                Ok(Quantity::from_units(units))
            }
            fn visit_f64<E: serde::de::Error>(self, units: f64) -> Result<Quantity, E> {
                Quantity::parse(&units.to_string()).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milli: i64, value: i64, canonical: &str) {
        let quantity = Quantity::parse(text).unwrap();
        assert_eq!(quantity.milli(), milli, "milli of {text}");
        assert_eq!(quantity.value(), value, "value of {text}");
        assert_eq!(quantity.to_string(), canonical, "canonical form of {text}");
    }

    #[test]
    fn amounts_are_exact_and_canonical() {
        check("100m", 100, 1, "100m");
        check("0.1", 100, 1, "100m");
        check("1.5", 1500, 2, "1500m");
        check("2", 2000, 2, "2");
        check("1000m", 1000, 1, "1");
        check("1.5Gi", 1_610_612_736_000, 1_610_612_736, "1536Mi");
        check("128Mi", 134_217_728_000, 134_217_728, "128Mi");
        check("1Ki", 1_024_000, 1024, "1Ki");
        check("0.5Ki", 512_000, 512, "512");
        check("2e3", 2_000_000, 2000, "2e3");
        check("1E", i64::MAX, 1_000_000_000_000_000_000, "1E");
        check("12e6", 12_000_000_000, 12_000_000, "12e6");
        check("0", 0, 0, "0");
        check("-1.5", -1500, -2, "-1500m");
        check("100n", 1, 1, "100n");
        check(".5", 500, 1, "500m");
        check("5.", 5000, 5, "5");
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["", "a", "1.2.3", "1x", "1 Gi", "1gi", "--1", "1ee3"] {
            assert!(Quantity::parse(text).is_err(), "{text} must be refused");
        }
    }
}
