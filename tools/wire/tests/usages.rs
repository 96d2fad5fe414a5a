//! What answers say of themselves, dialect by dialect.

use tensorforge_wire::{Answer, Dialect, End, Events, Fault, Seen, Source, Usage};

/// Input, cached, written, output, reasoning.
fn counted(numbers: [u64; 5]) -> Option<Usage> {
    Some(usage(numbers, Source::Counted))
}

fn usage(numbers: [u64; 5], source: Source) -> Usage {
    let [tokens_in, cached, cache_write, tokens_out, reasoning] = numbers;
    Usage { tokens_in, cached, cache_write, tokens_out, reasoning, source }
}

/// The body of one answer, and what is counted of it.
fn whole(dialect: Dialect, body: &str, numbers: Option<[u64; 5]>) -> Answer {
    let answer = Answer::whole(dialect, body.as_bytes());
    assert_eq!(answer.counted(), numbers.and_then(counted), "{body}");
    answer
}

/// An answer to a stream whose events hold this data, and what was seen of each.
fn stream(dialect: Dialect, data: &[&str]) -> (Answer, Vec<Seen>) {
    let mut events = Events::new(10_000);
    let mut answer = Answer::new(dialect);
    let mut seen = Vec::new();
    for data in data {
        events.feed(format!("data: {data}\n\n").as_bytes());
        while let Some(event) = events.next_event().unwrap() {
            seen.push(answer.see(&event));
        }
    }
    (answer, seen)
}

fn fault(kind: Option<&str>, code: Option<&str>, message: &str) -> End {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    End::Failed(Fault { kind: owned(kind), code: owned(code), message: message.to_owned() })
}

#[test]
fn the_usage_of_a_body_is_counted() {
    let answer = whole(
        Dialect::Chat,
        r#"{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},
            "logprobs":{"content":[{"token":"Hi","logprob":-0.1}]},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":34,"completion_tokens":12,"total_tokens":46,
            "prompt_tokens_details":{"cached_tokens":33,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":8}}}"#,
        Some([34, 33, 0, 12, 8]),
    );
    assert_eq!(answer.end(), &End::Done);
    // The same prompt in Anthropic's words: 1 not cached, 33 read, and here 7 written.
    whole(
        Dialect::Messages,
        r#"{"type":"message","content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":1,
            "cache_read_input_tokens":33,"cache_creation_input_tokens":7,"output_tokens":12}}"#,
        Some([41, 33, 7, 12, 0]),
    );
    whole(
        Dialect::Responses,
        r#"{"object":"response","status":"completed","error":null,"output":[],"usage":{"input_tokens":34,
            "input_tokens_details":{"cached_tokens":33},"output_tokens":12,
            "output_tokens_details":{"reasoning_tokens":8},"total_tokens":46}}"#,
        Some([34, 33, 0, 12, 8]),
    );
    whole(
        Dialect::Completions,
        r#"{"choices":[{"text":"a"}],"usage":{"prompt_tokens":5,"completion_tokens":0,
            "prompt_tokens_details":null}}"#,
        Some([5, 0, 0, 0, 0]),
    );
    whole(
        Dialect::Embeddings,
        r#"{"object":"list","data":[{"embedding":[0.1,-1e-3]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
        Some([5, 0, 0, 0, 0]),
    );
    // More cached than there is, and more thought than said.
    whole(
        Dialect::Chat,
        r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,
            "prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":3}}}"#,
        Some([5, 5, 0, 2, 2]),
    );
}

