//! Which group a row belongs to: rows whose keys are equal, column by column, are of one group.
//!
//! Each column's values are numbered; where the column is coded, once a code. Columns that share their codes are
//! numbered together, once a code as well. A group is a chain of such numbers, and each link of the chain is
//! looked up by two numbers, whatever the values are.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::column::{Codes, Column, Dictionary};
use crate::value::Value;

/// The groups met so far, numbered in the order in which they were met.
pub(super) struct Groups {
    width: usize,
    /// Columns that shared their codes when they were first seen.
    sets: Vec<Set>,
    chain: Chain,
}

/// Some of the columns, and the distinct rows of them.
struct Set {
    /// Which columns.
    places: Vec<usize>,
    columns: Vec<Numbers>,
    chain: Chain,
    /// The numbers of codes, while the dictionaries stay the same.
    by_code: Vec<u32>,
    dictionaries: Vec<Arc<Dictionary>>,
}

/// Numbers put one behind the other, each distinct row of them numbered.
#[derive(Default)]
struct Chain {
    /// One for each number but the first.
    links: Vec<Link>,
    /// The numbers, row by row.
    rows: Vec<u32>,
    width: usize,
    len: usize,
}

/// What a chain and one more number come to: pairs, numbered in the order in which they were met.
///
/// Keys often follow from each other (a severity from its flaw): then a chain has one number behind it, which is found
/// without a look into a map.
#[derive(Default)]
struct Link {
    /// The number that was met first behind each chain, and what the pair came to.
    firsts: Vec<(u32, u32)>,
    /// The other pairs.
    more: HashMap<u64, u32, RandomState>,
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
        Self { width: columns, sets: Vec::new(), chain: Chain::new(0) }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        if self.width == 0 { 1 } else { self.chain.len }
    }

    /// The group of each row, and how many bytes more are held.
    pub(super) fn of(&mut self, keys: &[Column], rows: usize) -> (Vec<u32>, usize) {
        if self.width == 0 {
            return (vec![0; rows], 0);
        }
        if rows == 0 {
            // A constant is there without a row; a group is not.
            return (Vec::new(), 0);
        }
        if self.sets.is_empty() {
            self.sets = sets(keys);
            self.chain = Chain::new(self.sets.len());
        }
        let mut bytes = 0;
        let numbered: Vec<Vec<u32>> =
            self.sets.iter_mut().map(|set| set.of(keys, rows, &mut bytes)).collect();
        let found = self.chain.of(numbered, &mut bytes);
        (found, bytes)
    }

    /// The groups' keys, column by column.
    pub(super) fn columns(self) -> Vec<Column> {
        let mut columns = vec![Column::Const(Value::Null); self.width];
        for (at, set) in self.sets.into_iter().enumerate() {
            let of_group: Vec<u32> = self.chain.column(at).collect();
            for (within, (place, column)) in set.places.iter().zip(set.columns).enumerate() {
                let of_set: Vec<u32> = set.chain.column(within).collect();
                let number = |row: &u32| of_set.get(*row as usize).copied().unwrap_or(UNKNOWN);
                let codes: Codes = Arc::new(of_group.iter().map(number).collect());
                if let Some(slot) = columns.get_mut(*place) {
                    *slot = Column::Coded { codes, values: Arc::new(Dictionary::of(column.values)) };
                }
            }
        }
        columns
    }
}

/// The columns, those together that share their codes.
fn sets(keys: &[Column]) -> Vec<Set> {
    let mut sets: Vec<(Option<&Codes>, Vec<usize>)> = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        let codes = if let Column::Coded { codes, .. } = key { Some(codes) } else { None };
        let shares = |known: &Option<&Codes>| match (known, codes) {
            (Some(known), Some(codes)) => Arc::ptr_eq(known, codes),
            _ => false,
        };
        match sets.iter_mut().find(|(known, _)| shares(known)) {
            Some((_, places)) => places.push(place),
            None => sets.push((codes, vec![place])),
        }
    }
    sets.into_iter().map(|(_, places)| Set::new(places)).collect()
}

impl Set {
    fn new(places: Vec<usize>) -> Self {
        let columns: Vec<Numbers> = places.iter().map(|_| Numbers::default()).collect();
        let chain = Chain::new(columns.len());
        Self { places, columns, chain, by_code: Vec::new(), dictionaries: Vec::new() }
    }

