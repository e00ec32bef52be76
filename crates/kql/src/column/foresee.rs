//! What can be said of a text of which only the beginning is known.
//!
//! The rest is a UUID: 36 characters of `0-9a-f`, with hyphens in four places. Each function here answers for
//! all such texts at once, or says that it cannot (`None`): then each text has to be looked at.
//!
//! Regular expressions are run as Pike's machine runs them, a list of threads in order of preference, with one
//! addition. A thread that some characters of the rest would let live and others would not goes on *unsure*.
//! Unsure threads that die without a match have changed nothing; one that comes to a match leaves the
//! question open.

use std::mem::swap;

use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

use super::stem::{Stem, TAIL_BYTES};

/// What a regular expression comes to in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) is_match: bool,
    /// Of the group that was asked for.
    pub(crate) span: Option<(usize, usize)>,
}

/// A regular expression, to be run over beginnings of texts.
#[derive(Debug)]
pub(crate) struct Foresight {
    nfa: NFA,
}

/// The slots of the group that was asked for.
type Slots = (Option<usize>, Option<usize>);

#[derive(Clone, Copy)]
struct Thread {
    state: StateID,
    slots: Slots,
    is_sure: bool,
}

/// Threads in order of preference.
struct Threads {
    list: Vec<Thread>,
    /// In which round a sure thread came to a state, and any in this closure: whoever comes later does not count.
    sure: Vec<u32>,
    unsure: Vec<u32>,
    round: u32,
    closure: u32,
    stack: Vec<Thread>,
}

/// The pattern asks for something that is not followed here.
struct Undecided;

impl Foresight {
    /// Compiles a pattern that [`crate::function::pattern::compile`] has accepted.
    pub(crate) fn of(pattern: &str) -> Option<Self> {
        let config =
            thompson::Config::new().nfa_size_limit(Some(NFA_BYTES_MAX)).which_captures(WhichCaptures::All);
        let nfa = thompson::Compiler::new().configure(config).build(pattern).ok()?;
        Some(Self { nfa })
    }

    /// Where a group of the first match is, in every text of this stem.
    pub(crate) fn find(&self, stem: &Stem, group: usize) -> Option<Seen> {
        if !stem.text.is_ascii() || self.nfa.states().len() > STATES_MAX {
            return None;
        }
        let seen = self.run(stem, group).ok()?;
        match seen.span {
            Some((_, end)) if end > stem.text.len() => None,
            _ => Some(seen),
        }
    }

    fn run(&self, stem: &Stem, group: usize) -> Result<Seen, Undecided> {
        let text = stem.text.as_bytes();
        let len = text.len() + if stem.has_tail { TAIL_BYTES } else { 0 };
        let (mut now, mut next) = (Threads::new(&self.nfa), Threads::new(&self.nfa));
        let slots = (group.checked_mul(2), group.checked_mul(2).and_then(|slot| slot.checked_add(1)));
        let of = |at: usize| At { nfa: &self.nfa, text, at, len, slots };
        let first = Thread { state: self.nfa.start_unanchored(), slots: (None, None), is_sure: true };
        now.close(first, &of(0))?;
        let mut best: Option<Slots> = None;
        for at in 0..=len {
            next.begin();
            let known = text.get(at).map(std::slice::from_ref);
            let bytes = known.unwrap_or_else(|| tail_bytes(at - text.len().min(at)));
            for thread in &now.list {
                if let State::Match { .. } = self.nfa.state(thread.state) {
                    if !thread.is_sure {
                        return Err(Undecided);
                    }
                    // Whoever comes after this one is less preferred.
                    best = Some(thread.slots);
                    break;
                }
                if at < len {
                    next.step(*thread, bytes, &of(at + 1))?;
                }
            }
            swap(&mut now, &mut next);
            if now.list.is_empty() {
                break;
            }
        }
        let span = best.and_then(|(begin, end)| begin.zip(end));
        Ok(Seen { is_match: best.is_some(), span })
    }
}

/// A place between two bytes of the text.
struct At<'a> {
    nfa: &'a NFA,
    text: &'a [u8],
    at: usize,
    len: usize,
    /// Which slots are written down.
    slots: Slots,
}

