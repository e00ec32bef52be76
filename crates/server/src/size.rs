//! Numbers of bytes, as people write and read them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A number of bytes: `1GiB`, `500 MB`, `1.5TiB`, or bytes without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

/// What is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: give a number of bytes, or a number with a unit, such as 500MB or 1.5GiB")]
pub(crate) struct InvalidSize(String);

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.to_owned());
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim_start().to_ascii_lowercase());
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        if whole.is_empty()
            || part.is_empty()
            || part.len() > FRACTION_DIGITS_MAX
            || *unit == 1 && number.contains('.')
        {
            return Err(invalid());
        }
        let whole: u64 = whole.parse().map_err(|_| invalid())?;
        let fraction: u64 = part.parse().map_err(|_| invalid())?;
        let scale = 10_u128.pow(u32::try_from(part.len()).unwrap_or_default());
        let fraction = u128::from(fraction) * u128::from(*unit) / scale;
        let bytes = u128::from(whole) * u128::from(*unit) + fraction;
        u64::try_from(bytes).map(Self).map_err(|_| invalid())
    }
}

/// As people read it: one digit after the point, and the exact number for what is smaller than a kibibyte.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match shown.into_iter().find(|(_, shift)| self.0 >> shift > 0) {
            Some((unit, shift)) => {
                let tenths = (u128::from(self.0) * 10) >> shift;
                let (whole, tenth) = (tenths / 10, tenths % 10);
                if tenth == 0 { write!(f, "{whole} {unit}") } else { write!(f, "{whole}.{tenth} {unit}") }
            }
            None if self.0 == 1 => f.write_str("1 byte"),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

const UNITS: [(&str, u64); 15] = [
    ("", 1),
    ("b", 1),
    ("bytes", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("tb", 1_000_000_000_000),
];

const FRACTION_DIGITS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_units() {
        for (text, bytes) in [
            ("0", 0),
            ("20000000", 20_000_000),
            ("1GiB", 1 << 30),
            ("1 gib", 1 << 30),
            ("1g", 1 << 30),
            ("500MB", 500_000_000),
            ("1.5GiB", 3 << 29),
            ("0.5kB", 500),
            ("16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in [
            "",
            "GiB",
            "-1",
            "1.5",
            "1.",
            ".5GiB",
            "1XB",
            "1 GiB more",
            "16777216TiB",
            "1e3",
            "1.5.5MB",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_as_people_read_them() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (5_000_000, "4.7 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