#[test]
fn what_was_not_counted_is_estimated() {
    let check = |dialect, body: &str, tokens_out| {
        let answer = whole(dialect, body, None);
        let expected = usage([100, 0, 0, tokens_out, 0], Source::Estimated);
        assert_eq!(answer.usage(100), expected, "{body}");
    };
    // 9 + 4 + 7 bytes: content, name, arguments, and neither id nor type.
    check(
        Dialect::Chat,
        r#"{"choices":[{"message":{"role":"assistant","content":"Nine byte","tool_calls":[{"id":"call_123456789",
            "type":"function","function":{"name":"look","arguments":"{\"a\":1}"}}]}}],"usage":null}"#,
        5,
    );
    check(Dialect::Completions, r#"{"choices":[{"text":"abcd"},{"text":"e"}]}"#, 2);
    check(
        Dialect::Messages,
        r#"{"content":[{"type":"thinking","thinking":"abc","signature":"xxxxxxxxxxxx"},{"type":"text","text":"d"}]}"#,
        1,
    );
    check(
        Dialect::Responses,
        r#"{"output":[{"type":"message","id":"m","content":[{"type":"output_text","text":"abcde"}]}]}"#,
        2,
    );
    // One number of two is as good as none.
    let answer = whole(
        Dialect::Chat,
        r#"{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":7}}"#,
        None,
    );
    assert_eq!(answer.usage(100), usage([7, 0, 0, 1, 0], Source::Estimated));
    let answer = whole(Dialect::Chat, "<html>", None);
    assert_eq!((answer.end(), answer.usage(3).tokens_in), (&End::CutOff, 3));
}

#[test]
fn a_chat_streams() {
    use Seen::{Done, First, More, Nothing};
    let role =
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}"#;
    let text = r#"{"choices":[{"index":0,"delta":{"content":"Hello"}}]}"#;
    let thought = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"Hm"}}]}"#;
    let stop = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let count = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
    let again = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#;
    let (answer, seen) =
        stream(Dialect::Chat, &[role, thought, text, stop, count, again, "[DONE]"]);
    assert_eq!(seen, [Nothing, First, More, Nothing, Nothing, Nothing, Done]);
    assert_eq!(answer.counted(), counted([9, 0, 0, 3, 0]));
    assert_eq!(answer.end(), &End::Done);

    // Not counted: three pieces of eight bytes together are three tokens; of thirteen they are four.
    let short = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    let (answer, seen) = stream(Dialect::Chat, &[role]);
    assert_eq!((answer.has_begun(), seen), (false, vec![Nothing]));
    let (answer, _) = stream(Dialect::Chat, &[text, thought, short]);
    assert_eq!(answer.usage(50), usage([50, 0, 0, 3, 0], Source::Estimated));
    assert_eq!((answer.has_begun(), answer.end()), (true, &End::CutOff));
    let (answer, _) = stream(Dialect::Chat, &[text, thought, short, text]);
    assert_eq!(answer.usage(50).tokens_out, 4);

    // Usage in every chunk counts even where the stream was cut off.
    let every = r#"{"choices":[{"text":"a"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
    let (answer, seen) = stream(Dialect::Completions, &[every]);
    assert_eq!((answer.counted(), seen), (counted([9, 0, 0, 1, 0]), vec![First]));
    assert_eq!(answer.end(), &End::CutOff);

    // A call of a tool is generated text.
    let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"look"}}]}}]}"#;
    assert_eq!(stream(Dialect::Chat, &[call]).1, [First]);
}

#[test]
fn an_error_inside_of_a_stream_is_no_end() {
    let text = r#"{"choices":[{"delta":{"content":"a"},"error":null}],"error":null}"#;
    let error = r#"{"error":{"message":"out of memory","type":"server_error","code":500}}"#;
    let (answer, seen) = stream(Dialect::Chat, &[text, error, "[DONE]"]);
    assert_eq!(seen, [Seen::First, Seen::Failed, Seen::Failed]);
    assert_eq!(answer.end(), &fault(Some("server_error"), Some("500"), "out of memory"));
    let (answer, _) = stream(Dialect::Completions, &["{\"error\":\"gone\"}"]);
    assert_eq!(answer.end(), &fault(None, None, "gone"));
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let (answer, seen) = stream(Dialect::Messages, &[error]);
    assert_eq!(seen, [Seen::Failed]);
    assert_eq!(answer.end(), &fault(Some("overloaded_error"), None, "Overloaded"));
    let answer = Answer::whole(Dialect::Messages, error.as_bytes());
    assert_eq!(answer.end(), &fault(Some("overloaded_error"), None, "Overloaded"));
}