impl At<'_> {
    fn holds(&self, look: Look) -> Result<bool, Undecided> {
        // No byte of the tail is a line's end: behind the stem there is none.
        let before = self.at.checked_sub(1).and_then(|before| self.text.get(before));
        match look {
            Look::Start => Ok(self.at == 0),
            Look::End => Ok(self.at == self.len),
            Look::StartLF => Ok(self.at == 0 || before == Some(&b'\n')),
            Look::EndLF => Ok(self.at == self.len || self.text.get(self.at) == Some(&b'\n')),
            _ => Err(Undecided),
        }
    }
}

impl Threads {
    fn new(nfa: &NFA) -> Self {
        let none = vec![0; nfa.states().len()];
        Self { list: Vec::new(), sure: none.clone(), unsure: none, round: 1, closure: 0, stack: Vec::new() }
    }

    fn begin(&mut self) {
        self.list.clear();
        self.round += 1;
    }

    /// The threads that one becomes by any of these bytes.
    fn step(&mut self, thread: Thread, bytes: &[u8], to: &At<'_>) -> Result<(), Undecided> {
        let state = to.nfa.state(thread.state);
        let next = |byte: u8| match state {
            State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
            State::Sparse(sparse) => sparse.matches_byte(byte),
            State::Dense(dense) => dense.matches_byte(byte),
            _ => None,
        };
        let mut all = bytes.iter().map(|byte| next(*byte));
        let first = all.next().flatten();
        if all.all(|other| other == first) {
            return match first {
                Some(state) => self.close(Thread { state, ..thread }, to),
                None => Ok(()),
            };
        }
        let mut met: Vec<StateID> = Vec::new();
        for state in bytes.iter().filter_map(|byte| next(*byte)) {
            if !met.contains(&state) {
                met.push(state);
                self.close(Thread { state, is_sure: false, ..thread }, to)?;
            }
        }
        Ok(())
    }

    /// Follows what takes no byte.
    fn close(&mut self, thread: Thread, to: &At<'_>) -> Result<(), Undecided> {
        self.closure += 1;
        self.stack.push(thread);
        while let Some(Thread { state: id, mut slots, is_sure }) = self.stack.pop() {
            let place = id.as_usize();
            if self.sure[place] == self.round || self.unsure[place] == self.closure {
                continue;
            }
            if is_sure {
                self.sure[place] = self.round;
            } else {
                self.unsure[place] = self.closure;
            }
            let mut follow = |state: StateID, slots: Slots| self.stack.push(Thread { state, slots, is_sure });
            match to.nfa.state(id) {
                State::Look { look, next } => {
                    if to.holds(*look)? {
                        follow(*next, slots);
                    }
                }
                State::Union { alternates } => {
                    for state in alternates.iter().rev() {
                        follow(*state, slots);
                    }
                }
                State::BinaryUnion { alt1, alt2 } => {
                    follow(*alt2, slots);
                    follow(*alt1, slots);
                }
                State::Capture { next, slot, .. } => {
                    let slot = Some(slot.as_usize());
                    if slot == to.slots.0 {
                        slots.0 = Some(to.at);
                    } else if slot == to.slots.1 {
                        slots.1 = Some(to.at);
                    }
                    follow(*next, slots);
                }
                State::Fail => {}
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                    if self.list.len() >= THREADS_MAX {
                        self.stack.clear();
                        return Err(Undecided);
                    }
                    self.list.push(Thread { state: id, slots, is_sure });
                }
            }
        }
        Ok(())
    }
}

/// The bytes that a UUID may have in this place.
fn tail_bytes(place: usize) -> &'static [u8] {
    if matches!(place, 8 | 13 | 18 | 23) { b"-" } else { b"0123456789abcdef" }
}

/// True if what ends like this cannot end in a UUID: wherever it is found, it is in the stem.
pub(crate) fn ends_in_stem(needle: &str) -> bool {
    needle
        .bytes()
        .next_back()
        .is_some_and(|byte| byte.is_ascii() && !byte.is_ascii_hexdigit() && byte != b'-')
}

