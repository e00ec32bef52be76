//! Both version orders are total orders, and Debian's is dpkg's.

use std::cmp::Ordering;
use std::process::Command;

use inventory::Ecosystem::{self, Apk, Deb};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

fn deb() -> impl Strategy<Value = String> {
    "([0-2]:)?[0-9][0-9a-cA-B.+~]{0,6}(-[0-9a-b.+~]{1,4})?"
}

fn apk() -> impl Strategy<Value = String> {
    "[0-9]{1,2}(\\.[0-9]{1,2}){0,2}[ab]?(_(alpha|rc|git|p)[0-2]?){0,2}(~[0-9a-f]{1,2})?(-r[0-9]{1,2})?"
}

fn is_total_order(ecosystem: Ecosystem, versions: [&str; 3]) {
    let order = |a, b| advisory::compare(ecosystem, a, b).expect("generated from the grammar");
    let [a, b, c] = versions;
    assert_eq!(order(a, a), Ordering::Equal);
    assert_eq!(order(a, b), order(b, a).reverse());
    if order(a, b).is_le() && order(b, c).is_le() {
        assert!(order(a, c).is_le(), "{a} {b} {c}");
        if order(a, c).is_eq() {
            assert!(order(a, b).is_eq() && order(b, c).is_eq(), "{a} {b} {c}");
        }
    }
}

proptest! {
    #![proptest_config(testkit::cases(4000))]

    #[test]
    fn debian_versions_have_a_total_order(a in deb(), b in deb(), c in deb()) {
        is_total_order(Deb, [&a, &b, &c]);
    }

    #[test]
    fn alpine_versions_have_a_total_order(a in apk(), b in apk(), c in apk()) {
        is_total_order(Apk, [&a, &b, &c]);
    }

    #[test]
    fn no_text_panics(a in "\\PC{0,12}|[0-9.~:_r-]{0,10}", b in "\\PC{0,12}|[0-9.~:_r-]{0,10}") {
        for ecosystem in [Deb, Apk] {
            let there = advisory::compare(ecosystem, &a, &b);
            let back = advisory::compare(ecosystem, &b, &a);
            prop_assert_eq!(there.is_ok(), back.is_ok());
            if let (Ok(there), Ok(back)) = (there, back) {
                prop_assert_eq!(there, back.reverse());
            }
        }
    }
}

#[test]
fn debian_versions_are_ordered_as_dpkg_orders_them() {
    if !testkit::tool("dpkg", "Debian versions against dpkg", "apt-get install dpkg") {
        return;
    }
    let mut runner = testkit::runner();
    for _ in 0..400 {
        let mut draw = || deb().new_tree(&mut runner).expect("a version").current();
        let (a, b) = (draw(), draw());
        let ours = advisory::compare(Deb, &a, &b).expect("generated from the grammar");
        let wanted = ["lt", "eq", "gt"].into_iter().find(|relation| {
            let status = Command::new("dpkg").args(["--compare-versions", &a, relation, &b]).status();
            status.expect("dpkg runs").success()
        });
        let said = match ours {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        assert_eq!(Some(said), wanted, "{a} {b}");
    }
}
