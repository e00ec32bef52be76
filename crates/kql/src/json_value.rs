//! JSON texts to values in one go, without a document in between.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::value::{Bag, Value};

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Long(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON's numbers are read elsewhere")]
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Real(number as f64), Value::Long))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element()? {
            found.push(item);
        }
        Ok(Value::array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut found = Bag::new();
        while let Some((Name(name), value)) = members.next_entry()? {
            found.push((name, value));
        }
        Ok(Value::object(distinct(found)))
    }
}

/// What a member is called, copied once.
struct Name(Arc<str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Names)
    }
}

struct Names;

impl Visitor<'_> for Names {
    type Value = Name;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name(Arc::from(name)))
    }
}

/// Of members of the same name the last counts, at the place of the first.
fn distinct(mut members: Bag) -> Bag {
    if members.len() <= FEW {
        let mut at = 1;
        while at < members.len() {
            let first = members.iter().take(at).position(|(name, _)| *name == members[at].0);
            match first {
                Some(first) => members[first].1 = members.remove(at).1,
                None => at += 1,
            }
        }
        return members;
    }
    let mut places: HashMap<Arc<str>, usize> = HashMap::with_capacity(members.len());
    let mut kept = Bag::with_capacity(members.len());
    for (name, value) in members {
        match places.get(&name) {
            Some(first) => kept[*first].1 = value,
            None => {
                places.insert(Arc::clone(&name), kept.len());
                kept.push((name, value));
            }
        }
    }
    kept
}

/// So many members are compared with each other.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through_a_document(text: &str) -> Option<Value> {
        serde_json::from_str(text).ok().map(|json| Value::from_json(&json))
    }

    fn show(value: Option<Value>) -> String {
        format!("{value:?}")
    }

    #[test]
    fn a_text_reads_as_its_document_does() {
        let many: Vec<String> = (0..40).map(|number| format!("\"k{}\": {number}", number % 30)).collect();
        let many = format!("{{{}}}", many.join(","));
        let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
        let deeper = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in [
            "null",
            "true",
            "-1",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551616",
            "1e3",
            "1.5",
            "1e999",
            "\"a\\u00e9\\n\"",
            "[1,[],{}]",
            r#"{"a":1,"b":2,"a":3,"b":{"c":4,"c":5}}"#,
            "{",
            "",
            "1 2",
            "[1,]",
            "\"\\ud800\"",
            "-0",
            "-0.0",
            &many,
            &deep,
            &deeper,
        ] {
            assert_eq!(show(Value::parse_json(text)), show(through_a_document(text)), "{text}");
        }
        assert!(Value::parse_json(&deep).is_some() && Value::parse_json(&deeper).is_none());
    }

    proptest! {
        #![proptest_config(testkit::cases(256))]

        #[test]
        fn any_text_reads_as_its_document_does(text in r#"[\[\]{}:,"ab0-9.e\\ -]{0,40}"#) {
            prop_assert_eq!(show(Value::parse_json(&text)), show(through_a_document(&text)));
        }
    }
}
