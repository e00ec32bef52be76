//! Aggregates: what many rows come to.
//!
//! Nulls do not count, except for `count` and where the name says so.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::function::MadeBag;
use crate::schema::Schema;
use crate::value::{Type, Value};

/// An aggregate function.
#[derive(Debug)]
pub(crate) struct Aggregate {
    /// Its name and its other names.
    pub(crate) names: &'static [&'static str],
    pub(crate) kind: Kind,
    /// How many arguments it takes, at least and at most, its condition included.
    pub(crate) arity: (usize, usize),
    /// Its last argument says which rows count.
    pub(crate) has_condition: bool,
    /// What unnamed columns are called: this, `_`, and the name of the argument. Nothing: like the argument.
    pub(crate) prefix: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    DistinctCount,
    Sum,
    Average,
    Min,
    Max,
    ArgMin,
    ArgMax,
    Any,
    List,
    ListWithNulls,
    Set,
    Bag,
    StandardDeviation,
    StandardDeviationOfAll,
    Variance,
    VarianceOfAll,
    Covariance,
    CovarianceOfAll,
    Percentile,
    /// Its percentages' values as one array.
    PercentileArray,
    /// Its second argument says how often each value counts.
    WeightedPercentile,
    WeightedPercentileArray,
    Schema,
    BitAnd,
    BitOr,
    BitXor,
}

impl Kind {
    /// The same arguments again change nothing.
    pub(crate) fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::DistinctCount
                | Self::Set
                | Self::Min
                | Self::Max
                | Self::ArgMin
                | Self::ArgMax
                | Self::Any
                | Self::Bag
                | Self::BitAnd
                | Self::BitOr
        )
    }

    /// How many arguments stand before the percentages, if it has any.
    pub(crate) fn before_percentages(self) -> usize {
        match self {
            Self::Percentile | Self::PercentileArray => 1,
            Self::WeightedPercentile | Self::WeightedPercentileArray => 2,
            _ => usize::MAX,
        }
    }
}

const fn it(
    names: &'static [&'static str],
    kind: Kind,
    arity: (usize, usize),
    has_condition: bool,
    prefix: &'static str,
) -> Aggregate {
    Aggregate { names, kind, arity, has_condition, prefix }
}

