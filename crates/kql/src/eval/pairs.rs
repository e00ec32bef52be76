//! Functions of values that come in two kinds of codes: what a finding says and what its image says, say.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{Context, computed};
use crate::column::{Codes, Column, Dictionary};
use crate::value::Value;

/// A function of the rows' values, computed once a pair of codes; `None` if the columns have other than two
/// kinds of codes, or if there are nearly as many pairs as rows.
pub(super) fn apply(
    context: &Context<'_>,
    columns: &[Column],
    rows: usize,
    compute: &mut impl FnMut(&[Value]) -> Value,
) -> Option<Column> {
    let (one, other) = two_kinds(columns)?;
    let mut numbers: HashMap<u64, u32, RandomState> = HashMap::default();
    let mut codes = Vec::with_capacity(rows);
    // The row with which each pair begins.
    let mut firsts = Vec::new();
    let mut last = (u64::MAX, 0);
    for (row, (one, other)) in one.iter().zip(other.iter()).enumerate() {
        let pair = u64::from(*one) << 32 | u64::from(*other);
        if pair != last.0 {
            let next = u32::try_from(firsts.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(pair).or_insert(next);
            if number == next {
                firsts.push(row);
                if firsts.len() > PAIRS_MIN && firsts.len() * 2 > row {
                    return None;
                }
            }
            last = (pair, number);
        }
        codes.push(last.1);
    }
    let values = Arc::new(Dictionary::of(computed(context, columns, firsts.into_iter(), compute)));
    Some(Column::Coded { codes: Arc::new(codes), values })
}

fn two_kinds(columns: &[Column]) -> Option<(&Codes, &Codes)> {
    let mut kinds: Vec<&Codes> = Vec::with_capacity(2);
    for column in columns {
        match column {
            Column::Const(_) => {}
            Column::Coded { codes, .. } if kinds.iter().any(|known| Arc::ptr_eq(known, codes)) => {}
            Column::Coded { codes, .. } => kinds.push(codes),
            _ => return None,
        }
    }
    match kinds.as_slice() {
        [one, other] => Some((one, other)),
        _ => None,
    }
}

/// So many pairs are tried before it is asked whether they are too many.
const PAIRS_MIN: usize = 64;
