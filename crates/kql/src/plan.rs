//! What a query comes to: columns by position, types known, names gone.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use regex::Regex;

use crate::aggregate::Aggregate;
use crate::column::Dictionary;
use crate::column::document::{Texts, Trace};
use crate::column::stem::Stems;
use crate::function::Function;
use crate::source::Table;
use crate::syntax::{JoinKind, Operator, Test};
use crate::value::{Type, Value};

/// A column of rows on their way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Type,
    /// `==` of this column does not tell upper from lower case.
    pub(crate) ignores_case: bool,
}

impl Field {
    pub(crate) fn new(name: impl Into<Arc<str>>, kind: Type) -> Self {
        Self { name: name.into(), kind, ignores_case: false }
    }
}

/// An operator and what feeds it.
pub(crate) struct Plan {
    pub(crate) fields: Vec<Field>,
    pub(crate) op: Op,
}

pub(crate) enum Op {
    Scan {
        table: Arc<dyn Table>,
        needed: Vec<bool>,
    },
    /// Rows that the query itself holds.
    Rows(Arc<Vec<Vec<Value>>>),
    /// So many rows of one column, from a value in equal steps.
    Range {
        from: Value,
        step: Value,
        count: u64,
    },
    Filter(Box<Plan>, Bound),
    /// Every column anew.
    Project(Box<Plan>, Vec<Bound>),
    Summarize {
        input: Box<Plan>,
        keys: Vec<Bound>,
        aggregates: Vec<AggregateCall>,
    },
    Sort {
        input: Box<Plan>,
        keys: Vec<Key>,
        /// Only that many rows are wanted.
        limit: Option<usize>,
    },
    Take(Box<Plan>, usize),
    Join {
        kind: JoinKind,
        left: Box<Plan>,
        right: Box<Plan>,
        left_keys: Vec<Bound>,
        right_keys: Vec<Bound>,
        /// Which columns come out: of the left, then of the right.
        output: Vec<(Side, usize)>,
    },
    /// The legs, and where in each the columns are.
    Union(Vec<(Plan, Vec<Option<usize>>)>),
    Expand {
        input: Box<Plan>,
        expand: Expansion,
    },
    /// The inner plan once a row of the input, over what that row is taken apart into.
    Apply {
        input: Box<Plan>,
        expand: Expansion,
        /// Over the fields of `expand`; begins with [`Op::Lent`].
        inner: Box<Plan>,
        /// Which columns come out: the row's, or the inner plan's.
        output: Vec<(Side, usize)>,
    },
    /// The rows in the order in which they come, with what each call comes to behind their columns. A call may
    /// read the columns of those before it.
    Window(Box<Plan>, Vec<WindowCall>),
    /// What [`Op::Apply`] feeds its inner plan.
    Lent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// A key of an order.
pub(crate) struct Key {
    pub(crate) expr: Bound,
    pub(crate) is_ascending: bool,
    pub(crate) nulls_first: bool,
}

/// Values taken apart into rows: the columns go where `into` says, the others are repeated.
pub(crate) struct Expansion {
    pub(crate) items: Vec<ExpandItem>,
    pub(crate) as_pairs: bool,
    /// Where each element's position goes.
    pub(crate) index: Option<usize>,
    pub(crate) limit: usize,
    /// How many columns come out.
    pub(crate) width: usize,
}

pub(crate) struct ExpandItem {
    pub(crate) expr: Bound,
    pub(crate) into: usize,
    /// The type that elements must have, or become null.
    pub(crate) kind: Option<Type>,
}

/// One aggregate over each group.
pub(crate) struct AggregateCall {
    pub(crate) aggregate: &'static Aggregate,
    pub(crate) arguments: Vec<Bound>,
}

/// A function of a row and the rows beside it.
pub(crate) struct WindowCall {
    pub(crate) kind: WindowKind,
    pub(crate) arguments: Vec<Bound>,
    pub(crate) returns: Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowKind {
    Number,
    Sum,
    DenseRank,
    MinRank,
    Previous,
    Next,
}

/// An expression over the columns of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) kind: Type,
    pub(crate) node: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Const(Value),
    Column(usize),
    Member(Box<Bound>, Arc<str>, Memo),
    Index(Box<Bound>, Box<Bound>, Memo),
    Call(Call, Vec<Bound>, Memo),
    /// A conversion that the types asked for.
    Convert(Box<Bound>, Memo),
    And(Vec<Bound>, Memo),
    Or(Vec<Bound>, Memo),
    Arithmetic(Operator, Box<Bound>, Box<Bound>, Memo),
    /// One of the six comparisons; the flag: of texts in any case.
    Compare(Operator, bool, Box<Bound>, Box<Bound>, Memo),
    Test(Test, Box<Bound>, Box<Bound>, Memo),
    /// A text against a pattern known beforehand.
    Matches(Regex, bool, Box<Bound>, Memo),
    Among(Among, Box<Bound>, Vec<Bound>, Memo),
    Parsed(Arc<crate::parse_operator::Pattern>, Box<Bound>, Memo),
}

#[derive(Clone, Copy)]
pub(crate) struct Call(pub(crate) &'static Function);

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.names)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Among {
    pub(crate) kind: crate::syntax::AmongKind,
    pub(crate) is_negated: bool,
    pub(crate) is_cased: bool,
    /// The others, if they are all known; texts in lower case if case is no matter.
    pub(crate) known: Option<Arc<HashSet<Value>>>,
}

/// What was computed of a dictionary stays for the next batch that has the same one.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    pub(crate) results: RefCell<Option<(Vec<Argument>, Arc<Dictionary>)>>,
    /// The codes that decide nothing, where they are of stems.
    pub(crate) undecided: RefCell<HashSet<u32>>,
    /// What was seen in documents' layers.
    pub(crate) traces: RefCell<Vec<Traces>>,
}