pub(crate) const AGGREGATES: &[Aggregate] = &[
    it(&["count"], Kind::Count, (0, 1), false, "count"),
    it(&["countif"], Kind::Count, (1, 1), true, "countif"),
    it(&["dcount"], Kind::DistinctCount, (1, 2), false, "dcount"),
    it(&["dcountif"], Kind::DistinctCount, (2, 3), true, "dcountif"),
    it(&["count_distinct"], Kind::DistinctCount, (1, 1), false, "count_distinct"),
    it(&["count_distinctif"], Kind::DistinctCount, (2, 2), true, "count_distinctif"),
    it(&["sum"], Kind::Sum, (1, 1), false, "sum"),
    it(&["sumif"], Kind::Sum, (2, 2), true, "sumif"),
    it(&["avg"], Kind::Average, (1, 1), false, "avg"),
    it(&["avgif"], Kind::Average, (2, 2), true, "avgif"),
    it(&["min"], Kind::Min, (1, 1), false, "min"),
    it(&["minif"], Kind::Min, (2, 2), true, "minif"),
    it(&["max"], Kind::Max, (1, 1), false, "max"),
    it(&["maxif"], Kind::Max, (2, 2), true, "maxif"),
    it(&["arg_min"], Kind::ArgMin, (1, 128), false, ""),
    it(&["argmin"], Kind::ArgMin, (1, 128), false, "min"),
    it(&["arg_max"], Kind::ArgMax, (1, 128), false, ""),
    it(&["argmax"], Kind::ArgMax, (1, 128), false, "max"),
    it(&["take_any"], Kind::Any, (1, 128), false, ""),
    it(&["any"], Kind::Any, (1, 128), false, "any"),
    it(&["take_anyif"], Kind::Any, (2, 2), true, ""),
    it(&["anyif"], Kind::Any, (2, 2), true, "anyif"),
    it(&["make_list", "makelist"], Kind::List, (1, 2), false, "list"),
    it(&["make_list_if"], Kind::List, (2, 3), true, "list"),
    it(&["make_list_with_nulls"], Kind::ListWithNulls, (1, 1), false, "list"),
    it(&["make_set", "makeset"], Kind::Set, (1, 2), false, "set"),
    it(&["make_set_if"], Kind::Set, (2, 3), true, "set"),
    it(&["make_bag"], Kind::Bag, (1, 2), false, "bag"),
    it(&["make_dictionary"], Kind::Bag, (1, 2), false, "dictionary"),
    it(&["make_bag_if"], Kind::Bag, (2, 3), true, "bag"),
    it(&["stdev"], Kind::StandardDeviation, (1, 1), false, "stdev"),
    it(&["stdevif"], Kind::StandardDeviation, (2, 2), true, "stdevif"),
    it(&["stdevp"], Kind::StandardDeviationOfAll, (1, 1), false, "stdevp"),
    it(&["stdevpif"], Kind::StandardDeviationOfAll, (2, 2), true, "stdevpif"),
    it(&["variance"], Kind::Variance, (1, 1), false, "variance"),
    it(&["varianceif"], Kind::Variance, (2, 2), true, "varianceif"),
    it(&["variancep"], Kind::VarianceOfAll, (1, 1), false, "variancep"),
    it(&["variancepif"], Kind::VarianceOfAll, (2, 2), true, "variancepif"),
    it(&["percentile"], Kind::Percentile, (2, 2), false, "percentile"),
    it(&["percentiles"], Kind::Percentile, (2, 32), false, "percentile"),
    it(&["percentiles_array"], Kind::PercentileArray, (2, 32), false, "percentiles"),
    it(&["percentilew"], Kind::WeightedPercentile, (3, 3), false, "percentile"),
    it(&["percentilesw"], Kind::WeightedPercentile, (3, 33), false, "percentile"),
    it(&["percentilesw_array"], Kind::WeightedPercentileArray, (3, 33), false, "percentiles"),
    it(&["covariance"], Kind::Covariance, (2, 2), false, "covariance"),
    it(&["covarianceif"], Kind::Covariance, (3, 3), true, "covarianceif"),
    it(&["covariancep"], Kind::CovarianceOfAll, (2, 2), false, "covariancep"),
    it(&["covariancepif"], Kind::CovarianceOfAll, (3, 3), true, "covariancepif"),
    it(&["buildschema"], Kind::Schema, (1, 1), false, "schema"),
    it(&["binary_all_and"], Kind::BitAnd, (1, 1), false, ""),
    it(&["binary_all_or"], Kind::BitOr, (1, 1), false, ""),
    it(&["binary_all_xor"], Kind::BitXor, (1, 1), false, ""),
];

/// The aggregate of that name, in any case.
pub(crate) fn find(name: &str) -> Option<&'static Aggregate> {
    let name = name.to_ascii_lowercase();
    AGGREGATES.iter().find(|aggregate| aggregate.names.contains(&name.as_str()))
}

impl Aggregate {
    /// The types of its columns.
    pub(crate) fn types(&self, arguments: &[Type]) -> Vec<Type> {
        let first = arguments.first().copied().unwrap_or(Type::Long);
        match self.kind {
            Kind::Count | Kind::DistinctCount => vec![Type::Long],
            Kind::Sum if first == Type::Bool => vec![Type::Long],
            Kind::Sum => vec![widened(first)],
            Kind::Min | Kind::Max => vec![first],
            Kind::Average if matches!(first, Type::TimeSpan | Type::DateTime) => vec![first],
            Kind::Average
            | Kind::StandardDeviation
            | Kind::StandardDeviationOfAll
            | Kind::Variance
            | Kind::VarianceOfAll
            | Kind::Covariance
            | Kind::CovarianceOfAll => vec![Type::Real],
            Kind::ArgMin | Kind::ArgMax => arguments.to_vec(),
            Kind::Any if self.has_condition => vec![first],
            Kind::Any => arguments.to_vec(),
            Kind::List | Kind::ListWithNulls | Kind::Set | Kind::Bag | Kind::Schema => vec![Type::Dynamic],
            Kind::PercentileArray | Kind::WeightedPercentileArray => vec![Type::Dynamic],
            Kind::Percentile | Kind::WeightedPercentile => {
                vec![widened(first); arguments.len().saturating_sub(self.kind.before_percentages())]
            }
            Kind::BitAnd | Kind::BitOr | Kind::BitXor => vec![Type::Long],
        }
    }

