//! What a vessel gets, and what a client does not get of the answer.

use std::num::NonZeroU32;

use tensorforge_wire::{Added, Cleaned, Dialect, Events, Measure, Request, Salt, Vessel};

fn forward(dialect: Dialect, body: &str, vessel: Vessel<'_>) -> (String, Added) {
    let measure = Measure { salt: Salt::new([0; 32]), block_tokens: NonZeroU32::new(16).unwrap() };
    let request = Request::read(dialect, body.as_bytes(), &measure).unwrap();
    let forward = request.forward(vessel);
    (String::from_utf8(forward.body).unwrap(), forward.added)
}

const NONE: Added = Added { usage: false, usage_always: false };
const USAGE: Added = Added { usage: true, usage_always: false };
const BOTH: Added = Added { usage: true, usage_always: true };
const ALWAYS: Added = Added { usage: false, usage_always: true };

const OWN: Vessel<'_> = Vessel { model: Some("org/\"own\""), usage_always: false };
const PLAIN: Vessel<'_> = Vessel { model: None, usage_always: false };
const TELLING: Vessel<'_> = Vessel { model: None, usage_always: true };

#[test]
fn all_but_the_models_name_goes_on_as_it_came() {
    let body = " {\t\"temperature\" :1.0,\"top_p\":1e3 ,\"seed\":12345678901234567890123,\r\n \"messages\":[{\"role\":\"user\",\
        \"model\":\"coral\",\"content\":\"\\u0063oral \\/ \\ud83d\\ude00 {\\\"model\\\":\\\"coral\\\"}\"}], \
        \"mod\\u0065l\" : \"c\\u006fral\" , \"metadata\":{\"model\":\"coral\",\"model\":2},\"logprobs\":true }\n";
    let (same, added) = forward(Dialect::Chat, body, PLAIN);
    assert_eq!((same.as_str(), added), (body, NONE));
    let (own, added) = forward(Dialect::Chat, body, OWN);
    let expected = body.replace("\"c\\u006fral\"", "\"org/\\\"own\\\"\"");
    assert_eq!((own, added), (expected, NONE));
    // A name that is the client's own leaves even its spelling.
    let (same, _) = forward(Dialect::Chat, body, Vessel { model: Some("coral"), ..PLAIN });
    assert_eq!(same, body);
}

/// What a body's end becomes; its beginning and all around are the same in all cases.
fn options(vessel: Vessel<'_>, before: &str, after: &str, added: Added) {
    let body =
        |end: &str| format!("{{ \"messages\":[{{}}],\"model\":\"m\",\"stream\":true{end} }} ");
    assert_eq!(forward(Dialect::Chat, &body(before), vessel), (body(after), added), "{before}");
}

#[test]
fn a_stream_is_asked_for_its_usage() {
    let asked = ",\"stream_options\":{\"include_usage\":true}";
    options(PLAIN, "", asked, USAGE);
    options(PLAIN, asked, asked, NONE);
    options(
        PLAIN,
        ",\"stream_options\": null ,\"a\":1",
        ",\"stream_options\": {\"include_usage\":true} ,\"a\":1",
        USAGE,
    );
    options(
        PLAIN,
        ",\"stream_options\":{ }",
        ",\"stream_options\":{\"include_usage\":true }",
        USAGE,
    );
    options(
        PLAIN,
        ",\"stream_options\": {\"x\" : 1 },\"seed\":1",
        ",\"stream_options\": {\"x\" : 1,\"include_usage\":true },\"seed\":1",
        USAGE,
    );
    options(
        PLAIN,
        ",\"stream_options\":{\"include_usage\": false , \"x\":1}",
        ",\"stream_options\":{\"include_usage\": true , \"x\":1}",
        USAGE,
    );
    options(
        TELLING,
        "",
        ",\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}",
        BOTH,
    );
    options(
        TELLING,
        asked,
        ",\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true}",
        ALWAYS,
    );
    options(
        TELLING,
        ",\"stream_options\":{\"continuous_usage_stats\":false,\"include_usage\":false}",
        ",\"stream_options\":{\"continuous_usage_stats\":true,\"include_usage\":true}",
        BOTH,
    );
    // A wish that counts only now that the usage is asked for is ours.
    options(
        PLAIN,
        ",\"stream_options\":{\"continuous_usage_stats\":true}",
        ",\"stream_options\":{\"continuous_usage_stats\":true,\"include_usage\":true}",
        BOTH,
    );
    let both = ",\"stream_options\":{\"continuous_usage_stats\":true,\"include_usage\":true}";
    options(TELLING, both, both, NONE);
}