/// `contains`
pub(crate) fn contains(stem: &Stem, needle: &str, is_cased: bool) -> Option<bool> {
    if crate::function::search::contains(&stem.text, needle, is_cased) {
        return Some(true);
    }
    (stem.text.is_ascii() && needle.is_ascii() && !may_reach_tail(stem, needle, is_cased)).then_some(false)
}

/// True if the needle may stand in a text of this stem with a part of it, or all, behind the stem.
fn may_reach_tail(stem: &Stem, needle: &str, is_cased: bool) -> bool {
    let (text, needle) = (stem.text.as_bytes(), needle.as_bytes());
    let Some(last) = (text.len() + TAIL_BYTES).checked_sub(needle.len()) else { return false };
    let may_be = |at: usize, byte: u8| match text.get(at) {
        Some(known) if is_cased => *known == byte,
        Some(known) => known.eq_ignore_ascii_case(&byte),
        None => {
            let byte = if is_cased { byte } else { byte.to_ascii_lowercase() };
            tail_bytes(at - text.len()).contains(&byte)
        }
    };
    // From its end: what is behind the stem has few bytes.
    let first = (text.len() + 1).saturating_sub(needle.len());
    (first..=last).any(|begin| needle.iter().enumerate().rev().all(|(at, byte)| may_be(begin + at, *byte)))
}

/// `startswith`
pub(crate) fn starts_with(stem: &Stem, start: &str, is_cased: bool) -> Option<bool> {
    let is_within = stem.text.is_ascii() && start.is_ascii() && start.len() <= stem.text.len();
    is_within.then(|| crate::function::search::starts_with(&stem.text, start, is_cased))
}

/// `==`, `=~`: only that it is not so can be known.
pub(crate) fn equals(stem: &Stem, other: &str) -> Option<bool> {
    let begins = other.get(..stem.text.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(&stem.text));
    let may = begins && other.len() == stem.text.len() + TAIL_BYTES;
    (stem.text.is_ascii() && other.is_ascii() && !may).then_some(false)
}

/// `split(text, delimiter)[at]`, negative from the end; the inner `None` is null.
pub(crate) fn nth_part<'a>(stem: &'a Stem, delimiter: &str, at: i64) -> Option<Option<&'a str>> {
    if !ends_in_stem(delimiter) {
        return None;
    }
    let parts: Vec<&str> = stem.text.split(delimiter).collect();
    let len = i64::try_from(parts.len()).ok()?;
    let at = if at < 0 { at.saturating_add(len) } else { at };
    let place = usize::try_from(at).ok().filter(|place| *place < parts.len());
    // The last part goes on behind the stem.
    match place {
        Some(place) if place + 1 == parts.len() => None,
        place => Some(place.and_then(|place| parts.get(place).copied())),
    }
}