    /// What a group begins with.
    pub(crate) fn begin(&self) -> State {
        match self.kind {
            Kind::Count => State::Count(0),
            Kind::DistinctCount => State::Set(Distinct::default()),
            Kind::Set => State::Set(Distinct::default()),
            Kind::Sum | Kind::Average => State::Sum { total: Value::Null, count: 0 },
            Kind::Min | Kind::Max => State::Best(Value::Null),
            Kind::ArgMin | Kind::ArgMax | Kind::Any => State::Row(None),
            Kind::List | Kind::ListWithNulls | Kind::Percentile | Kind::PercentileArray => {
                State::List(Vec::new())
            }
            Kind::WeightedPercentile | Kind::WeightedPercentileArray => State::Weighted(Vec::new()),
            Kind::Covariance | Kind::CovarianceOfAll => {
                State::Together { count: 0.0, means: (0.0, 0.0), products: 0.0 }
            }
            Kind::Schema => State::Schema(Box::default()),
            Kind::Bag => State::Bag(Box::default()),
            Kind::StandardDeviation | Kind::StandardDeviationOfAll | Kind::Variance | Kind::VarianceOfAll => {
                State::Moments { count: 0.0, mean: 0.0, squares: 0.0 }
            }
            Kind::BitAnd | Kind::BitOr | Kind::BitXor => State::Best(Value::Null),
        }
    }

    /// Takes a row into account; the answer is how many bytes more are held.
    pub(crate) fn add(&self, state: &mut State, arguments: &[Value]) -> usize {
        let arguments = if self.has_condition {
            match arguments.split_last() {
                Some((Value::Bool(true), rest)) => rest,
                _ => return 0,
            }
        } else {
            arguments
        };
        if let State::Count(count) = state {
            *count += 1;
            return 0;
        }
        let Some(first) = arguments.first() else { return 0 };
        match state {
            State::Count(_) => 0,
            State::Row(row) => self.add_row(row, arguments),
            State::List(items) => {
                let is_full = arguments.get(1).and_then(Value::as_long).filter(|_| self.kind == Kind::List);
                let is_full = is_full.is_some_and(|most| items.len() >= usize::try_from(most).unwrap_or(0));
                if is_full || (first.is_null() && self.kind != Kind::ListWithNulls) {
                    return 0;
                }
                items.push(first.clone());
                first.size()
            }
            _ if first.is_null() => 0,
            State::Set(known) => {
                let most = arguments.get(1).and_then(Value::as_long).filter(|_| self.kind == Kind::Set);
                let is_full = most.is_some_and(|most| known.len() >= usize::try_from(most).unwrap_or(0));
                // `make_set` of arrays takes what is in them.
                if let (Kind::Set, Value::Array(items)) = (self.kind, first) {
                    return items.iter().map(|item| known.add(item, is_full)).sum();
                }
                known.add(first, is_full)
            }
            State::Sum { total, count } => {
                let value =
                    if let Value::Bool(truth) = first { &Value::Long(i64::from(*truth)) } else { first };
                *total = if total.is_null() { value.clone() } else { sum(total, value) };
                *count += 1;
                0
            }
            State::Best(best) => {
                let is_better = match self.kind {
                    _ if best.is_null() => true,
                    Kind::Min => first < &*best,
                    Kind::Max => first > &*best,
                    kind => {
                        if let (Value::Long(one), Value::Long(other)) = (&*best, first) {
                            *best = Value::Long(match kind {
                                Kind::BitAnd => one & other,
                                Kind::BitOr => one | other,
                                _ => one ^ other,
                            });
                        }
                        false
                    }
                };
                if is_better {
                    *best = first.clone();
                }
                0
            }
            State::Bag(members) => {
                let Value::Object(added) = first else { return 0 };
                let mut bytes = 0;
                for (name, value) in added.iter() {
                    // Kusto keeps any of them; we keep the first that is something.
                    match members.get(name) {
                        Some(known) if !known.is_null() => continue,
                        None if members.len() >= BAG_MEMBERS_MAX => continue,
                        _ => {}
                    }
                    bytes += name.len() + 96 + value.size();
                    members.set(name.clone(), value.clone());
                }
                bytes
            }
            State::Weighted(items) => match arguments.get(1).and_then(Value::as_long) {
                Some(weight) if weight > 0 => {
                    items.push((first.clone(), weight));
                    first.size() + 8
                }
                _ => 0,
            },
            State::Schema(schema) => schema.add(first),
            State::Together { count, means, products } => {
                let number = |value: &Value| crate::function::convert(value, Type::Real).as_number();
                let (Some(one), Some(other)) = (number(first), arguments.get(1).and_then(number)) else {
                    return 0;
                };
                *count += 1.0;
                let distance = one - means.0;
                means.0 += distance / *count;
                means.1 += (other - means.1) / *count;
                *products += distance * (other - means.1);
                0
            }
            State::Moments { count, mean, squares } => {
                let Some(number) = crate::function::convert(first, Type::Real).as_number() else { return 0 };
                *count += 1.0;
                let distance = number - *mean;
                *mean += distance / *count;
                *squares += distance * (number - *mean);
                0
            }
        }
    }

