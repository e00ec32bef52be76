//! The syntax tree of a query.

mod print;

use crate::value::{Type, Value};

/// A whole query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What is given a name first.
    pub lets: Vec<Let>,
    /// What is asked for.
    pub body: Pipeline,
}

/// `let name = …;`
#[derive(Clone, Debug, PartialEq)]
pub struct Let {
    /// The name.
    pub name: String,
    /// What it stands for.
    pub value: LetValue,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum LetValue {
    /// A scalar. A lone name and a call are scalars, too, unless they turn out to name rows.
    Scalar(Expr),
    /// Rows.
    Table(Pipeline),
    /// A function.
    Lambda(Lambda),
}

/// `(a:string, b:long = 1) { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    /// What it takes.
    pub parameters: Vec<Parameter>,
    /// What is given a name within.
    pub lets: Vec<Let>,
    /// What it returns.
    pub body: Box<LetValue>,
}

/// A parameter of a lambda.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type; `None` for rows.
    pub kind: Option<Type>,
    /// What it is when a call leaves it out.
    pub default: Option<Expr>,
}

/// Rows from somewhere, and what is done with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Where the rows come from.
    pub source: Source,
    /// What is done with them, in order.
    pub steps: Vec<Step>,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The query began with an operator: the table `resources`.
    Default,
    /// A table, or a name given by `let`.
    Named(String),
    /// A lambda's rows.
    Call(String, Vec<Argument>),
    /// `( … )`
    Nested(Box<Pipeline>),
    /// `union …`
    Union(Union),
    /// `print …`
    Print(Vec<Named>),
    /// `range name from a to b step c`
    Range {
        /// The column.
        name: String,
        /// The first value.
        from: Expr,
        /// The last, at most.
        to: Expr,
        /// From one to the next.
        step: Expr,
    },
    /// `datatable (a:string) [ … ]`
    Rows {
        /// The columns.
        columns: Vec<(String, Type)>,
        /// The values, row by row.
        cells: Vec<Expr>,
    },
    /// `{{id}}`: a saved query.
    Saved(String),
}

/// An argument of a lambda.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A scalar, or a name.
    Scalar(Expr),
    /// Rows.
    Table(Pipeline),
}

/// `union kind=outer withsource=name a, (b | …)`
#[derive(Clone, Debug, PartialEq)]
pub struct Union {
    /// Keeps only the columns that all legs have.
    pub is_inner: bool,
    /// The column that names the leg.
    pub source_column: Option<String>,
    /// The legs.
    pub legs: Vec<Pipeline>,
}

/// An expression with the name or names of its column, if it has any.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// One, or several where an expression makes several columns: `(a, b) = arg_max(…)`.
    pub names: Vec<String>,
    /// The expression.
    pub expr: Expr,
}

/// What is done with rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// `where predicate`
    Where(Expr),
    /// `extend a = …`
    Extend(Vec<Named>),
    /// `project a, b = …`
    Project(Vec<Named>),
    /// `project-away a, b*`
    ProjectAway(Vec<String>),
    /// `project-keep a, b*`
    ProjectKeep(Vec<String>),
    /// `project-rename new = old`
    ProjectRename(Vec<(String, String)>),
    /// `project-reorder a, b* asc`
    ProjectReorder(Vec<(String, Option<bool>)>),
    /// `summarize aggregates by keys`
    Summarize {
        /// The aggregates.
        aggregates: Vec<Named>,
        /// The keys.
        by: Vec<Named>,
    },
    /// `distinct a, b`; `None` for `distinct *`.
    Distinct(Option<Vec<Named>>),
    /// `count`, with the name of the column.
    Count(Option<String>),
    /// `top n by key`
    Top(Expr, Vec<SortKey>),
    /// `sort by keys`
    Sort(Vec<SortKey>),
    /// `take n`
    Take(Expr),
    /// `join …`
    Join(Join),
    /// `union` in the middle: the rows that came so far are the first leg.
    Union(Union),
    /// `mv-expand …`
    MvExpand(Expand),
    /// `mv-apply … on ( … )`
    MvApply(Expand, Vec<Step>),
    /// `parse expr with …`
    Parse(Parse),
    /// `search "text"`
    Search(Expr),
    /// `getschema`
    GetSchema,
    /// `serialize a = …`
    Serialize(Vec<Named>),
}

/// A key of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct SortKey {
    /// The key.
    pub expr: Expr,
    /// From small to large.
    pub is_ascending: bool,
    /// Nulls come first; as told, or first when ascending.
    pub nulls_first: bool,
}

/// How rows of two sides are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Of the left rows that have equal keys only one.
    InnerUnique,
    /// Every pair.
    Inner,
    /// Every pair, and left rows without one.
    LeftOuter,
    /// Every pair, and right rows without one.
    RightOuter,
    /// Every pair, and the rows of both sides without one.
    FullOuter,
    /// Left rows that have a partner.
    LeftSemi,
    /// Right rows that have a partner.
    RightSemi,
    /// Left rows that have none.
    LeftAnti,
    /// Right rows that have none.
    RightAnti,
}

