//! Streams of events, cut anywhere.

use tensorforge_wire::{Event, Events, TooLong};

fn events(stream: &[u8], cuts: &[usize], limit: usize) -> (Vec<Event>, Result<Vec<u8>, TooLong>) {
    let mut events = Events::new(limit);
    let mut found = Vec::new();
    let ends = cuts.iter().copied().chain([stream.len()]);
    let mut start = 0;
    for end in ends {
        events.feed(&stream[start..end]);
        start = end;
        if end == stream.len() {
            events.end();
        }
        loop {
            match events.next_event() {
                Ok(Some(event)) => found.push(event),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    let rest = events.rest().to_vec();
    (found, Ok(rest))
}

/// Raw, name and data of each event.
fn check(stream: &str, expected: &[(&str, Option<&str>, Option<&str>)], rest: &str) {
    let (found, left) = events(stream.as_bytes(), &[], 1_000);
    let raw = |event: &Event| String::from_utf8(event.raw.clone()).unwrap();
    let found: Vec<_> =
        found.iter().map(|event| (raw(event), event.name.clone(), event.data.clone())).collect();
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let expected =
        expected.iter().map(|(raw, name, data)| (raw.to_string(), owned(*name), owned(*data)));
    assert_eq!(found, expected.collect::<Vec<_>>(), "{stream:?}");
    assert_eq!(left.unwrap(), rest.as_bytes(), "{stream:?}");
}

#[test]
fn a_stream_is_cut_into_events() {
    check("", &[], "");
    check("data: a\n\n", &[("data: a\n\n", None, Some("a"))], "");
    check("data:a\r\n\r\n", &[("data:a\r\n\r\n", None, Some("a"))], "");
    check("data:  a\r\r", &[("data:  a\r\r", None, Some(" a"))], "");
    check(
        "data: a\r\rdata: b\r\n\n",
        &[("data: a\r\r", None, Some("a")), ("data: b\r\n\n", None, Some("b"))],
        "",
    );
    check(
        ": ping\n\nevent: x\ndata: a: b\nid: 7\ndata\ndata:c\n\n",
        &[
            (": ping\n\n", None, None),
            ("event: x\ndata: a: b\nid: 7\ndata\ndata:c\n\n", Some("x"), Some("a: b\n\nc")),
        ],
        "",
    );
    check("\u{feff}data: a\n\n", &[("\u{feff}data: a\n\n", None, Some("a"))], "");
    // A mark in the middle is a part of a name that nobody knows.
    check("\n\u{feff}data: a\n\n", &[("\n", None, None), ("\u{feff}data: a\n\n", None, None)], "");
    check("data: a\n\ndata: b\n", &[("data: a\n\n", None, Some("a"))], "data: b\n");
    check("data: a\r", &[], "data: a\r");
}

#[test]
fn the_word_at_the_end_is_known() {
    let is_done = |stream: &[u8]| events(stream, &[], 100).0[0].is_done();
    assert!(is_done(b"data: [DONE]\n\n"));
    assert!(is_done(b"data:[DONE] \r\n\r\n"));
    assert!(!is_done(b"data: \"[DONE]\"\n\n"));
    assert!(!is_done(b": [DONE]\n\n"));
}

#[test]
fn an_event_is_told_with_its_last_byte() {
    let mut events = Events::new(100);
    events.feed(b"data: a\n");
    assert_eq!(events.next_event(), Ok(None));
    events.feed(b"\n");
    assert_eq!(events.next_event().unwrap().unwrap().raw, b"data: a\n\n");
    // An LF may still come.
    events.feed(b"data: b\r\n\r");
    assert_eq!(events.next_event(), Ok(None));
    events.feed(b"\n");
    assert_eq!(events.next_event().unwrap().unwrap().raw, b"data: b\r\n\r\n");
    assert_eq!(events.next_event(), Ok(None));
    assert!(events.rest().is_empty());
}

#[test]
fn a_long_event_is_refused_however_it_is_cut() {
    // Ten bytes and eleven.
    let stream = b"data: 12\n\ndata: 123\n\n";
    assert_eq!(events(stream, &[], 11).0.len(), 2);
    for cut in 0..stream.len() {
        let (found, left) = events(stream, &[cut], 10);
        assert_eq!((found.len(), left), (1, Err(TooLong { limit: 10 })), "{cut}");
    }
    // It stays an error, whatever comes.
    let mut events = Events::new(4);
    events.feed(b"data: 12\n\n");
    assert_eq!(events.next_event(), Err(TooLong { limit: 4 }));
    events.feed(b"\n\n");
    assert_eq!(events.next_event(), Err(TooLong { limit: 4 }));
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

    fn stream(&mut self) -> Vec<u8> {
        const PIECES: [&str; 14] = [
            "\n",
            "\r\n",
            "\r",
            "\n\n",
            "\r\n\r\n",
            "data: ",
            "data:{\"a\":1}",
            "event: x",
            ": ping",
            "é",
            "\u{feff}",
            "[DONE]",
            "id",
            "\u{1f600}",
        ];
        let length = self.below(40);
        let mut stream = Vec::new();
        for _ in 0..length {
            let place = self.below(PIECES.len());
            stream.extend_from_slice(PIECES[place].as_bytes());
        }
        stream
    }
}

#[test]
fn events_and_bytes_do_not_depend_on_the_cuts() {
    let mut draws = Draws(1);
    let mut seen = 0;
    for _ in 0..2_000 {
        let stream = draws.stream();
        let limit = if draws.below(4) == 0 { 30 } else { 10_000 };
        let (whole, left) = events(&stream, &[], limit);
        seen += whole.len();
        if let Ok(left) = &left {
            let bytes: Vec<u8> = whole.iter().flat_map(|event| event.raw.clone()).collect();
            assert_eq!([bytes, left.clone()].concat(), stream);
        }
        let every: Vec<usize> = (0..stream.len()).collect();
        assert_eq!(events(&stream, &every, limit), (whole.clone(), left.clone()), "{stream:?}");
        for _ in 0..4 {
            let mut cuts: Vec<usize> =
                (0..draws.below(6)).map(|_| draws.below(stream.len() + 1)).collect();
            cuts.sort_unstable();
            cuts.retain(|cut| *cut < stream.len());
            let found = events(&stream, &cuts, limit);
            assert_eq!(found, (whole.clone(), left.clone()), "{stream:?} {cuts:?}");
        }
    }
    assert!(seen > 5_000, "{seen}");
}