    fn add_row(&self, row: &mut Option<Vec<Value>>, arguments: &[Value]) -> usize {
        let is_better = match (&row, self.kind) {
            (None, _) => true,
            // A value rather than nothing.
            (Some(known), Kind::Any) => {
                arguments.len() == 1 && is_nothing(&known[0]) && !is_nothing(&arguments[0])
            }
            (Some(known), Kind::ArgMax) => {
                !arguments[0].is_null() && (known[0].is_null() || arguments[0] > known[0])
            }
            (Some(known), _) => !arguments[0].is_null() && (known[0].is_null() || arguments[0] < known[0]),
        };
        if !is_better {
            return 0;
        }
        let bytes = if row.is_none() { arguments.iter().map(Value::size).sum() } else { 0 };
        *row = Some(arguments.to_vec());
        bytes
    }

    /// The values of its columns.
    pub(crate) fn finish(&self, state: State, types: &[Type], constants: &[Value]) -> Vec<Value> {
        let one = |value: Value| vec![value];
        match state {
            State::Count(count) => one(Value::Long(count)),
            State::Set(known) if self.kind == Kind::DistinctCount => {
                one(Value::Long(i64::try_from(known.len()).unwrap_or(i64::MAX)))
            }
            State::Set(known) => one(Value::array(known.values())),
            State::Sum { total, count } if self.kind == Kind::Average => one(average(&total, count)),
            State::Sum { total, .. } => one(match total {
                Value::Null if types.first().is_some_and(|kind| kind.is_number() && !kind.is_whole()) => {
                    Value::Real(0.0)
                }
                Value::Null if types.first() == Some(&Type::TimeSpan) => Value::TimeSpan(0),
                Value::Null => Value::Long(0),
                total => total,
            }),
            State::Best(Value::Null) => one(types.first().map_or(Value::Null, |kind| kind.nothing())),
            State::Best(best) => one(best),
            State::Row(row) => row.unwrap_or_else(|| types.iter().map(|kind| kind.nothing()).collect()),
            State::List(items) if self.kind == Kind::Percentile => {
                percentiles(items.into_iter().map(|item| (item, 1)).collect(), constants)
            }
            State::List(items) if self.kind == Kind::PercentileArray => {
                let items = items.into_iter().map(|item| (item, 1)).collect();
                one(Value::array(percentiles(items, &spread(constants))))
            }
            State::List(items) => one(Value::array(items)),
            State::Weighted(items) => {
                // The first constant stands where the weights are.
                let percentages = constants.get(1..).unwrap_or_default();
                if self.kind == Kind::WeightedPercentile {
                    percentiles(items, percentages)
                } else {
                    one(Value::array(percentiles(items, &spread(percentages))))
                }
            }
            State::Schema(schema) => one(schema.value()),
            State::Together { count, products, .. } => {
                let divisor = if self.kind == Kind::CovarianceOfAll { count } else { count - 1.0 };
                one(Value::Real(if divisor > 0.0 { products / divisor } else { 0.0 }))
            }
            State::Bag(members) => one(members.value()),
            State::Moments { count, squares, .. } => {
                let is_of_all = matches!(self.kind, Kind::StandardDeviationOfAll | Kind::VarianceOfAll);
                let divisor = if is_of_all { count } else { count - 1.0 };
                let variance = if divisor > 0.0 { squares / divisor } else { 0.0 };
                let is_variance = matches!(self.kind, Kind::Variance | Kind::VarianceOfAll);
                one(Value::Real(if is_variance { variance } else { variance.sqrt() }))
            }
        }
    }
}

