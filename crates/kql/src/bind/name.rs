//! What columns are called that the query gives no name.

use std::collections::HashSet;
use std::sync::Arc;

use crate::aggregate;
use crate::function::{self, Naming};
use crate::plan::Field;
use crate::syntax::Expr;
use crate::value::{Type, Value};

/// The name that an expression suggests: of a column, its name; of a path, its parts; of a conversion,
/// what it converts.
pub(super) fn natural(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Name(name) => Some(name.clone()),
        Expr::Member(of, name) => Some(format!("{}_{name}", natural(of).filter(|_| is_path(of))?)),
        Expr::Index(of, at) => match &**at {
            Expr::Literal(Type::Long, Value::Long(at)) if *at >= 0 => {
                Some(format!("{}_{at}", natural(of).filter(|_| is_path(of))?))
            }
            _ => None,
        },
        Expr::Named(_, expr) => natural(expr),
        Expr::Call(name, arguments) => {
            let first = arguments.first();
            if let Some(aggregate) = aggregate::find(name) {
                let of = first.and_then(natural).unwrap_or_default();
                return Some(match aggregate.prefix {
                    "" => of,
                    prefix => format!("{prefix}_{of}"),
                });
            }
            match function::find(name)?.naming {
                Naming::None => None,
                Naming::Argument => natural(first?),
                Naming::Prefixed(prefix) => Some(format!("{prefix}_{}", natural(first?)?)),
            }
        }
        _ => None,
    }
}

fn is_path(expr: &Expr) -> bool {
    match expr {
        Expr::Name(_) => true,
        Expr::Member(of, _) | Expr::Index(of, _) => is_path(of),
        _ => false,
    }
}

/// Names for columns, each taken once.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<Arc<str>>,
    unnamed: usize,
}

impl Names {
    /// The name, or the name with the first number that makes it unique.
    pub(super) fn unique(&mut self, name: &str) -> Arc<str> {
        let mut candidate: Arc<str> = Arc::from(name);
        let mut number = 0_usize;
        while !self.taken.insert(Arc::clone(&candidate)) {
            number += 1;
            candidate = Arc::from(format!("{name}{number}"));
        }
        candidate
    }

    /// The name that the expression suggests, or `Column` with a number.
    pub(super) fn of(&mut self, expr: &Expr) -> Arc<str> {
        match natural(expr).filter(|name| !name.is_empty()) {
            Some(name) => self.unique(&name),
            None => self.numbered(),
        }
    }

    /// `Column` with a number.
    pub(super) fn numbered(&mut self) -> Arc<str> {
        self.unnamed += 1;
        let name = format!("Column{}", self.unnamed);
        self.unique(&name)
    }
}

/// Gives columns that share a name numbers.
pub(super) fn make_unique(fields: &mut [Field]) {
    let mut names = Names::default();
    for field in fields {
        field.name = names.unique(&field.name);
    }
}
