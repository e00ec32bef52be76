//! Values and their types.
//!
//! One enumeration carries both typed values and what `dynamic` holds. A column of a type other than
//! `dynamic` holds values of that type, or [`Value::Null`]; a column of strings never holds null, for
//! Kusto's strings have none: the empty string stands for it.

use std::cmp::Ordering;
use std::sync::Arc;

/// A scalar type of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `bool`
    Bool,
    /// `int`: held as 64 bits, and called by its name where the language tells types apart.
    Int,
    /// `long`
    Long,
    /// `real`, also called `double`
    Real,
    /// `decimal`: held as a `real`.
    Decimal,
    /// `string`
    String,
    /// `datetime`
    DateTime,
    /// `timespan`
    TimeSpan,
    /// `guid`: held as its text, in lower case.
    Guid,
    /// `dynamic`
    Dynamic,
}

impl Type {
    /// The name, as `gettype` and `typeof` write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Long => "long",
            Self::Real => "real",
            Self::Decimal => "decimal",
            Self::String => "string",
            Self::DateTime => "datetime",
            Self::TimeSpan => "timespan",
            Self::Guid => "guid",
            Self::Dynamic => "dynamic",
        }
    }

    /// The type of that name, aliases included.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bool" | "boolean" => Self::Bool,
            "int" | "int32" => Self::Int,
            "long" | "int64" => Self::Long,
            "real" | "double" => Self::Real,
            "decimal" => Self::Decimal,
            "string" => Self::String,
            "datetime" | "date" => Self::DateTime,
            "timespan" | "time" => Self::TimeSpan,
            "guid" | "uuid" | "uniqueid" => Self::Guid,
            "dynamic" => Self::Dynamic,
            _ => return None,
        })
    }

    /// True of `int`, `long`, `real` and `decimal`.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Long | Self::Real | Self::Decimal)
    }

    /// True of `int` and `long`.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Int | Self::Long)
    }

    /// True of `string` and `guid`, which are held as text.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::String | Self::Guid)
    }

    /// The value that stands for "nothing" in a column of this type.
    #[must_use]
    pub fn nothing(self) -> Value {
        if self == Self::String { Value::text("") } else { Value::Null }
    }
}

/// The members of a property bag, in the order in which they were written.
pub type Bag = Vec<(Arc<str>, Value)>;

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing.
    Null,
    /// A truth.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A number.
    Real(f64),
    /// Text.
    String(Arc<str>),
    /// A moment: ticks of 100 nanoseconds since 1970 (UTC).
    DateTime(i64),
    /// A length of time, in ticks of 100 nanoseconds.
    TimeSpan(i64),
    /// An array, in `dynamic` only.
    Array(Arc<Vec<Value>>),
    /// A property bag, in `dynamic` only.
    Object(Arc<Bag>),
}

/// Ticks in a second.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
/// Ticks in a day.
pub const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;