/// What a group has come to so far.
#[derive(Debug)]
pub(crate) enum State {
    Count(i64),
    Set(Distinct),
    Sum {
        total: Value,
        count: i64,
    },
    Best(Value),
    Row(Option<Vec<Value>>),
    List(Vec<Value>),
    /// Values, and how often each counts.
    Weighted(Vec<(Value, i64)>),
    Bag(Box<MadeBag>),
    Schema(Box<Schema>),
    /// Of pairs: how many, the means of both, and the sum of products of distances from them.
    Together {
        count: f64,
        means: (f64, f64),
        products: f64,
    },
    Moments {
        count: f64,
        mean: f64,
        squares: f64,
    },
}

/// Distinct values in the order in which they came. Groups may be as many as rows, and most of them have one value:
/// that one has its place here.
#[derive(Debug, Default)]
pub(crate) struct Distinct {
    first: Option<Value>,
    more: Option<Box<More>>,
}

/// Distinct values behind the first.
#[derive(Debug, Default)]
struct More {
    values: Vec<Value>,
    /// The same, once there are many: few are compared one by one.
    known: HashSet<Value, RandomState>,
}

impl Distinct {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.as_ref().map_or(0, |more| more.values.len())
    }

    fn values(self) -> Vec<Value> {
        self.first.into_iter().chain(self.more.map(|more| more.values).unwrap_or_default()).collect()
    }

    /// Adds a value that is something; the answer is how many bytes more are held.
    fn add(&mut self, value: &Value, is_full: bool) -> usize {
        if is_full || value.is_null() || self.first.as_ref() == Some(value) {
            return 0;
        }
        if self.first.is_none() {
            self.first = Some(value.clone());
            return value.size();
        }
        let more = self.more.get_or_insert_default();
        if more.values.len() < FEW {
            if more.values.contains(value) {
                return 0;
            }
        } else {
            if more.known.is_empty() {
                more.known.extend(more.values.iter().cloned());
            }
            if !more.known.insert(value.clone()) {
                return 0;
            }
        }
        more.values.push(value.clone());
        value.size() + 72
    }
}

/// So many values are compared one by one.
const FEW: usize = 8;

/// Sums of whole numbers that do not fit go on as reals.
fn sum(total: &Value, value: &Value) -> Value {
    match crate::compute::arithmetic(crate::syntax::Operator::Add, total, value) {
        Value::Null => match (total.as_number(), value.as_number()) {
            (Some(total), Some(value)) => Value::Real(total + value),
            _ => total.clone(),
        },
        total => total,
    }
}

fn average(total: &Value, count: i64) -> Value {
    match total {
        Value::TimeSpan(ticks) => ticks.checked_div(count).map_or(Value::Null, Value::TimeSpan),
        Value::DateTime(ticks) => ticks.checked_div(count).map_or(Value::Null, Value::DateTime),
        #[expect(clippy::cast_precision_loss, reason = "an average is a real")]
        total => Value::Real(total.as_number().map_or(f64::NAN, |total| total / count as f64)),
    }
}

/// By nearest rank, of values that count so often.
fn percentiles(mut items: Vec<(Value, i64)>, percentages: &[Value]) -> Vec<Value> {
    items.sort();
    // How many there are up to each.
    let upto: Vec<f64> = items
        .iter()
        .scan(0.0, |count, (_, weight)| {
            #[expect(clippy::cast_precision_loss, reason = "a rank")]
            {
                *count += *weight as f64;
            }
            Some(*count)
        })
        .collect();
    let rank = |percent: &Value| {
        let percent = percent.as_number().unwrap_or(50.0).clamp(0.0, 100.0);
        let rank = (percent / 100.0 * upto.last().copied().unwrap_or(0.0)).ceil().max(1.0);
        let place = upto.partition_point(|count| *count < rank);
        items.get(place).map_or(Value::Null, |(item, _)| item.clone())
    };
    percentages.iter().map(rank).collect()
}

/// Percentages, one by one or as an array.
fn spread(percentages: &[Value]) -> Vec<Value> {
    let each = percentages.iter().flat_map(|percentage| match percentage {
        Value::Array(items) => items.to_vec(),
        one => vec![one.clone()],
    });
    each.collect()
}

/// What many values of the type come to need not fit it.
fn widened(kind: Type) -> Type {
    if kind == Type::Int { Type::Long } else { kind }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_text() == Some("")
}

const BAG_MEMBERS_MAX: usize = 10_000;