#[test]
fn who_tells_usage_unasked_is_not_asked() {
    for (dialect, body) in [
        (Dialect::Chat, r#"{"model":"m","messages":[{}],"stream":false}"#),
        (Dialect::Messages, r#"{"model":"m","messages":[{}],"stream":true}"#),
        (Dialect::Responses, r#"{"model":"m","input":"a","stream":true,"stream_options":{}}"#),
        (Dialect::Embeddings, r#"{"model":"m","input":"a","stream":true}"#),
    ] {
        assert_eq!(forward(dialect, body, TELLING), (body.to_owned(), NONE));
    }
    let (body, added) =
        forward(Dialect::Completions, r#"{"model":"m","prompt":"a","stream":true}"#, OWN);
    let expected = r#"{"model":"org/\"own\"","prompt":"a","stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!((body.as_str(), added), (expected, USAGE));
}

fn clean(added: Added, raw: &str) -> Option<String> {
    let mut events = Events::new(1 << 16);
    events.feed(raw.as_bytes());
    let event = events.next_event().unwrap().unwrap();
    match added.clean(&event) {
        Cleaned::Same => Some(raw.to_owned()),
        Cleaned::Changed(bytes) => Some(String::from_utf8(bytes).unwrap()),
        Cleaned::Dropped => None,
    }
}

#[test]
fn a_client_gets_the_usage_that_it_asked_for() {
    let check = |added, raw: &str, expected: Option<&str>| {
        assert_eq!(clean(added, raw).as_deref(), expected, "{raw}");
    };
    let last = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":3}}\n\n";
    check(NONE, last, Some(last));
    check(USAGE, last, None);
    check(BOTH, last, None);
    check(ALWAYS, last, Some(last));
    let null = ": x\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"\\u00e9\",\"usage\":null}}],\"usage\" : null, \"n\":1.0}\r\n\r\n";
    let none = ": x\r\ndata:{\"choices\":[{\"delta\":{\"content\":\"\\u00e9\",\"usage\":null}}], \"n\":1.0}\r\n\r\n";
    check(NONE, null, Some(null));
    check(USAGE, null, Some(none));
    check(BOTH, null, Some(none));
    check(ALWAYS, null, Some(null));
    let every = "data: {\"usage\":{\"prompt_tokens\":3},\"choices\":[{\"text\":\"a\"}]}\n\n";
    check(USAGE, every, Some(every));
    check(BOTH, every, Some("data: {\"choices\":[{\"text\":\"a\"}]}\n\n"));
    check(ALWAYS, every, Some("data: {\"usage\":null,\"choices\":[{\"text\":\"a\"}]}\n\n"));
    // A chunk without choices that is no usage.
    let filter = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
    check(USAGE, filter, Some(filter));
    check(USAGE, "data: [DONE]\n\n", Some("data: [DONE]\n\n"));
    check(USAGE, ": ping\n\n", Some(": ping\n\n"));
    // Data in two lines is written anew.
    let lines = "event: x\ndata: {\"choices\":[{}],\ndata: \"a\":1,\"usage\":null}\n\n";
    check(USAGE, lines, Some("event: x\ndata: {\"choices\":[{}],\ndata: \"a\":1}\n\n"));
}

/// Numbers that look random and are the same everywhere: SplitMix64 (Steele, Lea and Flood, "Fast
/// splittable pseudorandom number generators", 2014).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % bound as u64) as usize
    }

    fn one(&mut self, texts: &[&'static str]) -> &'static str {
        texts[self.below(texts.len())]
    }

    fn space(&mut self) -> &'static str {
        self.one(&["", "", " ", "\t", "\r\n", "  \n "])
    }

    /// A member that is not looked at, or not changed.
    fn member(&mut self, number: usize) -> String {
        const VALUES: [&str; 10] = [
            "1.0",
            "-0",
            "1E+3",
            "null",
            "[ ]",
            "{ \"model\" : \"m\" }",
            "\"\\u0022}\\\\\"",
            "\"\u{e9}\u{1f600}\"",
            "[{\"stream_options\":{}},[\"model\"]]",
            "123456789012345678901234567890",
        ];
        let key = self.one(&["x", "mod", "models", "\\u00e9", "usage", "\\\"model\\\":"]);
        format!("\"{key}{number}\"{}:{}{}", self.space(), self.space(), self.one(&VALUES))
    }
}

#[test]
fn no_other_byte_is_touched() {
    let mut draws = Draws(2);
    for _ in 0..3_000 {
        let mut members: Vec<(String, String)> = Vec::new();
        for number in 0..draws.below(6) {
            let member = draws.member(number);
            members.push((member.clone(), member));
        }
        let same = |text: &str| (text.to_owned(), text.to_owned());
        let (before, after) = (draws.space(), draws.space());
        let spelt = draws.one(&["\"model\"", "\"\\u006dodel\""]);
        let fixed = [
            same("\"messages\":[{\"model\":\"m\"}]"),
            same("\"stream\" :true"),
            (
                format!("{spelt}{before}:{after}\"m\""),
                format!("{spelt}{before}:{after}\"org/\\\"own\\\"\""),
            ),
        ];
        for member in fixed {
            members.insert(draws.below(members.len() + 1), member);
        }
        let asks = "\"stream_options\":{\"include_usage\":true}";
        let is_there = draws.below(2) == 0;
        if is_there {
            let options = ("\"stream_options\":null".to_owned(), asks.to_owned());
            members.insert(draws.below(members.len() + 1), options);
        }
        let (mut body, mut expected) = (draws.space().to_owned(), String::new());
        expected.push_str(&body);
        let mut sign = "{";
        for (old, new) in members {
            let (before, after) = (draws.space(), draws.space());
            body.push_str(&format!("{before}{sign}{after}{old}"));
            expected.push_str(&format!("{before}{sign}{after}{new}"));
            sign = ",";
        }
        if !is_there {
            expected.push_str(&format!(",{asks}"));
        }
        let end = format!("{}}}{}", draws.space(), draws.space());
        body.push_str(&end);
        expected.push_str(&end);
        assert_eq!(forward(Dialect::Chat, &body, OWN), (expected, USAGE), "{body}");
    }
}
