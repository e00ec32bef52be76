//! Slots: which queries run at once, shared fairly among those who ask.
//!
//! One caller never holds every slot, so that somebody else's query starts at once however long that caller's
//! queries take. Of those that wait, the caller with the fewest running queries goes first, then the one that
//! waits longest.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use uuid::Uuid;

/// The slots. Clones share them.
#[derive(Clone)]
pub(crate) struct Slots {
    state: Arc<Mutex<State>>,
    limits: Limits,
}

#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Queries that run at once.
    pub(crate) running_max: usize,
    /// Of one caller.
    pub(crate) running_each_max: usize,
    /// Queries of one caller that wait.
    pub(crate) waiting_each_max: usize,
}

#[derive(Default)]
struct State {
    /// How many queries of each caller run; callers with none are left out.
    running: HashMap<Uuid, usize>,
    /// In the order in which they came.
    waiting: VecDeque<(Uuid, oneshot::Sender<Slot>)>,
}

/// A query may run for as long as it holds this.
pub(crate) struct Slot {
    slots: Slots,
    caller: Uuid,
}

/// The caller has as many queries waiting as it may have.
#[derive(Debug)]
pub(crate) struct TooManyWaiting;

impl Slots {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { state: Arc::default(), limits }
    }

    /// Waits for a slot. A future that is dropped waits no longer.
    ///
    /// # Errors
    /// [`TooManyWaiting`].
    pub(crate) async fn take(&self, caller: Uuid) -> Result<Slot, TooManyWaiting> {
        let granted = {
            let mut state = self.state.lock();
            state.waiting.retain(|(_, waiter)| !waiter.is_closed());
            let waiting = state.waiting.iter().filter(|(waiter, _)| *waiter == caller).count();
            if waiting >= self.limits.waiting_each_max {
                return Err(TooManyWaiting);
            }
            let (sender, granted) = oneshot::channel();
            state.waiting.push_back((caller, sender));
            granted
        };
        self.grant();
        // The sender is in the queue until it is used.
        granted.await.map_err(|_| TooManyWaiting)
    }

    /// Gives free slots to those that wait.
    fn grant(&self) {
        while let Some((slot, waiter)) = self.next() {
            // A waiter that has gone drops its slot, which grants it to another.
            drop(waiter.send(slot));
        }
    }

    /// The waiter whose turn it is, with its slot.
    fn next(&self) -> Option<(Slot, oneshot::Sender<Slot>)> {
        let mut state = self.state.lock();
        state.waiting.retain(|(_, waiter)| !waiter.is_closed());
        if state.running.values().sum::<usize>() >= self.limits.running_max {
            return None;
        }
        let running = |caller: &Uuid| state.running.get(caller).copied().unwrap_or(0);
        let may_run = state.waiting.iter().enumerate().map(|(place, (caller, _))| (running(caller), place));
        let (_, place) = may_run.filter(|(count, _)| *count < self.limits.running_each_max).min()?;
        let (caller, waiter) = state.waiting.remove(place)?;
        *state.running.entry(caller).or_default() += 1;
        Some((Slot { slots: self.clone(), caller }, waiter))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.slots.state.lock();
            if let Some(count) = state.running.get_mut(&self.caller) {
                *count -= 1;
                if *count == 0 {
                    state.running.remove(&self.caller);
                }
            }
        }
        self.slots.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const LIMITS: Limits = Limits { running_max: 3, running_each_max: 2, waiting_each_max: 4 };

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_caller_leaves_a_slot_for_others() {
        let slots = Slots::new(LIMITS);
        let mut held: Vec<Slot> = Vec::new();
        for _ in 0..2 {
            held.push(now(pin!(slots.take(id(1)))).unwrap().unwrap());
        }
        let mut third = pin!(slots.take(id(1)));
        assert!(now(third.as_mut()).is_none(), "it has its share");
        let other = now(pin!(slots.take(id(2)))).unwrap().unwrap();
        drop(other);
        assert!(now(third.as_mut()).is_none(), "a free slot is for others");
        held.pop();
        assert!(now(third.as_mut()).is_some());
    }

    #[test]
    fn who_has_the_fewest_running_goes_first_and_then_who_waits_longest() {
        let slots = Slots::new(LIMITS);
        let mut held: Vec<Slot> =
            [1, 1, 2].iter().map(|caller| now(pin!(slots.take(id(*caller)))).unwrap().unwrap()).collect();
        let (mut one, mut two) = (pin!(slots.take(id(1))), pin!(slots.take(id(2))));
        let (mut three, mut four) = (pin!(slots.take(id(3))), pin!(slots.take(id(4))));
        assert!(now(one.as_mut()).is_none() && now(two.as_mut()).is_none());
        assert!(now(three.as_mut()).is_none() && now(four.as_mut()).is_none());
        held.remove(0);
        let third = now(three.as_mut()).expect("it has none running").unwrap();
        assert!(now(four.as_mut()).is_none());
        drop(third);
        let fourth = now(four.as_mut()).expect("it has none running").unwrap();
        assert!(now(one.as_mut()).is_none() && now(two.as_mut()).is_none());
        drop(fourth);
        assert!(now(one.as_mut()).is_some(), "both have one running, and this one came first");
    }

    #[test]
    fn those_that_have_gone_hold_nothing() {
        let slots = Slots::new(LIMITS);
        let held: Vec<Slot> =
            [1, 1, 2].iter().map(|caller| now(pin!(slots.take(id(*caller)))).unwrap().unwrap()).collect();
        for _ in 0..100 {
            assert!(now(pin!(slots.take(id(3)))).is_none());
        }
        {
            // Granted, and gone before it looked.
            let mut granted = Box::pin(slots.take(id(3)));
            assert!(now(granted.as_mut()).is_none());
            drop(held);
        }
        assert!(slots.state.lock().running.is_empty());
        assert!(slots.state.lock().waiting.is_empty());
    }

    #[test]
    fn a_caller_may_have_only_so_many_waiting() {
        let slots = Slots::new(LIMITS);
        let held: Vec<Slot> = (0..2).map(|_| now(pin!(slots.take(id(1)))).unwrap().unwrap()).collect();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(slots.take(id(1)))).collect();
        assert!(waiting.iter_mut().all(|waiter| now(waiter.as_mut()).is_none()));
        assert!(matches!(now(pin!(slots.take(id(1)))), Some(Err(TooManyWaiting))));
        assert!(now(pin!(slots.take(id(2)))).is_some());
        drop(waiting.pop());
        assert!(now(pin!(slots.take(id(1)))).is_none(), "there is room again");
        drop(held);
    }
}
