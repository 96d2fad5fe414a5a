//! Readers of traces: what they take, and what they say to what they do not.

use tensorforge_engine::models::{Class, Kind, Mark, Window};
use tensorforge_engine::units::{Micros, Tokens};
use tensorforge_fleet::trace::marks;
use tensorforge_fleet::{Format, Key, Trace};
use xxhash_rust::xxh3::xxh3_64;

const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";
const MOONCAKE: &str =
    r#"{"timestamp": 40, "input_length": 1025, "output_length": 3, "hash_ids": [7, 8, 9]}"#;
const OWN: &str = r#"{"tensorforge_trace":1,"name":"n","block_tokens":512}"#;

fn read(text: &str) -> Trace {
    Trace::parse("f", "f", text.as_bytes(), None).unwrap()
}

/// What is said to these bytes.
fn refused(bytes: &[u8], format: Option<Format>) -> String {
    Trace::parse("f", "f", bytes, format).unwrap_err().to_string()
}

fn check(lines: &[&str], expected: &str) {
    assert_eq!(refused(lines.join("\n").as_bytes(), None), expected);
}

#[test]
fn azure_as_it_is_published() {
    let plain = read(&format!(
        "{AZURE}\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319619,3180,300"
    ));
    assert_eq!(plain.rows.len(), 2);
    let row = &plain.rows[1];
    // 04.031961(9) - 03.979960(0), each rounded down: 52 001 us.
    assert_eq!(
        (row.at, row.tokens_in, row.tokens_out),
        (Micros(52_001), Tokens(3_180), Tokens(300))
    );
    // 300 rounded up to a multiple of 256.
    assert_eq!((row.external, row.tokens_out_max, row.class), (2, Tokens(512), Class::Standard));
    assert_eq!((row.tenant.as_str(), &row.model, &row.idempotency), ("azure", &None, &None));
    // With a byte order mark, carriage returns and an empty last line; and as the traces of 2024.
    let marked = format!(
        "\u{feff}{AZURE}\r\n2023-11-16 18:17:03.9799600,4808,10\r\n2023-11-16 18:17:04.0319619,3180,300\r\n"
    );
    assert_eq!(read(&marked), plain);
    let newer = format!("{AZURE}\n2024-02-28 23:59:59+00:00,1,0\n2024-03-01T00:00:00.5Z,1,1");
    // 2024 has a 29th of February: one second to midnight, one day, half a second.
    assert_eq!(read(&newer).rows[1].at, Micros(86_401_500_000));
    assert_eq!(read(&newer).rows[0].tokens_out_max, Tokens(256));
}