    /// The number of each row's values.
    fn of(&mut self, keys: &[Column], rows: usize, bytes: &mut usize) -> Vec<u32> {
        let keys: Vec<&Column> = self.places.iter().filter_map(|place| keys.get(*place)).collect();
        match shared(&keys) {
            Some(codes) if keys.len() > 1 => self.of_codes(&keys, codes, bytes),
            _ => {
                let columns = self.columns.iter_mut().zip(keys);
                let numbered = columns.map(|(column, key)| column.of(key, rows, bytes)).collect();
                self.chain.of(numbered, bytes)
            }
        }
    }

    /// As [`Set::of`], where all columns have these codes.
    fn of_codes(&mut self, keys: &[&Column], codes: &Codes, bytes: &mut usize) -> Vec<u32> {
        let dictionaries = keys.iter().filter_map(|key| match key {
            Column::Coded { values, .. } => Some(values),
            _ => None,
        });
        let is_same = self.dictionaries.len() == keys.len()
            && dictionaries.clone().zip(&self.dictionaries).all(|(one, other)| Arc::ptr_eq(one, other));
        if !is_same {
            self.dictionaries = dictionaries.map(Arc::clone).collect();
            let len = self.dictionaries.iter().map(|values| values.len()).max().unwrap_or(0);
            *bytes += len.saturating_sub(self.by_code.len()) * size_of::<u32>();
            self.by_code.clear();
            self.by_code.resize(len, UNKNOWN);
        }
        let mut number = |code: &u32| {
            let known = self.by_code.get(*code as usize).copied().unwrap_or(UNKNOWN);
            if known != UNKNOWN {
                return known;
            }
            let columns = self.columns.iter_mut().zip(&self.dictionaries);
            let row = columns.map(|(column, values)| vec![column.number(values.get(*code), bytes)]);
            let number = self.chain.of(row.collect(), bytes).first().copied().unwrap_or(UNKNOWN);
            if let Some(slot) = self.by_code.get_mut(*code as usize) {
                *slot = number;
            }
            number
        };
        codes.iter().map(&mut number).collect()
    }
}

/// The codes of all these columns, if they are the same.
fn shared<'a>(keys: &[&'a Column]) -> Option<&'a Codes> {
    let mut codes = keys.iter().map(|key| match key {
        Column::Coded { codes, .. } => Some(codes),
        _ => None,
    });
    let first = codes.next()??;
    codes.all(|other| other.is_some_and(|other| Arc::ptr_eq(first, other))).then_some(first)
}

impl Chain {
    fn new(width: usize) -> Self {
        let links = (1..width).map(|_| Link::default()).collect();
        Self { links, rows: Vec::new(), width, len: 0 }
    }

    /// The number of each row of these columns' numbers.
    fn of(&mut self, mut numbered: Vec<Vec<u32>>, bytes: &mut usize) -> Vec<u32> {
        let Some((last, links)) = self.links.split_last_mut() else {
            // One column's numbers are the rows' numbers.
            let only = numbered.pop().unwrap_or_default();
            self.len = only.iter().map(|number| *number as usize + 1).fold(self.len, usize::max);
            return only;
        };
        let mut found = numbered.first().cloned().unwrap_or_default();
        for (link, numbers) in links.iter_mut().zip(numbered.iter().skip(1)) {
            let before = link.len;
            link.follow(&mut found, numbers, |_| {});
            *bytes += (link.len - before) * LINK_BYTES;
        }
        let (rows, before) = (&mut self.rows, last.len);
        let new = |row: usize| rows.extend(numbered.iter().map(|numbers| numbers[row]));
        last.follow(&mut found, numbered.last().map_or(&[], Vec::as_slice), new);
        self.len = last.len;
        *bytes += (self.len - before) * (LINK_BYTES + numbered.len() * size_of::<u32>());
        found
    }

    /// The numbers of one column, distinct row by distinct row.
    fn column(&self, at: usize) -> Box<dyn Iterator<Item = u32> + '_> {
        if self.width == 1 {
            return Box::new((0..self.len).map(number));
        }
        Box::new(self.rows.iter().skip(at).step_by(self.width.max(1)).copied())
    }
}

