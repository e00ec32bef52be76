//! Scalar functions: what each takes, returns and does.
//!
//! A function sees values that were brought to its parameters' types already (see [`Param`]), and is not
//! called at all where an argument is null, unless it says that it [takes nulls](Function::sees_null).

mod array;
mod bag;
mod bounded;
mod condition;
mod conversion;
mod hash;
mod net;
mod notation;
mod number;
pub(crate) mod pattern;
pub(crate) mod search;
mod set;
mod text;
mod time;
mod url;

#[cfg(test)]
mod tests;

pub(crate) use array::items;
pub(crate) use bounded::MadeBag;
pub(crate) use conversion::convert;
pub(crate) use text::extracted;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use regex::Regex;

use crate::value::{Type, Value};

/// What a function wants in one place. What is given is converted: `dynamic` to anything, anything to
/// text where text is wanted, whole numbers to reals; else the query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    /// Anything, as it is.
    Any,
    Bool,
    Long,
    Real,
    /// A long or a real, as it is; `dynamic` is tried as both.
    Number,
    Text,
    DateTime,
    TimeSpan,
    /// Anything; what is not `dynamic` is taken as such.
    Dynamic,
}

/// The type of what a function returns.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Returns {
    /// Always this.
    Is(Type),
    /// The first argument's.
    First,
    /// The one type that all arguments from this position on can be brought to.
    CommonFrom(usize),
    /// As told by the types of the arguments.
    By(fn(&[Type]) -> Type),
    /// The type whose name stands in this position (`typeof(long)`); text if nothing does, and `dynamic` if
    /// the name differs from row to row.
    Named(usize),
}

/// What an unnamed column is called that a function makes: Kusto's rules, function by function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Naming {
    /// `Column1`, and so on.
    None,
    /// As its first argument would be.
    Argument,
    /// This, `_`, and what its first argument would be called.
    Prefixed(&'static str),
}

/// A scalar function.
pub(crate) struct Function {
    /// Its name and its other names, in lower case.
    pub(crate) names: &'static [&'static str],
    /// The parameters that each call has.
    pub(crate) params: &'static [Param],
    /// Those that a call may have besides, in order.
    pub(crate) optional: &'static [Param],
    /// What every further argument is, if there may be any.
    pub(crate) rest: Option<Param>,
    pub(crate) returns: Returns,
    /// Called with nulls, too; else null for any makes null.
    pub(crate) sees_null: bool,
    /// How an unnamed column that is made by it is called.
    pub(crate) naming: Naming,
    pub(crate) call: fn(&mut Scratch, &[Value]) -> Value,
}

impl Function {
    /// What most functions are like: strict, and without a name of their own for columns.
    pub(crate) const fn new(
        names: &'static [&'static str],
        params: &'static [Param],
        returns: Returns,
        call: fn(&mut Scratch, &[Value]) -> Value,
    ) -> Self {
        let (sees_null, naming) = (false, Naming::None);
        Self { names, params, optional: &[], rest: None, returns, sees_null, naming, call }
    }

    pub(crate) const fn optional(mut self, optional: &'static [Param]) -> Self {
        self.optional = optional;
        self
    }

    pub(crate) const fn rest(mut self, rest: Param) -> Self {
        self.rest = Some(rest);
        self
    }

    pub(crate) const fn sees_null(mut self) -> Self {
        self.sees_null = true;
        self
    }

    pub(crate) const fn keeps_name(mut self) -> Self {
        self.naming = Naming::Argument;
        self
    }

    pub(crate) const fn prefixes_name(mut self, prefix: &'static str) -> Self {
        self.naming = Naming::Prefixed(prefix);
        self
    }

    /// The parameter in this position.
    pub(crate) fn param(&self, position: usize) -> Option<Param> {
        let optional = || self.optional.get(position.checked_sub(self.params.len())?);
        self.params.get(position).or_else(optional).copied().or(self.rest)
    }

    /// How many arguments it takes: at least, and at most if there is a most.
    pub(crate) fn arity(&self) -> (usize, Option<usize>) {
        let least = self.params.len();
        (least, self.rest.is_none().then_some(least + self.optional.len()))
    }
}

/// The function of that name. Kusto's are in lower case; so are these, but any case finds them.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Function>> = LazyLock::new(|| {
        let functions = MODULES.iter().flat_map(|module| module.iter());
        functions.flat_map(|function| function.names.iter().map(move |name| (*name, function))).collect()
    });
    BY_NAME.get(name.to_ascii_lowercase().as_str()).copied()
}

const MODULES: &[&[Function]] = &[
    array::FUNCTIONS,
    bag::FUNCTIONS,
    condition::FUNCTIONS,
    conversion::FUNCTIONS,
    hash::FUNCTIONS,
    net::FUNCTIONS,
    notation::FUNCTIONS,
    number::FUNCTIONS,
    set::FUNCTIONS,
    text::FUNCTIONS,
    time::FUNCTIONS,
    url::FUNCTIONS,
];

/// What functions use from row to row.
pub(crate) struct Scratch {
    /// When the query began, in ticks since 1970.
    pub(crate) now: i64,
    regexes: HashMap<Arc<str>, Option<Arc<Regex>>>,
    failure: Option<String>,
}

impl Scratch {
    pub(crate) fn new(now: i64) -> Self {
        Self { now, regexes: HashMap::new(), failure: None }
    }

    /// The compiled pattern. If it is none, or asks for what linear time cannot give, the query fails.
    pub(crate) fn regex(&mut self, pattern: &Arc<str>) -> Option<Arc<Regex>> {
        if let Some(known) = self.regexes.get(pattern) {
            return known.clone();
        }
        // Patterns that come from rows must not fill the memory.
        if self.regexes.len() >= REGEXES_MAX {
            self.regexes.clear();
        }
        let compiled = match crate::function::pattern::compile(pattern) {
            Ok(regex) => Some(Arc::new(regex)),
            Err(error) => {
                self.fail(error.to_string());
                None
            }
        };
        self.regexes.insert(Arc::clone(pattern), compiled.clone());
        compiled
    }

    /// True if that many steps are not too many for one value; else the query fails.
    pub(crate) fn affords(&mut self, one: usize, times: usize) -> bool {
        let is_fine = one.saturating_mul(times) <= STEPS_MAX;
        if !is_fine {
            self.fail(format!("{times} things to look for in a value of {one} bytes are too many."));
        }
        is_fine
    }

    /// Lets the query fail, once the batch of rows is done. The first failure is the one that is told.
    pub(crate) fn fail(&mut self, message: String) {
        self.failure.get_or_insert(message);
    }

    /// Why the query fails, if it does.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        self.failure.take()
    }
}

/// For one value: about a second.
const STEPS_MAX: usize = 1 << 30;
const REGEXES_MAX: usize = 64;
/// The most that one value may take: what is larger fails the query. Functions stop a little above it.
pub(crate) const VALUE_BYTES_MAX: usize = 1024 * 1024;
