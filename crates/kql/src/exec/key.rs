//! Which group a row belongs to: rows whose keys are equal, column by column, are of one group.
//!
//! Each column's values are numbered; where the column is coded, once a code. A group is a chain of such
//! numbers, and each link of the chain is looked up by two numbers, whatever the values are.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::column::{Column, Dictionary};
use crate::value::Value;

/// The groups met so far, numbered in the order in which they were met.
pub(super) struct Groups {
    columns: Vec<Numbers>,
    /// Of each column: what the group up to it and the column's number come to.
    links: Vec<HashMap<u64, u32, RandomState>>,
    /// The columns' numbers, group by group.
    groups: Vec<u32>,
    len: usize,
}

/// The distinct values of one column.
#[derive(Default)]
struct Numbers {
    by_value: HashMap<Value, u32, RandomState>,
    values: Vec<Value>,
    /// The numbers of codes, while the dictionary stays the same.
    by_code: Vec<u32>,
    dictionary: Option<Arc<Dictionary>>,
}

impl Groups {
    /// Groups by as many columns. By none there is one group, rows or not.
    pub(super) fn new(columns: usize) -> Self {
        Self {
            columns: (0..columns).map(|_| Numbers::default()).collect(),
            links: (1..columns).map(|_| HashMap::default()).collect(),
            groups: Vec::new(),
            len: usize::from(columns == 0),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The group of each row, and how many bytes more are held.
    pub(super) fn of(&mut self, keys: &[Column], rows: usize) -> (Vec<u32>, usize) {
        let mut bytes = 0;
        let numbered =
            self.columns.iter_mut().zip(keys).map(|(column, key)| column.of(key, rows, &mut bytes));
        let numbered: Vec<Vec<u32>> = numbered.collect();
        let Some(first) = numbered.first() else { return (vec![0; rows], 0) };
        let Some((last, links)) = self.links.split_last_mut() else {
            let known = self.len;
            self.len = self.columns.first().map_or(0, |column| column.values.len());
            self.groups.extend((known..self.len).map(number));
            return (first.clone(), bytes);
        };
        let mut found = first.clone();
        for (link, numbers) in links.iter_mut().zip(&numbered[1..]) {
            let before = link.len();
            follow(link, &mut found, numbers, |_| {});
            bytes += (link.len() - before) * LINK_BYTES;
        }
        let (groups, before) = (&mut self.groups, last.len());
        let new = |row: usize| groups.extend(numbered.iter().map(|numbers| numbers[row]));
        follow(last, &mut found, &numbered[numbered.len() - 1], new);
        self.len = last.len();
        bytes += (self.len - before) * (LINK_BYTES + numbered.len() * size_of::<u32>());
        (found, bytes)
    }

    /// The groups' keys, column by column.
    pub(super) fn columns(self) -> Vec<Vec<Value>> {
        let width = self.columns.len();
        let column = |(at, column): (usize, &Numbers)| {
            let numbers = self.groups.iter().skip(at).step_by(width.max(1));
            numbers
                .map(|number| column.values.get(*number as usize).cloned().unwrap_or(Value::Null))
                .collect()
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// One link further: `found` becomes the number of each pair. `new` is told the row of each pair not met before.
fn follow(
    link: &mut HashMap<u64, u32, RandomState>,
    found: &mut [u32],
    numbers: &[u32],
    mut new: impl FnMut(usize),
) {
    // Rows of one image come together.
    let mut last = (u64::MAX, 0);
    for (row, (found, column)) in found.iter_mut().zip(numbers).enumerate() {
        let pair = u64::from(*found) << 32 | u64::from(*column);
        if pair != last.0 {
            let next = number(link.len());
            let of_pair = *link.entry(pair).or_insert(next);
            if of_pair == next {
                new(row);
            }
            last = (pair, of_pair);
        }
        *found = last.1;
    }
}

impl Numbers {
    /// The number of each row's value; `bytes` grows by what is held from now on.
    fn of(&mut self, key: &Column, rows: usize, bytes: &mut usize) -> Vec<u32> {
        match key {
            Column::Coded { codes, values } => {
                if !self.dictionary.as_ref().is_some_and(|known| Arc::ptr_eq(known, values)) {
                    *bytes += values.len().saturating_sub(self.by_code.len()) * size_of::<u32>();
                    self.by_code.clear();
                    self.by_code.resize(values.len(), UNKNOWN);
                    self.dictionary = Some(Arc::clone(values));
                }
                let number = |code: &u32| {
                    let known = self.by_code.get(*code as usize).copied().unwrap_or(UNKNOWN);
                    if known != UNKNOWN {
                        return known;
                    }
                    let number = self.number(values.get(*code), bytes);
                    if let Some(slot) = self.by_code.get_mut(*code as usize) {
                        *slot = number;
                    }
                    number
                };
                codes.iter().map(number).collect()
            }
            Column::Const(value) => vec![self.number(value, bytes); rows],
            other => (0..rows).map(|row| self.number(&other.get(row), bytes)).collect(),
        }
    }

    fn number(&mut self, value: &Value, bytes: &mut usize) -> u32 {
        if let Some(known) = self.by_value.get(value) {
            return *known;
        }
        let number = number(self.values.len());
        *bytes += LINK_BYTES + 2 * size_of::<Value>() + value.size();
        self.by_value.insert(value.clone(), number);
        self.values.push(value.clone());
        number
    }
}

/// A position as it is counted here; memory ends long before the numbers do.
fn number(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(UNKNOWN)
}

const UNKNOWN: u32 = u32::MAX;
/// What an entry of a map takes, about.
const LINK_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_are_one_group_however_they_come() {
        let coded = |codes: &[u32], values: &[i64]| Column::Coded {
            codes: Arc::new(codes.to_vec()),
            values: Arc::new(Dictionary::of(values.iter().map(|value| Value::Long(*value)))),
        };
        let plain = |values: &[i64]| Column::plain(values.iter().map(|value| Value::Long(*value)).collect());
        let constant = Column::Const(Value::Long(7));
        let mut groups = Groups::new(3);
        // Two codes for one value, then the same value without a code, then in another place.
        assert_eq!(
            groups.of(&[coded(&[0, 1, 2], &[5, 5, 6]), constant.clone(), plain(&[1, 1, 1])], 3).0,
            [0, 0, 1]
        );
        assert_eq!(groups.of(&[plain(&[6, 5]), plain(&[7, 8]), constant.clone()], 2).0, [2, 3]);
        assert_eq!(groups.of(&[coded(&[1], &[0, 5]), constant, plain(&[1])], 1).0, [0]);
        assert_eq!(groups.len(), 4);
        let columns: Vec<Vec<i64>> = groups
            .columns()
            .iter()
            .map(|column| column.iter().filter_map(Value::as_long).collect())
            .collect();
        assert_eq!(columns, [vec![5, 6, 6, 5], vec![7, 7, 7, 8], vec![1, 1, 7, 7]]);
        let mut one = Groups::new(1);
        assert_eq!(one.of(&[plain(&[3, 4, 3])], 3).0, [0, 1, 0]);
        assert_eq!((one.len(), one.columns()), (2, vec![vec![Value::Long(3), Value::Long(4)]]));
        let mut none = Groups::new(0);
        assert_eq!((none.of(&[], 2).0, none.len()), (vec![0, 0], 1));
    }
}