/// Texts, and what was seen in each.
pub(crate) type Traces = (Arc<Texts>, Vec<Option<Trace>>);

/// What a result was computed of: rows that share a code share the result while these are the same.
#[derive(Debug)]
pub(crate) enum Argument {
    Const(Value),
    Coded(Arc<Dictionary>),
    Stemmed(Arc<Stems>),
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Bound {
    pub(crate) fn constant(kind: Type, value: Value) -> Self {
        Self { kind, node: Node::Const(value) }
    }

    pub(crate) fn column(position: usize, field: &Field) -> Self {
        Self { kind: field.kind, node: Node::Column(position) }
    }

    pub(crate) fn as_const(&self) -> Option<&Value> {
        if let Node::Const(value) = &self.node { Some(value) } else { None }
    }

    /// Calls `visit` with each expression right below this one.
    pub(crate) fn children(&self) -> Vec<&Self> {
        match &self.node {
            Node::Const(_) | Node::Column(_) => Vec::new(),
            Node::Member(of, _, _)
            | Node::Convert(of, _)
            | Node::Matches(_, _, of, _)
            | Node::Parsed(_, of, _) => vec![of],
            Node::Index(one, other, _)
            | Node::Arithmetic(_, one, other, _)
            | Node::Compare(_, _, one, other, _)
            | Node::Test(_, one, other, _) => vec![one, other],
            Node::Call(_, many, _) | Node::And(many, _) | Node::Or(many, _) => many.iter().collect(),
            Node::Among(_, one, many, _) => std::iter::once(&**one).chain(many).collect(),
        }
    }

    /// Marks the columns that it reads.
    pub(crate) fn mark(&self, used: &mut [bool]) {
        if let Node::Column(position) = self.node
            && let Some(slot) = used.get_mut(position)
        {
            *slot = true;
        }
        for child in self.children() {
            child.mark(used);
        }
    }
}
