//! Examples of Kusto's documentation, with what it says that they come to.

mod one;

use kql::{Batch, Table, TableColumn};
use serde_json::Value as Json;

struct Nothing;

impl Table for Nothing {
    fn columns(&self) -> &[TableColumn] {
        &[]
    }

    fn batches<'a>(&'a self, _: &'a [bool]) -> Box<dyn Iterator<Item = Batch> + 'a> {
        Box::new(std::iter::empty())
    }
}

/// The rows, one a line, their values apart by a space.
fn rows(query: &str) -> String {
    let answer = one::answer(query, Nothing);
    let row = |row: usize| {
        let texts = answer.row(row).into_iter().map(|value| match value.to_json() {
            Json::String(text) => text,
            other => other.to_string(),
        });
        texts.collect::<Vec<_>>().join(" ")
    };
    (0..answer.rows).map(row).collect::<Vec<_>>().join("\n")
}

fn refusal(query: &str) -> String {
    let settings = kql::Settings { now: 0, memory_bytes_max: 1 << 20, stop: &|| false };
    match kql::run(query, &NoTables, &settings) {
        Ok(answer) => format!("{} rows", answer.rows),
        Err(error) => error.details.last().map_or_else(String::new, |it| it.message.clone()),
    }
}

struct NoTables;

impl kql::Source for NoTables {
    fn table(&self, _: &str) -> Option<std::sync::Arc<dyn Table>> {
        None
    }

    fn saved_query(&self, _: &str) -> Option<String> {
        None
    }
}

#[test]
fn rows_are_numbered() {
    let ten = "range a from 1 to 10 step 1 | sort by a desc";
    assert_eq!(rows(&format!("{ten} | extend rn = row_number() | take 2")), "10 1\n9 2");
    assert_eq!(rows(&format!("{ten} | extend rn = row_number(7) | where a == 1")), "1 16");
    let flights = "datatable (Airport:string, Airline:string, Departures:long)
        ['TLV', 'LH', 1, 'TLV', 'LY', 100, 'SEA', 'LH', 1, 'SEA', 'BA', 2, 'SEA', 'LY', 0]
        | sort by Airport asc, Departures desc
        | extend Rank = row_number(1, prev(Airport) != Airport)";
    assert_eq!(rows(flights), "SEA BA 2 1\nSEA LH 1 2\nSEA LY 0 3\nTLV LY 100 1\nTLV LH 1 2");
    // A filter of rows by their numbers, whose column goes nowhere.
    assert_eq!(rows(&format!("{ten} | where row_number() % 4 == 0")), "7\n3");
    assert_eq!(
        rows("range a from 1 to 3 step 1 | serialize n = row_number() | project n * 10 + a"),
        "11\n22\n33"
    );
}

#[test]
fn values_are_summed_up_row_by_row() {
    let even = "datatable (a:long) [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] | where a % 2 == 0
        | serialize cs = row_cumsum(a)";
    assert_eq!(rows(even), "2 2\n4 6\n6 12\n8 20\n10 30");
    let salaries = "datatable (name:string, month:int, salary:long)
        ['Alice', 1, 1000, 'Bob', 1, 1000, 'Alice', 2, 2000, 'Bob', 2, 1950, 'Alice', 3, 1400, 'Bob', 3, 1450]
        | order by name asc, month asc | extend total = row_cumsum(salary, name != prev(name))";
    assert_eq!(
        rows(salaries),
        "Alice 1 1000 1000\nAlice 2 2000 3000\nAlice 3 1400 4400\nBob 1 1000 1000\nBob 2 1950 2950\nBob 3 1450 4400"
    );
    assert_eq!(rows("print x = 1 | where x > 1 | serialize s = row_cumsum(x)"), "");
}

#[test]
fn rows_beside_a_row_are_seen() {
    let three = "datatable (a:long, s:string) [1, 'x', 2, 'y', 3, 'z'] | serialize";
    assert_eq!(
        rows(&format!("{three} | extend p = prev(a), n = next(a)")),
        "1 x null 2\n2 y 1 3\n3 z 2 null"
    );
    assert_eq!(
        rows(&format!("{three} | project p = prev(s, 2, 'none'), n = next(s, 1)")),
        "none y\nnone z\nx "
    );
    assert_eq!(rows(&format!("{three} | extend d = a - prev(a, 1, 0) | summarize sum(d)")), "3");
    let ranks = "datatable (a:long) [1, 1, 2, 2, 5] | serialize | project row_rank_dense(a), row_rank_min(a)";
    assert_eq!(rows(ranks), "1 1\n1 1\n2 3\n2 3\n3 5");
}