impl Link {
    /// One link further: `found` becomes the number of each pair. `new` is told the row of each pair not met before.
    fn follow(&mut self, found: &mut [u32], numbers: &[u32], mut new: impl FnMut(usize)) {
        // Rows of one image come together.
        let mut last = (u64::MAX, 0);
        for (row, (found, column)) in found.iter_mut().zip(numbers).enumerate() {
            let pair = u64::from(*found) << 32 | u64::from(*column);
            if pair != last.0 {
                let before = self.len;
                last = (pair, self.of(*found, *column, pair));
                if self.len > before {
                    new(row);
                }
            }
            *found = last.1;
        }
    }

    fn of(&mut self, chain: u32, column: u32, pair: u64) -> u32 {
        let (at, next) = (chain as usize, number(self.len));
        if at >= self.firsts.len() && chain != UNKNOWN {
            self.firsts.resize(at + 1, (UNKNOWN, UNKNOWN));
        }
        let of_pair = match self.firsts.get_mut(at) {
            Some(first @ (_, UNKNOWN)) => {
                *first = (column, next);
                next
            }
            Some((known, of_pair)) if *known == column => *of_pair,
            _ => *self.more.entry(pair).or_insert(next),
        };
        self.len += usize::from(of_pair == next);
        of_pair
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

    /// The groups' keys, column by column.
    fn shown(groups: Groups) -> Vec<Vec<i64>> {
        let len = groups.len();
        let columns = groups.columns();
        columns.iter().map(|column| (0..len).filter_map(|row| column.get(row).as_long()).collect()).collect()
    }

    #[test]
    fn columns_that_share_codes_are_numbered_together() {
        let dictionary = |values: &[i64]| Arc::new(Dictionary::of(values.iter().map(|it| Value::Long(*it))));
        let (a, b, other) = (dictionary(&[1, 1, 2, 1]), dictionary(&[3, 4, 3, 3]), dictionary(&[9, 8]));
        let coded = |codes: &Codes, values: &Arc<Dictionary>| Column::Coded {
            codes: Arc::clone(codes),
            values: Arc::clone(values),
        };
        let (codes, alone): (Codes, Codes) = (Arc::new(vec![0, 1, 3, 2, 0]), Arc::new(vec![0, 0, 0, 0, 1]));
        let mut groups = Groups::new(3);
        let keys = [coded(&codes, &a), coded(&alone, &other), coded(&codes, &b)];
        assert_eq!(groups.of(&keys, 5).0, [0, 1, 0, 2, 3]);
        // They need not share them for ever.
        let apart: Codes = Arc::new(vec![1, 2]);
        let keys = [coded(&apart, &a), Column::Const(Value::Long(9)), coded(&Arc::new(vec![3, 1]), &b)];
        assert_eq!(groups.of(&keys, 2).0, [0, 4]);
        // And what stands behind the codes may change.
        let more: Codes = Arc::new(vec![4, 1]);
        let (a, b) = (dictionary(&[0, 7, 0, 0, 2]), dictionary(&[0, 7, 0, 0, 4]));
        let keys = [coded(&more, &a), Column::Const(Value::Long(9)), coded(&more, &b)];
        assert_eq!(groups.of(&keys, 2).0, [4, 5]);
        assert_eq!(groups.len(), 6);
        assert_eq!(shown(groups), [[1, 1, 2, 1, 2, 7], [9, 9, 9, 8, 9, 9], [3, 4, 3, 3, 4, 7]]);
    }

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
        assert_eq!(shown(groups), [vec![5, 6, 6, 5], vec![7, 7, 7, 8], vec![1, 1, 7, 7]]);
        let mut one = Groups::new(1);
        assert_eq!(one.of(&[plain(&[3, 4, 3])], 3).0, [0, 1, 0]);
        assert_eq!((one.len(), shown(one)), (2, vec![vec![3, 4]]));
        let mut empty = Groups::new(1);
        assert_eq!(empty.of(&[Column::Const(Value::Long(7))], 0).0, [0; 0]);
        assert_eq!(empty.of(&[plain(&[3])], 1).0, [0]);
        assert_eq!((empty.len(), shown(empty)), (1, vec![vec![3]]));
        let mut none = Groups::new(0);
        assert_eq!((none.of(&[], 2).0, none.len()), (vec![0, 0], 1));
    }
}