impl JoinKind {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 12] = [
        ("innerunique", Self::InnerUnique),
        ("inner", Self::Inner),
        ("leftouter", Self::LeftOuter),
        ("rightouter", Self::RightOuter),
        ("fullouter", Self::FullOuter),
        ("leftsemi", Self::LeftSemi),
        ("rightsemi", Self::RightSemi),
        ("leftanti", Self::LeftAnti),
        ("rightanti", Self::RightAnti),
        ("anti", Self::LeftAnti),
        ("leftantisemi", Self::LeftAnti),
        ("rightantisemi", Self::RightAnti),
    ];
}

/// `join kind=… (right) on …`
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The kind.
    pub kind: JoinKind,
    /// `lookup`: the right side's keys are left out of the result.
    pub is_lookup: bool,
    /// The right side.
    pub right: Box<Pipeline>,
    /// Pairs of columns that must be equal, left and right.
    pub on: Vec<(Expr, Expr)>,
}

/// What `mv-expand` and `mv-apply` take apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Expand {
    /// Bags become `[key, value]` rather than bags of one member.
    pub as_pairs: bool,
    /// The column of each element's position.
    pub index: Option<String>,
    /// What is taken apart, side by side, and the type of its elements.
    pub items: Vec<(Named, Option<Type>)>,
    /// Rows made of one row at most.
    pub limit: Option<Expr>,
}

/// `parse expr with …`
#[derive(Clone, Debug, PartialEq)]
pub struct Parse {
    /// How the texts of the pattern are meant.
    pub kind: ParseKind,
    /// Flags of the regular expression.
    pub flags: Option<String>,
    /// Rows that do not fit are left out.
    pub is_where: bool,
    /// What is read.
    pub expr: Expr,
    /// The pattern.
    pub pattern: Vec<ParsePart>,
}

/// How `parse` means its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseKind {
    /// As they are; all or nothing.
    Simple,
    /// As regular expressions.
    Regex,
    /// As they are; a value that is none of its column's type is null alone.
    Relaxed,
}

/// A part of the pattern of `parse`.
#[derive(Clone, Debug, PartialEq)]
pub enum ParsePart {
    /// `*`
    Skip,
    /// A text.
    Text(String),
    /// A column.
    Column(String, Type),
}

/// What combines two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `==`
    Equal,
    /// `!=`, `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// A test of texts.
    Text(Test),
}

/// What is tested of two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// What.
    pub kind: TestKind,
    /// True is false.
    pub is_negated: bool,
    /// Upper and lower case differ.
    pub is_cased: bool,
}

/// See [`Test`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestKind {
    /// `=~`
    Equal,
    /// `contains`
    Contains,
    /// `startswith`
    StartsWith,
    /// `endswith`
    EndsWith,
    /// `has`
    Has,
    /// `hasprefix`
    HasPrefix,
    /// `hassuffix`
    HasSuffix,
    /// `matches regex`
    Matches,
}

/// Whether a value is among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmongKind {
    /// `in`, `in~`
    In,
    /// `has_any`
    HasAny,
    /// `has_all`
    HasAll,
}

/// The others of a [`AmongKind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Others {
    /// Each given.
    List(Vec<Expr>),
    /// The first column of these rows.
    Table(Box<Pipeline>),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A value.
    Literal(Type, Value),
    /// A column, or a name given by `let`.
    Name(String),
    /// `*`: any column, as the left side of a test.
    Star,
    /// `a.b`, `a['b']`
    Member(Box<Expr>, String),
    /// `a[0]`, `a[expr]`
    Index(Box<Expr>, Box<Expr>),
    /// `f(a, b)`
    Call(String, Vec<Expr>),
    /// `f(a = 1)`: an argument with its parameter's name.
    Named(String, Box<Expr>),
    /// `-a`
    Negate(Box<Expr>),
    /// `a and b and …`
    And(Vec<Expr>),
    /// `a or b or …`
    Or(Vec<Expr>),
    /// `a + b`
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `a in (…)`
    Among {
        /// What is tested.
        kind: AmongKind,
        /// True is false.
        is_negated: bool,
        /// Upper and lower case differ.
        is_cased: bool,
        /// The one.
        left: Box<Expr>,
        /// The others.
        others: Others,
    },
    /// `a between (b .. c)`
    Between {
        /// True is false.
        is_negated: bool,
        /// The value.
        value: Box<Expr>,
        /// The least.
        from: Box<Expr>,
        /// The greatest.
        to: Box<Expr>,
    },
    /// `toscalar( … )`
    ToScalar(Box<Pipeline>),
    /// `typeof(string)`
    TypeOf(Type),
}