#[test]
fn rows_in_no_order_have_no_rows_beside_them() {
    let refused = refusal("range a from 1 to 3 step 1 | extend row_number()");
    assert!(refused.contains("'serialize' or 'sort by'"), "{refused}");
    let refused = refusal("range a from 1 to 3 step 1 | sort by a | summarize max(prev(a))");
    assert!(refused.contains("use it in extend"), "{refused}");
    assert!(
        refusal("range a from 1 to 3 step 1 | serialize | summarize count() by a | extend prev(a)")
            .contains("order")
    );
    assert!(refusal("print 1 | serialize | extend row_number(1, 2, 3)").contains("0 to 2 arguments"));
    assert!(refusal("print a = 'x' | serialize | extend row_cumsum(a)").contains("number"));
}

#[test]
fn hashes_are_those_of_kusto() {
    for (call, wanted) in [
        ("hash('World')", "1846988464401551951"),
        ("hash('World', 100)", "51"),
        ("hash(datetime('2015-01-01'))", "1380966698541616202"),
        ("hash_xxhash64('World')", "1846988464401551951"),
        ("hash('Hello')", "753694413698530628"),
        ("hash_md5('World')", "f5a7924e621e84c9280a9a27e1bcb7f6"),
        ("hash_sha1('World')", "70c07ec18ef89c5309bbb0937f3a6342411e1fdd"),
        ("hash_sha256('World')", "78ae647dc5544d227130a0682a51e30bc7777fbb6d8a8f17007463a3ecd1d524"),
        // Their specifications' own, of more than a block and of nothing.
        (
            "hash_md5('12345678901234567890123456789012345678901234567890123456789012345678901234567890')",
            "57edf4a22be3c955ac49da2e2107b67a",
        ),
        (
            "hash_sha1('abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq')",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        ),
        ("hash_md5('')", "d41d8cd98f00b204e9800998ecf8427e"),
        ("hash('')", "-1205034819632174695"),
        ("hash('Nobody inspects the spammish repetition')", "-302119147016844303"),
        ("hash('x', 0)", "null"),
    ] {
        assert_eq!(rows(&format!("print {call}")), wanted, "{call}");
    }
}

#[test]
fn addresses_are_found_in_texts() {
    for (call, wanted) in [
        ("has_ipv4('05:04:54 127.0.0.1 GET /favicon.ico 404', '127.0.0.1')", "true"),
        ("has_ipv4('05:04:54 127.0.0.256 GET /favicon.ico 404', '127.0.0.256')", "false"),
        ("has_ipv4('05:04:54127.0.0.1 GET /favicon.ico 404', '127.0.0.1')", "false"),
        ("has_ipv4('from 10.1.1.115 and 10.1.1.201.', '10.1.1.201')", "true"),
        ("has_ipv4('from 10.1.1.115', '10.1.1.11')", "false"),
        ("has_any_ipv4('05:04:54 127.0.0.1 GET /', '127.0.0.1', '127.0.0.2')", "true"),
        ("has_any_ipv4('05:04:54 127.0.0.1 GET /', dynamic(['127.0.0.3', '127.0.0.2']))", "false"),
        ("has_ipv4_prefix('05:04:54 127.0.0.1 GET /', '127.0.')", "true"),
        ("has_ipv4_prefix('05:04:54 127.0.0.1 GET /', '127.0')", "false"),
        ("has_ipv4_prefix('05:04:54 127.0.0.256 GET /', '127.0.')", "false"),
        ("has_ipv4_prefix('05:04:54127.0.0.1 GET /', '127.0.')", "false"),
        ("has_any_ipv4_prefix('05:04:54 127.0.0.1 GET /', '127.0.', '192.168.')", "true"),
        ("has_any_ipv4_prefix('05:04:54 127.0.0.1 GET /', dynamic(['127.0', '192.168.']))", "false"),
    ] {
        assert_eq!(rows(&format!("print {call}")), wanted, "{call}");
    }
}

#[test]
fn numbers_and_dates() {
    for (call, wanted) in [
        ("tohex(256)", "100"),
        ("tohex(-256)", "ffffffffffffff00"),
        ("tohex(toint(-256), 8)", "ffffff00"),
        ("tohex(toint(-256))", "ffffff00"),
        ("tohex(256, 8)", "00000100"),
        ("tohex(256, 2)", "100"),
        ("isempty(tohex(toint(null)))", "true"),
        ("datetime(2017, 10, 1)", "2017-10-01T00:00:00.0000000Z"),
        ("datetime(2017, 10, 1, 12, 10)", "2017-10-01T12:10:00.0000000Z"),
        ("make_datetime(2017, 10, 1, 12, 11, 0.1234567)", "2017-10-01T12:11:00.1234567Z"),
        ("datetime(2017, 13, 1)", "null"),
    ] {
        assert_eq!(rows(&format!("print {call}")), wanted, "{call}");
    }
}

#[test]
fn not_is_written_in_either_way() {
    let three = "datatable (a:string) ['Ab', 'b', 'C']";
    for (test, wanted) in [
        ("notcontains 'B'", "C"),
        ("!contains 'B'", "C"),
        ("notcontains_cs 'B'", "Ab\nb\nC"),
        ("!contains_cs 'b'", "C"),
        ("notcontainscs 'b'", "C"),
        ("!containscs 'b'", "C"),
    ] {
        assert_eq!(rows(&format!("{three} | where a {test}")), wanted, "{test}");
    }
}