#[test]
fn azure_rows_that_are_bad() {
    const GOOD: &str = "2023-11-16 18:17:04.0319600,4808,10";
    const TIME: &str = "expected a time as `2023-11-16 18:17:03.9799600`";
    let cases: [(&[&str], String); 14] = [
        (&[AZURE], "f: expected at least one row, found none".into()),
        (&[AZURE, GOOD, "2023-11-16 18:17:03.9799600,1,1"], "f:3:1: TIMESTAMP: expected no time before `2023-11-16 18:17:04.0319600` of line 2, found `2023-11-16 18:17:03.9799600`".into()),
        (&[AZURE, "2023-11-16 18:17,1,1"], format!("f:2:1: TIMESTAMP: {TIME}, found `2023-11-16 18:17`")),
        (&[AZURE, "2023-02-29 18:17:03.9,1,1"], format!("f:2:1: TIMESTAMP: {TIME}, found `2023-02-29 18:17:03.9`")),
        (&[AZURE, "2023-11-16 24:17:03.9,1,1"], format!("f:2:1: TIMESTAMP: {TIME}, found `2023-11-16 24:17:03.9`")),
        (&[AZURE, "2023-11-16 18:17:03.,1,1"], format!("f:2:1: TIMESTAMP: {TIME}, found `2023-11-16 18:17:03.`")),
        (&[AZURE, GOOD, ""  , GOOD], format!("f:3:1: TIMESTAMP: {TIME}, found nothing")),
        (&[AZURE, "2023-11-16 18:17:03.9799600,0,1"], "f:2:29: ContextTokens: expected a whole number from 1 to 1000000000, found `0`".into()),
        (&[AZURE, "2023-11-16 18:17:03.9799600,-5,1"], "f:2:29: ContextTokens: expected a whole number from 1 to 1000000000, found `-5`".into()),
        (&[AZURE, "2023-11-16 18:17:03.9799600,+5,1"], "f:2:29: ContextTokens: expected a whole number from 1 to 1000000000, found `+5`".into()),
        (&[AZURE, "2023-11-16 18:17:03.9799600,5,99999999999999999999"], "f:2:31: GeneratedTokens: expected a whole number from 0 to 1000000000, found `99999999999999999999`".into()),
        (&[AZURE, "2023-11-16 18:17:03.9799600,5,1.5"], "f:2:31: GeneratedTokens: expected a whole number from 0 to 1000000000, found `1.5`".into()),
        (&[AZURE, GOOD, "2023-11-16 18:17:05.9799600,48"], "f:3:31: GeneratedTokens: expected a whole number from 0 to 1000000000, found nothing".into()),
        (&[AZURE, "2023-11-16 18:17:03.9799600,5,1,7"], "f:2:33: row: expected three columns, found a fourth".into()),
    ];
    for (lines, expected) in cases {
        check(lines, &expected);
    }
    assert_eq!(
        refused(b"TIMESTAMP,Context\n", Some(Format::Azure)),
        "f:1:1: header: expected `TIMESTAMP,ContextTokens,GeneratedTokens`, found `TIMESTAMP,Context`",
    );
}

#[test]
fn mooncake_as_upstream_has_it() {
    let later = r#"{"hash_ids":[],"timestamp":43,"output_length":0,"input_length":9}"#;
    let trace = read(&format!("{MOONCAKE}\n{later}\n"));
    let (first, last) = (&trace.rows[0], &trace.rows[1]);
    assert_eq!((trace.block_tokens, first.at, last.at), (512, Micros(0), Micros(3_000)));
    assert_eq!((first.blocks.as_slice(), first.tokens_in), ([7, 8, 9].as_slice(), Tokens(1_025)));
    assert_eq!((first.tenant.as_str(), first.tokens_out_max), ("mooncake", Tokens(256)));
}

#[test]
fn mooncake_rows_that_are_bad() {
    let line = |from: &str, to: &str| MOONCAKE.replace(from, to);
    let cases = [
        (
            line("40,", "39,"),
            "f:2:15: timestamp: expected no time before `40` of line 1, found `39`",
        ),
        (
            line("40,", "-1,"),
            "f:2:15: timestamp: expected a whole number from 0 to 1000000000000, found `-1`",
        ),
        (
            line("40,", "40.5,"),
            "f:2:15: timestamp: expected a whole number from 0 to 1000000000000, found `40.5`",
        ),
        (
            line("1025", "0"),
            "f:2:35: input_length: expected a whole number from 1 to 1000000000, found `0`",
        ),
        (
            line("1025", "99999999999999999999"),
            "f:2:35: input_length: expected a whole number from 1 to 1000000000, found `99999999999999999999`",
        ),
        (
            line("1025", "1024"),
            "f:2:73: hash_ids: expected at most 2 blocks of 512 tokens, found 3",
        ),
        (
            line("[7, 8, 9]", "[7, \"8\"]"),
            "f:2:73: hash_ids: expected a list of whole numbers, found `[7, \"8\"]`",
        ),
        (
            line("\"output_length\": 3, ", ""),
            "f:2:1: output_length: expected a whole number from 0 to 1000000000, found no such key",
        ),
        (
            line(", \"hash_ids\": [7, 8, 9]", ""),
            "f:2:1: hash_ids: expected a list of whole numbers, found no such key",
        ),
        (
            line("}", ", \"user\": 1}"),
            "f:2:92: user: expected only timestamp, input_length, output_length and hash_ids, found another key",
        ),
        (
            line("}", ", \"timestamp\": 41}"),
            "f:2:97: timestamp: expected one value, found a second",
        ),
        (line(", 9]}", ""), "f:2:77: row: expected a JSON object, found the end of the line"),
        (
            line("40", "fourty"),
            "f:2:16: row: expected a JSON object, found `ourty, \"input_length\": 1025, \"output_len...`",
        ),
        ("[]".to_owned(), "f:2:1: row: expected a JSON object, found `[]`"),
    ];
    for (second, expected) in cases {
        check(&[MOONCAKE, &second], expected);
    }
}

