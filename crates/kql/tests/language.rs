//! Queries and what they come to.

mod tables;

use tables::ask;

#[test]
fn rows_are_filtered_extended_and_counted() {
    assert_eq!(ask("T | where n > 1 | project name, m = n * 2 | order by m desc"), "name,m\nc,6\nb,4");
    assert_eq!(ask("T | summarize count() by kind | order by kind asc"), "kind,count_\nx,2\ny,1");
    assert_eq!(ask("T | count"), "Count\n3");
    assert_eq!(
        ask("T | extend d.s | project d_s, d.deep.x, split(name, 'z')[0]"),
        "d_s,d_deep_x,Column1\n1,null,a\n2,5,b\nnull,null,c"
    );
    assert_eq!(
        ask("T | summarize make_list(name), total = sum(n) by kind | order by kind asc"),
        "kind,list_name,total\nx,[\"a\",\"b\"],3\ny,[\"c\"],3"
    );
    assert_eq!(ask("T | top 2 by n desc | project name"), "name\nc\nb");
}

#[test]
fn sides_are_joined() {
    assert_eq!(
        ask("T | join kind=inner (U | project name, v) on name | project name, v, name1"),
        "name,v,name1\na,1,a\na,2,a\nb,3,b"
    );
    assert_eq!(
        ask("T | join kind=leftouter (U) on name | project name, v | order by name asc, v asc"),
        "name,v\na,1\na,2\nb,3\nc,null"
    );
    assert_eq!(ask("T | join kind=leftanti U on name | project name"), "name\nc");
    assert_eq!(
        ask("U | join kind=rightouter T on $left.name == $right.name | project name, name1, v"),
        "name,name1,v\na,a,1\na,a,2\nb,b,3\n,c,null"
    );
}

#[test]
fn values_are_taken_apart() {
    assert_eq!(ask("T | mv-expand e = l | project name, e"), "name,e\na,1\na,2\nc,null");
    for (expand, rows) in [
        ("mv-expand x", 128),
        ("mvexpand x", 128),
        ("mv-expand x limit 130", 130),
        ("mv-expand x limit 2", 2),
        ("mv-apply x on (where true)", 200),
    ] {
        let query = format!("print x = range(1, 200, 1) | {expand} | count");
        assert_eq!(ask(&query), format!("Count\n{rows}"), "{expand}");
    }
    assert_eq!(
        ask("T | mv-apply e = l to typeof(long) on (summarize s = sum(e)) | project name, s"),
        "name,s\na,3\nc,0"
    );
    assert_eq!(
        ask("print p = 'key=value;rest' | parse p with k '=' v ';' * | project k, v"),
        "k,v\nkey,value"
    );
    assert_eq!(ask("print p = 'n=12, m=x' | parse p with 'n=' n:long ', m=' m | project n, m"), "n,m\n12,x");
}

#[test]
fn names_are_given() {
    assert_eq!(ask("let t = T | where n > 1; let least = 2; t | where n > least | project name"), "name\nc");
    assert_eq!(ask("let f = (a:long, b:long = 10) { a + b }; print f(1), f(1, 2)"), "print_0,print_1\n11,3");
    assert_eq!(ask("let big = (t:(*), k:long) { t | where n >= k }; big(T, 3) | project name"), "name\nc");
    assert_eq!(ask("T | where name in (U | project name) | project name"), "name\na\nb");
    assert_eq!(ask("T | where n == toscalar(T | summarize max(n)) | project name"), "name\nc");
}

#[test]
fn what_is_wrong_is_said_where_it_is() {
    let error = tables::error("where where");
    let position = error.details[1].position.clone().unwrap();
    assert_eq!((position.line, position.character, position.token.as_str()), (1, 11, "<EOF>"));
    assert_eq!(tables::error("T | project cout()").details[1].message, "Unknown function: 'cout'.");
    // A comma behind the last: what cannot be printed and read again must not be read.
    for query in [
        "T | project f(1, )",
        "tostring(dynamic(null, ))",
        "print dynamic([1, ])",
        "dynamic(T)",
        "f(dyNamic(a))",
    ] {
        assert_eq!(tables::error(query).details[1].code, kql::Code::ParserFailure, "{query}");
    }
    // Where a scalar and rows could stand, rows begin with a table: `take (1)` is a call.
    assert_eq!(tables::error("f(T, take 1 - n)").details[1].code, kql::Code::ParserFailure);
    let code = |query: &str| tables::error(query).details[1].code.name();
    assert_eq!(code("T | make-series count() on n step 1"), "InvalidQueryLanguage");
    assert_eq!(code("T | join kind=sideways U on name"), "UnsupportedJoinFlavor");
    assert_eq!(
        tables::error("nowhere | take 1").details[1].message,
        "Table nowhere is invalid, unsupported or disallowed."
    );
}

