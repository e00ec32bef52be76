//! What a judged image costs: exact decimals, never binary fractions.

use std::fmt;
use std::str::FromStr;

/// An amount of money, in millionths of the currency's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(u64);

impl Amount {
    /// That many times as much; stops at the greatest amount there is.
    #[must_use]
    pub fn times(self, count: usize) -> Self {
        Self(self.0.saturating_mul(u64::try_from(count).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Amount {
    /// At least two decimals, and as many as it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:06}", self.0 % UNIT);
        write!(f, "{}.{:0<2}", self.0 / UNIT, decimals.trim_end_matches('0'))
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// ```
    /// assert_eq!("0.29".parse::<assessment::Amount>().unwrap().times(3).to_string(), "0.87");
    /// assert!("0,29".parse::<assessment::Amount>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str, max: usize| {
            (1..=max).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(units, 9) || !is_number(decimals, 6) {
            return Err(InvalidAmount);
        }
        let parse = |digits: &str| digits.parse::<u64>().map_err(|_| InvalidAmount);
        Ok(Self(parse(units)? * UNIT + parse(&format!("{decimals:0<6}"))?))
    }
}

/// Not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is written like 0.29: up to nine digits, and up to six decimals after a point")]
pub struct InvalidAmount;

/// A currency by its code (ISO 4217): `USD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency(String);

impl Currency {
    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self("USD".to_owned())
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        if text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidCurrency)
        }
    }
}

/// Not a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters: USD, EUR, TWD")]
pub struct InvalidCurrency;

/// The prices that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateCard {
    /// What one image digest costs in a month in which it was judged.
    pub per_image: Amount,
    /// In which money.
    pub currency: Currency,
}

const UNIT: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_printed_as_it_was_written() {
        for (text, wanted) in
            [("0.29", "0.29"), ("1", "1.00"), ("0.000001", "0.000001"), ("12.5", "12.50"), ("007", "7.00")]
        {
            assert_eq!(text.parse::<Amount>().map(|amount| amount.to_string()), Ok(wanted.to_owned()));
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.1234567", "1234567890", "1.2.3", "１"] {
            assert_eq!(text.parse::<Amount>(), Err(InvalidAmount), "{text}");
        }
        assert_eq!("999999999.999999".parse::<Amount>().map(|it| it.times(usize::MAX)), Ok(Amount(u64::MAX)));
        assert!("usd".parse::<Currency>().is_err());
    }
}