#[test]
fn own_traces_with_everything_and_nothing() {
    let full = r#"{"at":5,"tenant":"a\n","model":"m","class":"batch","kind":"training","origin":"north","tokens_in":600,"tokens_out":3,"tokens_out_max":4,"deadline":9,"limit":70,"idempotency":"18446744073709551615","blocks":[1,2],"window":[10,20]}"#;
    let bare = r#"{"at":7,"tenant":"b","tokens_in":1,"tokens_out":256}"#;
    let trace = read(&format!("{OWN}\n{full}\n{bare}"));
    assert_eq!(
        (trace.name.as_str(), trace.block_tokens, trace.tenants()),
        ("n", 512, vec!["a\n", "b"])
    );
    let (row, usual) = (&trace.rows[0], &trace.rows[1]);
    assert_eq!((row.at, row.kind, row.class), (Micros(0), Kind::Training, Class::Batch));
    assert_eq!((row.limit, usual.limit), (70, 0));
    assert_eq!((row.deadline, &row.idempotency), (Some(Micros(9)), &Some(Key::of(u64::MAX))));
    assert_eq!(row.window, Some(Window { from: Micros(10), until: Micros(20) }));
    assert_eq!((usual.at, usual.kind, usual.class), (Micros(2), Kind::Inference, Class::Standard));
    assert_eq!((usual.tokens_out_max, usual.deadline, &usual.window), (Tokens(256), None, &None));
    // Written again, it counts from its first row.
    let written = trace.to_jsonl();
    assert_eq!(
        written,
        format!("{OWN}\n{full}\n{bare}\n")
            .replace("\"at\":5", "\"at\":0")
            .replace("\"at\":7", "\"at\":2")
    );
    assert_eq!(read(&written), trace);
}