/// Each is refused, or answered, within bounds and without a panic.
#[test]
fn hostile_queries_are_bounded() {
    let deep = |open: &str, close: &str, count: usize| {
        format!("print x = {}1{}", open.repeat(count), close.repeat(count))
    };
    let refused = [
        deep("(", ")", 100_000),
        deep("-", "", 100_000),
        deep("tostring(", ")", 5000),
        deep("dynamic(", ")", 5000),
        format!("print x = {}", vec!["1"; 100_000].join(" + ")),
        format!("T | where {}", "a.".repeat(60_000)),
        format!("print x = dynamic({}1{})", "[".repeat(10_000), "]".repeat(10_000)),
        format!("T {}", "| take 5 ".repeat(20_000)),
        format!("print x = 'a' matches regex '{}'", "(a|b)*".repeat(170_000)),
        format!("print x = 'a' matches regex '{}'", "(a{0,999}){0,999}".repeat(100)),
        format!("print x = '{}'", "x".repeat(1 << 20)),
        // What doubles at each step becomes too large, however few the steps.
        format!("print a = 'ab' {} | project strlen(a)", "| extend a = strcat(a, a) ".repeat(60)),
        format!("print a = dynamic([1]) {} | project a", "| extend a = pack_array(a, a) ".repeat(60)),
        format!("print a = dynamic([1]) {} | project a", "| extend a = bag_pack('x', a, 'y', a) ".repeat(60)),
        format!("{} print x = f40", (1..=40).fold("let f0 = dynamic([1,2,3,4]);".to_owned(), |text, n| {
            format!("{text} let f{n} = array_concat(f{}, f{});", n - 1, n - 1)
        })),
        format!("{} t40 | count", (1..=40).fold("let t0 = T;".to_owned(), |text, n| {
            format!("{text} let t{n} = t{} | join kind=inner t{} on name;", n - 1, n - 1)
        })),
        "range x from 1 to 1000000000000 step 1 | summarize make_list(x)".to_owned(),
        "range x from 1 to 100000 step 1 | extend k = 1 | join kind=inner (range y from 1 to 100000 step 1 | extend k = 1) on k | summarize make_list(y)".to_owned(),
        "range x from 1 to 100000 step 1 | extend l = range(1, 100000, 1) | mv-expand l | summarize make_set(strcat(l, x))".to_owned(),
        "print x = repeat('abcdefghij', 1000000) | extend y = strcat_array(x, ',')".to_owned(),
        // Large values, many rows of them: in plain columns, and where each is computed once a distinct value.
        "range x from 1 to 100000 step 1 | extend s = strrep(strcat('a', x), 1024) | extend s = strcat(s, s, s, s) | extend s = strcat(s, s, s, s) | extend s = strcat(s, s, s, s) | where s has 'b' | count".to_owned(),
        "range x from 1 to 100000 step 1 | extend s = range(1, 20000, 1) | extend t = array_concat(s, pack_array(x)) | summarize count() by strlen(tostring(t))".to_owned(),
        // Many needles in long texts.
        "range x from 1 to 1000000 step 1 | where strcat(strrep(strrep('ab', 1024), 400), x) has_any (split(strrep('needle,', 1000), ','))".to_owned(),
        "print t = strrep(strrep('ab', 1024), 400) | extend l = split(strrep(strrep('x ', 1024), 40), ' ') | extend u = replace_strings(t, l, l)".to_owned(),
        // Bags that differ, of the same size.
        "range x from 1 to 2000000 step 1 | summarize count() by b = bag_pack('k', x)".to_owned(),
        format!("print x = {}1{}", "iff(true, ".repeat(3000), ", 2)".repeat(3000)),
        "T | where name in (".repeat(5000),
        // Read in two ways at each level.
        format!("{}T){}", "f(g(toscalar(h(i((j(".repeat(15), " nsu)".repeat(20)),
        format!("let x = {}T | count{};", "f(".repeat(90), " | take 1)".repeat(89)),
        format!("{}{}", " ".repeat(200_000), "f(toscalar(g(".repeat(30)),
        "print x = toscalar(".repeat(5000),
    ];
    for query in refused {
        let shown: String = query.chars().take(90).collect();
        let began = std::time::Instant::now();
        let answer =
            std::thread::Builder::new().stack_size(64 << 20).spawn(move || tables::run_bounded(&query));
        let answer = answer.expect("a thread").join().expect("no panic");
        assert!(answer.is_err(), "{shown} has an answer");
        // Generous: the point is that it ends.
        assert!(began.elapsed().as_secs() < 60, "{shown} took {:?}", began.elapsed());
    }
}