/// Patterns beyond this are run over each text.
const STATES_MAX: usize = 4096;
const NFA_BYTES_MAX: usize = 2 * 1024 * 1024;
const THREADS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn stem(text: &str) -> Stem {
        Stem { text: text.into(), has_tail: true }
    }

    const ID: &str = "/subscriptions/1/registries/web1/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/subAssessments/";

    /// What the published queries ask of an id.
    #[test]
    fn what_stands_in_the_stem_is_decided() {
        let find = |pattern: &str, group: usize| {
            let seen = Foresight::of(pattern).unwrap().find(&stem(ID), group);
            seen.map(|seen| seen.span.map(|(begin, end)| &ID[begin..end]))
        };
        let key = Some(Some("dbd0cb49-b563-45e7-9724-889e799fa648"));
        assert_eq!(find(".*assessments/(.+?)/.*", 1), key);
        assert_eq!(find("(?i)providers/Microsoft.Security/assessments/([^/]*)", 1), key);
        assert_eq!(find("(?i)/registries/([^/]+)/", 1), Some(Some("web1")));
        assert_eq!(
            find(r"([\s\S]*?)(/providers/Microsoft.Security.*)", 1),
            Some(Some("/subscriptions/1/registries/web1"))
        );
        assert_eq!(find(".*virtualMachines/(.+?)/.*", 1), Some(None));
        assert_eq!(find("subAssessments/(.+)", 1), None, "that is the tail");
        assert_eq!(find("[0-9]ab", 0), None);
        assert_eq!(find(r"registries\b", 0), None, "not followed here");
        let matches = |pattern: &str| {
            Foresight::of(pattern).unwrap().find(&stem(ID), usize::MAX).map(|seen| seen.is_match)
        };
        assert_eq!(
            matches("(.+?)/providers/Microsoft.Security/assessments/dbd0cb49-b563-45e7-9724-889e799fa648/"),
            Some(true)
        );
        assert_eq!(matches("assessments/x"), Some(false));
        assert_eq!(matches("subAssessments/.{36}$"), Some(true));
        assert_eq!(matches("subAssessments/.{37}"), Some(false));
        assert_eq!(matches("subAssessments/a"), None);
    }

    const PIECES: &[&str] = &[
        "a",
        "/",
        "b/",
        ".*",
        ".*?",
        ".+",
        "(",
        ")",
        "(?:",
        "|",
        "?",
        "*",
        "+?",
        "[^/]*",
        "[0-9a-f]+",
        "-",
        "^",
        "$",
        "(?i)",
        "A",
        "[a-z]",
        "s/",
        r"\d",
        "{2}",
        "é",
    ];

    /// An end in common with a UUID is not enough.
    #[test]
    fn words_that_cannot_be_there_are_not() {
        let asked = |needle: &str, is_cased: bool| contains(&stem(ID), needle, is_cased);
        assert_eq!(asked("findings resolved", false), Some(false));
        assert_eq!(asked("SUBASSESSMENTS/dead-", false), Some(false), "a hyphen comes after eight");
        assert_eq!(asked("SUBASSESSMENTS/deadbeef-", false), None);
        assert_eq!(asked("SUBASSESSMENTS/deadbeef-", true), Some(false));
        assert_eq!(asked("beef-dead-", false), None);
        assert_eq!(asked("Ab", true), Some(false), "tails are in lower case");
        assert_eq!(asked(&"a".repeat(13), false), Some(false), "no run in a UUID is that long");
    }

    proptest! {
        #![proptest_config(testkit::cases(3000))]
        /// Whatever is decided is so for every text.
        #[test]
        fn what_is_decided_is_so(
            pattern in prop::collection::vec(prop::sample::select(PIECES), 1..9),
            text in "[ab/sA-]{0,8}/?",
            tails in prop::collection::vec(any::<u128>(), 4),
            group in 0_usize..3,
        ) {
            let pattern = pattern.concat();
            let Ok(regex) = crate::function::pattern::compile(&pattern) else { return Ok(()) };
            let Some(foresight) = Foresight::of(regex.as_str()) else { return Ok(()) };
            let Some(seen) = foresight.find(&stem(&text), group) else { return Ok(()) };
            for tail in tails {
                let whole = format!("{text}{}", Uuid::from_u128(tail));
                let captures = regex.captures(&whole);
                prop_assert_eq!(captures.is_some(), seen.is_match, "{} in {}", pattern, whole);
                let span = captures.and_then(|captures| captures.get(group)).map(|it| (it.start(), it.end()));
                prop_assert_eq!(span, seen.span, "{} in {}", pattern, whole);
            }
        }

        #[test]
        fn so_it_is_of_plain_texts(text in "[ab/sA-]{0,8}/?", needle in "[ab/A0-]{1,4}", tail in any::<u128>(), at in -4_i64..5, is_cased: bool) {
            use crate::function::search;
            let whole = format!("{text}{}", Uuid::from_u128(tail));
            let stem = stem(&text);
            if let Some(found) = contains(&stem, &needle, is_cased) {
                prop_assert_eq!(found, search::contains(&whole, &needle, is_cased));
            }
            if let Some(found) = starts_with(&stem, &needle, is_cased) {
                prop_assert_eq!(found, search::starts_with(&whole, &needle, is_cased));
            }
            if let Some(found) = equals(&stem, &whole.to_uppercase()) {
                prop_assert!(found, "it is the text itself");
            }
            if let Some(found) = nth_part(&stem, &needle, at) {
                let parts: Vec<&str> = whole.split(&*needle).collect();
                let at = if at < 0 { at + i64::try_from(parts.len()).unwrap() } else { at };
                prop_assert_eq!(found, usize::try_from(at).ok().and_then(|at| parts.get(at).copied()));
            }
        }
    }
}
