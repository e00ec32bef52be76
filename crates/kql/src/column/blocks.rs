//! Lists that grow: what stands in them already is shared by the longer list, not copied.

use std::sync::Arc;

/// A list in blocks. A longer list [made of it](Blocks::with) shares all blocks but the last.
#[derive(Clone, Debug)]
pub(crate) struct Blocks<T> {
    blocks: Vec<Arc<Vec<T>>>,
    len: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Blocks<T> {
    /// A list of these.
    pub(crate) fn of(items: impl IntoIterator<Item = T>) -> Self {
        Self::default().with(items)
    }

    /// How long it is.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// True if there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item in this place.
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.blocks.get(place / BLOCK)?.get(place % BLOCK)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// The same with more behind.
    pub(crate) fn with(&self, more: impl IntoIterator<Item = T>) -> Self {
        let mut more = more.into_iter();
        let (mut blocks, mut len) = (self.blocks.clone(), self.len);
        loop {
            let begun = if len % BLOCK > 0 { blocks.pop() } else { None };
            let mut block: Vec<T> = begun.map(|block| block.to_vec()).unwrap_or_default();
            let before = block.len();
            block.extend(more.by_ref().take(BLOCK - before));
            len += block.len() - before;
            let is_full = block.len() == BLOCK && block.len() > before;
            if !block.is_empty() {
                blocks.push(Arc::new(block));
            }
            if !is_full {
                return Self { blocks, len };
            }
        }
    }
}

const BLOCK: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_lists_share_full_blocks() {
        for (first, more) in
            [(0, 0), (0, 5), (3, 2), (BLOCK - 1, 1), (BLOCK, 0), (BLOCK, 1), (BLOCK + 7, 3 * BLOCK)]
        {
            let list = Blocks::of(0..first);
            let longer = list.with(first..first + more);
            assert_eq!((list.len(), longer.len()), (first, first + more));
            assert!(longer.iter().copied().eq(0..first + more), "{first} and {more}");
            assert!(list.iter().copied().eq(0..first));
            assert_eq!(longer.get(first + more), None);
            let is_shared = list
                .blocks
                .first()
                .zip(longer.blocks.first())
                .is_none_or(|(one, other)| Arc::ptr_eq(one, other));
            assert!(is_shared || first < BLOCK);
        }
    }
}