/// What has no answer allows none, and says so by its kind alone.
#[test]
fn embeddings_as_they_are_written() {
    let row = r#"{"at":0,"tenant":"a","kind":"embedding","tokens_in":600,"tokens_out":0}"#;
    let trace = read(&format!("{OWN}\n{row}\n"));
    assert_eq!((trace.rows[0].kind, trace.rows[0].tokens_out_max), (Kind::Embedding, Tokens(0)));
    assert_eq!(trace.to_jsonl(), format!("{OWN}\n{row}\n"));
    let stated = row.replace('}', r#","tokens_out_max":0}"#);
    assert_eq!(read(&format!("{OWN}\n{stated}\n")), trace);
}

#[test]
fn own_rows_that_are_bad() {
    let good = r#"{"at":5,"tenant":"a","tokens_in":600,"tokens_out":3}"#;
    let with = |more: &str| good.replace('}', &format!(",{more}}}"));
    let cases = [
        (good.replace("5,", "4,"), "f:3:7: at: expected no time before `5` of line 2, found `4`"),
        (
            good.replace("\"a\"", "\"\""),
            "f:3:18: tenant: expected a string that is not empty, found `\"\"`",
        ),
        (
            good.replace("\"a\"", "7"),
            "f:3:18: tenant: expected a string that is not empty, found `7`",
        ),
        (
            good.replace("\"tenant\":\"a\",", ""),
            "f:3:1: tenant: expected a string that is not empty, found no such key",
        ),
        (
            with(r#""class":"fast""#),
            "f:3:61: class: expected \"interactive\", \"standard\" or \"batch\", found `\"fast\"`",
        ),
        (
            with(r#""kind":1"#),
            "f:3:60: kind: expected \"inference\", \"batch\", \"training\" or \"embedding\", found `1`",
        ),
        (
            with(r#""tokens_out_max":2"#),
            "f:3:70: tokens_out_max: expected a whole number from 3 to 1000000000, found `2`",
        ),
        (
            with(r#""kind":"embedding""#),
            "f:3:51: tokens_out: expected a whole number from 0 to 0, found `3`",
        ),
        (
            with(r#""limit":4294967296"#),
            "f:3:61: limit: expected a whole number from 1 to 4294967295, found `4294967296`",
        ),
        (
            with(r#""deadline":0"#),
            "f:3:64: deadline: expected a whole number from 1 to 1000000000000000, found `0`",
        ),
        (
            with(r#""idempotency":"""#),
            "f:3:67: idempotency: expected a text of 1 to 255 bytes, or a whole number, found `\"\"`",
        ),
        (
            with(r#""blocks":[1,2,3]"#),
            "f:3:62: blocks: expected at most 2 blocks of 512 tokens, found 3",
        ),
        (
            with(r#""window":[20,20]"#),
            "f:3:62: window: expected two ascending times from the row's arrival on, as [60000000,120000000], found `[20,20]`",
        ),
        (
            with(r#""color":"red""#),
            "f:3:61: color: expected only at, tenant, model, class, kind, origin, tokens_in, tokens_out, tokens_out_max, deadline, limit, idempotency, blocks and window, found another key",
        ),
    ];
    for (third, expected) in cases {
        check(&[OWN, good, &third], expected);
    }
    check(&[OWN], "f: expected at least one row, found none");
    check(
        &[&OWN.replace(":1,", ":2,"), good],
        "f:1:22: tensorforge_trace: expected a whole number from 1 to 1, found `2`",
    );
    check(
        &[&OWN.replace("512", "0"), good],
        "f:1:50: block_tokens: expected a whole number from 1 to 1000000000, found `0`",
    );
}

#[test]
fn files_that_are_no_trace() {
    let unknown =
        "f:1:1: expected the first line of an Azure, Mooncake or TensorForge trace, found";
    check(&["time,tokens"], &format!("{unknown} `time,tokens`"));
    check(&["{}"], &format!("{unknown} `{{}}`"));
    check(&[""], "f: expected at least one row, found none");
    assert_eq!(
        refused(b"TIMESTAMP,ContextTokens,GeneratedTokens\n20\xff", None),
        "f:2:3: expected UTF-8, found the byte 0xff",
    );
    // What was asked for is what is read.
    assert_eq!(
        refused(MOONCAKE.as_bytes(), Some(Format::Own)),
        "f:1:1: tensorforge_trace: expected a whole number from 1 to 1, found no such key",
    );
    let missing = Trace::open("no/such/file".as_ref(), None).unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file: cannot be read: "), "{missing}");
}

#[test]
fn marks_at_geometric_depths() {
    let depths = |blocks: u64, tokens: u64| -> Vec<u64> {
        let blocks: Vec<u64> = (0..blocks).collect();
        marks(&blocks, 512, Tokens(tokens)).iter().map(|mark| mark.tokens.0).collect()
    };
    assert_eq!(depths(0, 9), [0u64; 0]);
    assert_eq!(depths(1, 100), [100]);
    assert_eq!(depths(4, 2_048), [512, 1_024, 2_048]);
    assert_eq!(depths(6, 2_900), [512, 1_024, 2_048, 2_900]);
    // 374 blocks: 1, 2, 4... 256 and 374 are ten depths; the two shallowest are left out.
    assert_eq!(
        depths(374, 191_378),
        [2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072, 191_378]
    );
    // The hash is over the ids before the mark, as little-endian words.
    let hash = xxh3_64(&[7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        marks(&[7, 8], 512, Tokens(1_000)).last(),
        Some(&Mark { hash, tokens: Tokens(1_000) })
    );
}