#[test]
fn messages_stream() {
    use Seen::{Done, First, More, Nothing};
    let start = r#"{"type":"message_start","message":{"id":"m","role":"assistant","content":[],
        "usage":{"input_tokens":1,"cache_read_input_tokens":33,"cache_creation_input_tokens":0,"output_tokens":1}}}"#
        .replace('\n', "");
    let block =
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
    let ping = r#"{"type":"ping"}"#;
    let hello = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello, sea"}}"#;
    let signature = r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"abc"}}"#;
    let tool = r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"look","input":{}}}"#;
    let json = r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#;
    let first = r#"{"type":"message_delta","delta":{},"usage":{"output_tokens":7}}"#;
    let last = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#;
    let stop = r#"{"type":"message_stop"}"#;
    let all = [&start, block, ping, signature, hello, tool, json, first, last, stop];
    let (answer, seen) = stream(Dialect::Messages, &all);
    let expected = [Nothing, Nothing, Nothing, Nothing, First, More, More, Nothing, Nothing, Done];
    assert_eq!(seen, expected);
    assert_eq!(answer.counted(), counted([34, 33, 0, 15, 0]));
    assert_eq!(answer.end(), &End::Done);

    // Cut off: the prompt was counted, the one token of the beginning is no count of what came.
    let (answer, _) = stream(Dialect::Messages, &all[..5]);
    assert_eq!((answer.counted(), answer.end()), (None, &End::CutOff));
    assert_eq!(answer.usage(99), usage([34, 33, 0, 3, 0], Source::Estimated));
    // Nothing was said of the prompt.
    let (answer, _) = stream(Dialect::Messages, &[hello, stop]);
    assert_eq!(answer.usage(99), usage([99, 0, 0, 3, 0], Source::Estimated));
    // A `[DONE]` is no end of messages.
    assert_eq!(stream(Dialect::Messages, &["[DONE]"]).0.end(), &End::CutOff);
}

#[test]
fn responses_stream() {
    use Seen::{Done, Failed, First, More, Nothing};
    let created = r#"{"type":"response.created","sequence_number":0,"response":{"status":"in_progress","usage":null}}"#;
    let thought = r#"{"type":"response.reasoning_text.delta","delta":"Hm"}"#;
    let text = r#"{"type":"response.output_text.delta","delta":"Hi","logprobs":[]}"#;
    let whole = r#"{"type":"response.output_text.done","text":"Hi"}"#;
    let end = |kind: &str| {
        format!(
            "{{\"type\":\"response.{kind}\",\"response\":{{\"error\":{{\"code\":\"server_error\",\"message\":\"no\"}},\
             \"usage\":{{\"input_tokens\":4,\"output_tokens\":2,\"output_tokens_details\":{{\"reasoning_tokens\":1}}}}}}}}"
        )
    };
    for (kind, last) in [("completed", Done), ("incomplete", Done), ("failed", Failed)] {
        let end = end(kind);
        let (answer, seen) = stream(Dialect::Responses, &[created, thought, text, whole, &end]);
        assert_eq!(seen, [Nothing, First, More, Nothing, last]);
        assert_eq!(answer.counted(), counted([4, 0, 0, 2, 1]));
        assert_eq!(answer.events(), 5);
        match last {
            Failed => assert_eq!(answer.end(), &fault(None, Some("server_error"), "no")),
            _ => assert_eq!(answer.end(), &End::Done),
        }
    }
    let error = r#"{"type":"error","code":"overloaded","message":"later","param":null}"#;
    let (answer, seen) = stream(Dialect::Responses, &[created, error]);
    assert_eq!(seen, [Nothing, Failed]);
    assert_eq!(answer.end(), &fault(Some("error"), Some("overloaded"), "later"));
}