impl Value {
    /// Text as a value.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::String(Arc::from(text.as_ref()))
    }

    /// An array.
    #[must_use]
    pub fn array(items: Vec<Self>) -> Self {
        Self::Array(Arc::new(items))
    }

    /// A property bag.
    #[must_use]
    pub fn object(members: Bag) -> Self {
        Self::Object(Arc::new(members))
    }

    /// True of [`Value::Null`].
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The truth, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(truth) = self { Some(*truth) } else { None }
    }

    /// The whole number, if it is one.
    #[must_use]
    pub fn as_long(&self) -> Option<i64> {
        if let Self::Long(number) = self { Some(*number) } else { None }
    }

    /// The number, if it is one, whole or not.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a whole number among reals is as near as reals get")]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Long(number) => Some(*number as f64),
            Self::Real(number) => Some(*number),
            _ => None,
        }
    }

    /// The member of that name, if it is a bag that has one.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(member, _)| &**member == name).map(|(_, value)| value)
    }

    /// The type that `gettype` names for what a `dynamic` holds.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Long(_) => "long",
            Self::Real(_) => "double",
            Self::String(_) => "string",
            Self::DateTime(_) => "datetime",
            Self::TimeSpan(_) => "timespan",
            Self::Array(_) => "array",
            Self::Object(_) => "dictionary",
        }
    }

    /// A value of a JSON document. Its depth is bounded by whoever parsed it.
    #[must_use]
    pub fn from_json(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(truth) => Self::Bool(*truth),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Self::Long(whole),
                None => Self::Real(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(items) => Self::array(items.iter().map(Self::from_json).collect()),
            serde_json::Value::Object(members) => Self::object(
                members
                    .iter()
                    .map(|(name, value)| (Arc::from(name.as_str()), Self::from_json(value)))
                    .collect(),
            ),
        }
    }

    /// The value of a JSON text; `None` if it is none, or nested deeper than `serde_json` goes (128).
    #[must_use]
    pub fn parse_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As JSON. Times are written as text; what is no number, as JSON knows them, too.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Long(number) => (*number).into(),
            Self::Real(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => number.into(),
                None => real_text(*number).into(),
            },
            Self::String(text) => (**text).into(),
            Self::DateTime(_) | Self::TimeSpan(_) => self.to_text().into(),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
            Self::Object(members) => {
                members.iter().map(|(name, value)| (name.to_string(), value.to_json())).collect()
            }
        }
    }

    /// As `tostring` writes it: nothing for null, JSON for arrays and bags.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(truth) => truth.to_string(),
            Self::Long(number) => number.to_string(),
            Self::Real(number) => real_text(*number),
            Self::String(text) => text.to_string(),
            Self::DateTime(ticks) => crate::time::datetime_text(*ticks),
            Self::TimeSpan(ticks) => crate::time::timespan_text(*ticks),
            Self::Array(_) | Self::Object(_) => self.to_json().to_string(),
        }
    }

    /// About how many bytes of memory it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let own = size_of::<Self>();
        match self {
            Self::String(text) => own + text.len() + 16,
            Self::Array(items) => own + 24 + items.iter().map(Self::size).sum::<usize>(),
            Self::Object(members) => {
                own + 24 + members.iter().map(|(name, value)| name.len() + 32 + value.size()).sum::<usize>()
            }
            _ => own,
        }
    }

    /// A total order, for sorting and grouping: null, then `NaN`, then by kind, then by value. Numbers of
    /// both kinds are one kind. Text is ordered by its bytes.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Long(one), Self::Long(other))
            | (Self::DateTime(one), Self::DateTime(other))
            | (Self::TimeSpan(one), Self::TimeSpan(other)) => one.cmp(other),
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::String(one), Self::String(other)) => one.cmp(other),
            (Self::Long(one), Self::Real(other)) => long_and_real(*one, *other),
            (Self::Real(one), Self::Long(other)) => long_and_real(*other, *one).reverse(),
            (Self::Real(one), Self::Real(other)) => order_reals(*one, *other),
            (Self::Array(one), Self::Array(other)) => {
                for (one, other) in one.iter().zip(other.iter()) {
                    match one.order(other) {
                        Ordering::Equal => {}
                        unequal => return unequal,
                    }
                }
                one.len().cmp(&other.len())
            }
            (Self::Object(one), Self::Object(other)) => order_bags(one, other),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Long(_) | Self::Real(_) => 2,
            Self::DateTime(_) => 3,
            Self::TimeSpan(_) => 4,
            Self::String(_) => 5,
            Self::Array(_) => 6,
            Self::Object(_) => 7,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Null => {}
            Self::Bool(truth) => truth.hash(state),
            // A real that is whole equals the long.
            Self::Long(number) => hash_number(*number, state),
            Self::Real(number) => match as_whole(*number) {
                Some(whole) => hash_number(whole, state),
                None if number.is_nan() => u64::MAX.hash(state),
                None => number.to_bits().hash(state),
            },
            Self::DateTime(ticks) | Self::TimeSpan(ticks) => ticks.hash(state),
            Self::String(text) => text.hash(state),
            Self::Array(items) => items.hash(state),
            // Two orders of the same members are one bag.
            Self::Object(members) => {
                let each = members.iter().map(|member| {
                    let mut hasher = std::hash::DefaultHasher::new();
                    member.hash(&mut hasher);
                    std::hash::Hasher::finish(&hasher)
                });
                each.fold(0, u64::wrapping_add).hash(state);
            }
        }
    }
}

fn hash_number<H: std::hash::Hasher>(number: i64, state: &mut H) {
    std::hash::Hash::hash(&number, state);
}

/// The whole number that equals this real exactly, if there is one.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "compared afterwards")]
fn as_whole(number: f64) -> Option<i64> {
    let whole = number as i64;
    (number.fract() == 0.0 && number.abs() < 9.2e18 && whole as f64 == number).then_some(whole)
}

/// Exact, as reals cannot hold every whole number.
fn long_and_real(whole: i64, real: f64) -> Ordering {
    if real.is_nan() {
        return Ordering::Greater;
    }
    match as_whole(real) {
        Some(other) => whole.cmp(&other),
        #[expect(clippy::cast_precision_loss, reason = "a fraction or a giant: nearness is enough")]
        None => (whole as f64).partial_cmp(&real).unwrap_or(Ordering::Equal),
    }
}

/// `NaN` equals itself and is below all others.
fn order_reals(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or_else(|| other.is_nan().cmp(&one.is_nan()))
}

fn order_bags(one: &Bag, other: &Bag) -> Ordering {
    let sorted = |bag: &Bag| {
        let mut members: Vec<(Arc<str>, Value)> = bag.clone();
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        members
    };
    if one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other) {
        return Ordering::Equal;
    }
    sorted(one).cmp(&sorted(other))
}

/// A real as people write it: with a point, or an exponent when it is far from one.
pub(crate) fn real_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if number != 0.0 && !(1e-5..1e16).contains(&number.abs()) {
        format!("{number:e}").replace('e', "E")
    } else {
        format!("{number:?}")
    }
}
