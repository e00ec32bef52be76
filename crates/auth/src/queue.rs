//! A queue with a share for each source, and within it for each name: who asks often waits behind their own
//! questions, and others do not.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

/// What waits. Each source takes its turn, and at each source each name.
pub(crate) struct FairQueue<T> {
    waiting: Mutex<Waiting<T>>,
    came: Condvar,
    len_max: usize,
}

/// What waits at one source, in the order of the names' turns.
type ByName<T> = VecDeque<(String, VecDeque<T>)>;

struct Waiting<T> {
    sources: VecDeque<(Source, ByName<T>)>,
    len: usize,
    is_closed: bool,
}

/// Where a question comes from. Names that have signed in there before do not wait behind those that have not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) address: String,
    pub(crate) is_home: bool,
}

impl<T> FairQueue<T> {
    /// An empty one, in which so many wait at most.
    pub(crate) fn new(len_max: usize) -> Self {
        let waiting = Waiting { sources: VecDeque::new(), len: 0, is_closed: false };
        Self { waiting: Mutex::new(waiting), came: Condvar::new(), len_max }
    }

    /// Adds one. If the queue is full, the last one of the source with the most gives way, and is dropped.
    pub(crate) fn push(&self, source: Source, name: &str, item: T) {
        let mut waiting = self.waiting.lock();
        let place = waiting.sources.iter().position(|(known, _)| *known == source);
        let place = place.unwrap_or_else(|| {
            waiting.sources.push_back((source, VecDeque::new()));
            waiting.sources.len() - 1
        });
        let names = &mut waiting.sources[place].1;
        match names.iter_mut().find(|(known, _)| known == name) {
            Some((_, items)) => items.push_back(item),
            None => names.push_back((name.to_owned(), VecDeque::from([item]))),
        }
        waiting.len += 1;
        if waiting.len > self.len_max {
            waiting.give_way();
        }
        drop(waiting);
        self.came.notify_one();
    }

    /// The next, once there is one; `None`: the queue is closed.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some(item) = waiting.next() {
                return Some(item);
            }
            self.came.wait(&mut waiting);
        }
    }

    /// Nothing more comes out of it. What waits is dropped with it.
    pub(crate) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.came.notify_all();
    }
}

impl<T> Waiting<T> {
    fn next(&mut self) -> Option<T> {
        let (source, mut names) = self.sources.pop_front()?;
        let (name, mut items) = names.pop_front()?;
        let item = items.pop_front()?;
        // What is left goes to the end: the others are next.
        if !items.is_empty() {
            names.push_back((name, items));
        }
        if !names.is_empty() {
            self.sources.push_back((source, names));
        }
        self.len -= 1;
        Some(item)
    }

    fn give_way(&mut self) {
        let len = |names: &ByName<T>| names.iter().map(|(_, items)| items.len()).sum();
        let most = (0..self.sources.len()).max_by_key(|place| -> usize { len(&self.sources[*place].1) });
        let Some(place) = most else { return };
        let names = &mut self.sources[place].1;
        let Some(most) = (0..names.len()).max_by_key(|place| names[*place].1.len()) else { return };
        names[most].1.pop_back();
        if names[most].1.is_empty() {
            names.remove(most);
        }
        if names.is_empty() {
            self.sources.remove(place);
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(address: &str) -> Source {
        Source { address: address.to_owned(), is_home: false }
    }

    fn drained(queue: &FairQueue<&'static str>) -> Vec<&'static str> {
        let mut waiting = queue.waiting.lock();
        std::iter::from_fn(|| waiting.next()).collect()
    }

    #[test]
    fn sources_take_turns_and_at_each_the_names() {
        let queue = FairQueue::new(100);
        for item in ["a1", "a2", "a3"] {
            queue.push(stranger("here"), "ann", item);
        }
        queue.push(stranger("here"), "bob", "b1");
        queue.push(stranger("there"), "eve", "e1");
        queue.push(Source { address: "here".to_owned(), is_home: true }, "cat", "c1");
        assert_eq!(queue.pop(), Some("a1"));
        assert_eq!(drained(&queue), ["e1", "c1", "b1", "a2", "a3"]);
    }

    #[test]
    fn a_flood_drops_its_own_and_not_those_of_others() {
        let queue = FairQueue::new(4);
        for _ in 0..10 {
            queue.push(stranger("flood"), "ann", "flood");
        }
        queue.push(stranger("there"), "bob", "b1");
        for _ in 0..10 {
            queue.push(stranger("flood"), "ann", "flood");
        }
        assert_eq!(drained(&queue), ["flood", "b1", "flood", "flood"]);
        assert_eq!(queue.waiting.lock().len, 0);
    }

    #[test]
    fn who_waits_is_told_of_the_end() {
        let queue = FairQueue::<u8>::new(4);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| queue.pop());
            queue.close();
            assert_eq!(waits.join().ok(), Some(None));
        });
    }
}