#[test]
fn arguments_may_be_named() {
    let f = "let f = (a:long, b:string = 'b.default', c:long = 0) { strcat(a, '-', b, '-', c) };";
    assert_eq!(rows(&format!("{f} print f(12, c = 7)")), "12-b.default-7");
    assert_eq!(rows(&format!("{f} print f(c = 7, a = 12)")), "12-b.default-7");
    assert_eq!(rows(&format!("{f} print f(12, 'x')")), "12-x-0");
    for wrong in ["f(c = 7)", "f(1, a = 2)", "f(1, d = 2)", "f(c = 7, 1)", "f(1, 'x', 2, 3)"] {
        assert!(
            refusal(&format!("{f} print {wrong}")).contains("arguments of the types that it declares"),
            "{wrong}"
        );
    }
    let many = "let many = (a:long, b:long = 3) { range x from a to b step 1 };";
    assert_eq!(rows(&format!("{many} many(b = 2, a = 1)")), "1\n2");
    assert_eq!(rows("print pack('name', level = 'x')"), r#"{"name":"x"}"#);
    for text in ["print f(a, b=(1))", "print pack('n', ['a b']=x)", "f(b=2, a=1)", "T | where f(a=b==c)"] {
        let printed = kql::parse(text).expect("reads").to_string();
        let again = kql::parse(&printed).expect("reads back");
        assert_eq!((again.clone(), again.to_string()), (kql::parse(text).expect("reads"), printed));
    }
}

const TRACE: &str = "print t = 'Event: NotifySliceRelease (resourceName=PipelineScheduler, totalSlices=27, \
    sliceNumber=23, lockTime=02/17/2016 08:40:01, releaseTime=02/17/2016 08:40:01, \
    previousLockTime=02/17/2016 08:39:01)'";

#[test]
fn parse_reads_traces() {
    let simple = r#"parse t with * "resourceName=" resourceName ", totalSlices=" totalSlices: long *
        "sliceNumber=" sliceNumber: long * "lockTime=" lockTime ", releaseTime=" releaseTime: date ","
        * "previousLockTime=" previousLockTime: date ")" *"#;
    assert_eq!(
        rows(&format!("{TRACE} | {simple} | project-away t")),
        "PipelineScheduler 27 23 02/17/2016 08:40:01 2016-02-17T08:40:01.0000000Z 2016-02-17T08:39:01.0000000Z"
    );
    // Texts with groups of their own; and texts are as long as can be.
    let regex = r#"parse kind=regex t with "(.*?)[a-zA-Z]*=" resourceName @", totalSlices=\s*\d+\s*.*?sliceNumber="
        sliceNumber: long ".*?(previous)?lockTime=" lockTime ".*?releaseTime=" releaseTime
        ".*?previousLockTime=" previousLockTime: date "\\)""#;
    assert_eq!(
        rows(&format!("{TRACE} | {regex} | project-away t")),
        "PipelineScheduler 23 02/17/2016 08:40:01,  02/17/2016 08:40:01,  2016-02-17T08:39:01.0000000Z"
    );
    let greedy = r#"parse kind=regex t with * "resourceName=" resourceName ',' *"#;
    assert_eq!(
        rows(&format!("{TRACE} | {greedy} | project-away t")),
        "PipelineScheduler, totalSlices=27, sliceNumber=23, lockTime=02/17/2016 08:40:01, releaseTime=02/17/2016 08:40:01"
    );
    let flags = r#"parse kind=regex flags=Ui t with * "RESOURCENAME=" resourceName ',' *"#;
    assert_eq!(rows(&format!("{TRACE} | {flags} | project-away t")), "PipelineScheduler");
}

#[test]
fn a_star_may_stand_behind_a_typed_column() {
    for (text, pattern, wanted) in [
        ("at 2016-02-17 08:40:01 it was", "* 'at ' d:datetime * 'was'", "2016-02-17T08:40:01.0000000Z"),
        ("took 00:00:07.5 to do", "'took ' d:timespan * 'do'", "00:00:07.5000000"),
        ("is true or so", "'is ' b:bool * 'so'", "true"),
        (
            "id 70fc66f7-8279-44fc-9092-d364d70fce44 it is",
            "'id ' g:guid * 'is'",
            "70fc66f7-8279-44fc-9092-d364d70fce44",
        ),
        ("pi 3.14e0 and more", "'pi ' r:real * 'more'", "3.14"),
        ("n 12 and more", "'n ' n:int *", "12"),
    ] {
        assert_eq!(
            rows(&format!("print t = '{text}' | parse t with {pattern} | project-away t")),
            wanted,
            "{text}"
        );
    }
    assert_eq!(
        rows("print t = 'n x and more' | parse kind=relaxed t with 'n ' n:long * 'more' | project n"),
        "null"
    );
    assert!(refusal("print t = 'a' | parse t with s * 'b'").contains("'*' cannot stand behind"));
}
