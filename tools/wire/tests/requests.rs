//! What is read of a body: by hand, dialect by dialect, and what is refused, in order.

use std::num::NonZeroU32;

use tensorforge_wire::prompt::MEDIA_TOKENS;
use tensorforge_wire::{DEPTH_MAX, Dialect, Measure, Request, RequestError, Salt};

const CHAT: &str = r#"{
  "model": "coral-70b", "temperature": 1.0, "stream": true, "n": 2,
  "max_tokens": 9, "max_completion_tokens": 1e3, "logprobs": true, "x-unknown": {"model": 7},
  "messages": [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
      {"type": "text", "text": "What is this?"},
      {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"model\":1}"}}]}],
  "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
}"#;

fn measure(block_tokens: u32) -> Measure {
    let block_tokens = NonZeroU32::new(block_tokens).unwrap();
    Measure { salt: Salt::new([7; 32]), block_tokens }
}

fn read(dialect: Dialect, body: &str) -> Request<'_> {
    Request::read(dialect, body.as_bytes(), &measure(4)).unwrap()
}

fn chat(messages: &str) -> Request<'static> {
    let body = format!("{{\"model\":\"coral\",\"messages\":{messages}}}");
    read(Dialect::Chat, Box::leak(body.into_boxed_str()))
}

/// The length of the prompt in a body.
fn tokens(dialect: Dialect, body: &str, expected: u64) {
    assert_eq!(read(dialect, body).prompt.tokens, expected, "{body}");
}

#[test]
fn a_chat_is_read() {
    let request = read(Dialect::Chat, CHAT);
    assert_eq!(request.model, "coral-70b");
    assert!(request.stream && !request.wants_usage);
    assert_eq!((request.tokens_out_max, request.answers), (Some(1_000), 2));
    // Tools: type 4, function 8, function 8, name 4, look 4, parameters 10, type 4, object 6: 48 bytes.
    // System: 6 + 9. User: 4 + 13, and an image. Assistant: 9, null 4, call_1 6, function 8, look 4, 11.
    // 48 + 15 + 17 + 42 = 122 bytes are 31 tokens; three messages are 12; an image is 1 024.
    assert_eq!(request.prompt.tokens, 31 + 12 + MEDIA_TOKENS);
    let debug = format!("{request:?}");
    assert!(!debug.contains("brief"), "{debug}");
}

#[test]
fn the_other_dialects_are_read() {
    let request = read(
        Dialect::Messages,
        r#"{"model":"reef","max_tokens":64,"system":[{"type":"text","text":"Be brief."}],
            "messages":[{"role":"user","content":"Hi"}],"stream":false,"metadata":{"user_id":"u"}}"#,
    );
    assert_eq!((request.tokens_out_max, request.stream, request.answers), (Some(64), false, 1));
    // 9 + 4 + 2 = 15 bytes are 4 tokens; the system and a message are 8.
    assert_eq!(request.prompt.tokens, 12);

    let request = read(
        Dialect::Responses,
        r#"{"model":"reef","input":"Hi there","instructions":"Go","max_output_tokens":5.0,"stream":true}"#,
    );
    // 2 + 8 bytes are 3 tokens, and two messages.
    assert_eq!((request.prompt.tokens, request.tokens_out_max), (11, Some(5)));
    let request =
        read(Dialect::Responses, r#"{"model":"reef","previous_response_id":"r","input":null}"#);
    assert_eq!((request.prompt.tokens, request.tokens_out_max), (0, None));

    let request = read(
        Dialect::Completions,
        r#"{"model":"reef","prompt":["One","Two!"],"n":2,"best_of":3,"max_tokens":0}"#,
    );
    assert_eq!((request.prompt.tokens, request.answers), (2, 6));
    assert_eq!(request.tokens_out_max, Some(0));
    let request =
        read(Dialect::Embeddings, r#"{"model":"reef","input":[[1,2,3],[4]],"stream":true}"#);
    assert_eq!((request.prompt.tokens, request.answers), (4, 2));
    assert_eq!((request.tokens_out_max, request.stream), (Some(0), false));
}

#[test]
fn a_prompt_is_as_long_as_its_text() {
    tokens(Dialect::Completions, r#"{"model":"m","prompt":""}"#, 0);
    tokens(Dialect::Completions, r#"{"model":"m","prompt":"abcd"}"#, 1);
    tokens(Dialect::Completions, r#"{"model":"m","prompt":"abcde"}"#, 2);
    // Six bytes of UTF-8, however they are spelt.
    tokens(Dialect::Completions, r#"{"model":"m","prompt":"éé\u00e9"}"#, 2);
    tokens(Dialect::Completions, r#"{"model":"m","prompt":[7,8,4294967294]}"#, 3);
    // A document of plain text is text: user 4, document 8, text 4, text/plain 10, word 4 are 30 bytes.
    let document =
        r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"word"}}"#;
    let body = |part: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{part}]}}]}}"#)
    };
    tokens(Dialect::Messages, &body(document), 4 + 8);
    let document = document.replace("\"type\":\"text\"", "\"type\":\"base64\"");
    tokens(Dialect::Messages, &body(&document), 4 + 1 + MEDIA_TOKENS);
}

#[test]
fn prompts_that_begin_alike_share_their_blocks() {
    let one = chat(r#"[{"role":"user","content":"A long first message, the same for all."}]"#);
    let more = chat(
        r#"[ {"role":"user", "content":"A long first message, the same for \u0061ll."},
             {"role":"assistant","content":"Yes."}, {"role":"user","content":"And now?"} ]"#,
    );
    // The model: 1 + 5 + 1. A message: 2, `{` 1, role 6 + user 6 + `,` 1, content 9, `[` 1, text 41,
    // `,]` 2, `,` 1, `}` 1: 71. Together 78 bytes: four blocks of 16.
    assert_eq!(one.prompt.blocks.len(), 4);
    assert!(more.prompt.blocks.starts_with(&one.prompt.blocks));
    // And two more messages of 36 (9 for the role, 4 of text) and 35 (4 and 8) bytes: 149.
    assert_eq!(more.prompt.blocks.len(), 9);
}

#[test]
fn a_turn_of_a_conversation_does_not_change_what_was_before_it() {
    let check = |one: &str, other: &str, is_same: bool| {
        let (one_read, other_read) = (chat(one), chat(other));
        assert_eq!(one_read.prompt.blocks == other_read.prompt.blocks, is_same, "{one} {other}");
        assert_eq!(one_read.prompt.tokens, other_read.prompt.tokens, "{one} {other}");
    };
    let text = "A text of more than sixteen bytes.";
    let bare = format!(r#"[{{"role":"user","content":"{text}"}}]"#);
    let part = format!(r#"[{{"role":"user","content":[{{"type":"text","text":"{text}"}}]}}]"#);
    let marked = part.replace("\"type\"", r#""cache_control":{"type":"ephemeral"},"type""#);
    let other = bare.replace("sixteen", "nineteen").replace("more", "mor");
    check(&bare, &part, true);
    check(&bare, &marked, true);
    check(&bare, &other, false);
    let result =
        format!(r#"[{{"role":"user","content":[{{"type":"tool_result","content":"{text}"}}]}}]"#);
    let marked = result.replace("\"type\"", r#""cache_control":{"type":"ephemeral"},"type""#);
    check(&result, &marked, true);
}

#[test]
fn hashes_depend_on_salt_model_tools_and_images() {
    let body = r#"{"model":"m","tools":[],"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"base64","data":"AAAA"}}]}]}"#;
    let blocks = |body: &str, salt: u8| {
        let measure = Measure { salt: Salt::new([salt; 32]), ..measure(64) };
        Request::read(Dialect::Messages, body.as_bytes(), &measure).unwrap().prompt.blocks
    };
    let first = blocks(body, 1);
    // An image is as long as 1 024 tokens: 16 blocks of 64, and a few bytes around it.
    assert_eq!(first.len(), 16);
    for (other, salt) in [
        (body.to_owned(), 2),
        (body.replace("\"m\"", "\"n\""), 1),
        (body.replace("[]", "[{\"name\":\"t\"}]"), 1),
    ] {
        assert_ne!(first.first(), blocks(&other, salt).first(), "{other}");
    }
    // The image begins within the first block.
    assert_ne!(first.first(), blocks(&body.replace("AAAA", "AAAB"), 1).first());
    // What is no part of the prompt does not show.
    assert_eq!(first, blocks(&body.replace("\"tools\"", "\"temperature\":1,\"tools\""), 1));
}

#[test]
fn the_hashes_are_pinned() {
    let request =
        read(Dialect::Completions, r#"{"model":"coral","prompt":"Sixteen bytes and some."}"#);
    // f8 coral ff fb p f8 and six bytes are the first block.
    let first = [b"\xf8coral\xff\xfbp\xf8".as_slice(), b"Sixtee"].concat();
    let second = [first.as_slice(), b"n bytes and some"].concat();
    let expected = [first, second].map(|bytes| {
        let hash = blake3::keyed_hash(&[7; 32], &bytes);
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
    });
    assert_eq!(request.prompt.blocks, expected);
}

#[test]
fn a_block_is_whole_with_its_last_byte() {
    // f8 m ff fb p f8 and ff are seven bytes around the text.
    let check = |text: &str, blocks: usize| {
        let body = format!("{{\"model\":\"m\",\"prompt\":\"{text}\"}}");
        assert_eq!(read(Dialect::Completions, &body).prompt.blocks.len(), blocks, "{text}");
    };
    check("12345678", 0);
    check("123456789", 1);
    check("123456789012345678901234", 1);
    check("1234567890123456789012345", 2);
}

fn refused(dialect: Dialect, body: &str, sentence: &str, field: Option<&str>) {
    let error = Request::read(dialect, body.as_bytes(), &measure(4)).unwrap_err();
    assert_eq!(error.to_string(), sentence, "{body}");
    assert_eq!(error.field(), field, "{body}");
}

#[test]
fn what_cannot_be_read_is_refused_with_a_way_out() {
    let chat = |body, sentence, field| refused(Dialect::Chat, body, sentence, Some(field));
    let whole = |body, sentence| refused(Dialect::Chat, body, sentence, None);
    whole("[1]", "the body is a list; send one JSON object");
    whole(" 12", "the body is `12`; send one JSON object");
    whole(
        "",
        "the body is no JSON: EOF while parsing a value at line 1 column 0; send one JSON object",
    );
    whole(
        "{\"model\":\"m\",}",
        "the body is no JSON: trailing comma at line 1 column 14; send one JSON object",
    );
    whole(
        "{} x",
        "the body is no JSON: trailing characters at line 1 column 4; send one JSON object",
    );
    // Precedence: what stands twice, then the model, then the numbers, then the prompt.
    chat(
        r#"{"m\u006fdel":1,"max_tokens":-1,"model":2}"#,
        "`model` stands twice; leave one of them out",
        "model",
    );
    chat("{}", "`model` is missing; send the name of a model as a string", "model");
    chat(
        "{\"model\":7,\"stream\":1}",
        "`model` is `7`; send the name of a model as a string",
        "model",
    );
    chat("{\"model\":\"\"}", "`model` is empty; send the name of a model as a string", "model");
    chat(
        "{\"model\":\"m\",\"stream\":1,\"max_tokens\":-1}",
        "`stream` is `1`; send `true` or `false`",
        "stream",
    );
    chat(
        "{\"model\":\"m\",\"max_tokens\":-1}",
        "`max_tokens` is `-1`; send a whole number that is not negative",
        "max_tokens",
    );
    chat(
        "{\"model\":\"m\",\"max_completion_tokens\":\"many\"}",
        "`max_completion_tokens` is a string; send a whole number that is not negative",
        "max_completion_tokens",
    );
    chat(
        "{\"model\":\"m\",\"stream\":true,\"stream_options\":[]}",
        "`stream_options` is a list; send an object",
        "stream_options",
    );
    chat(
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_usage":false}}"#,
        "`stream_options.include_usage` stands twice; leave one of them out",
        "stream_options.include_usage",
    );
    chat(
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":"yes"}}"#,
        "`stream_options.include_usage` is a string; send `true` or `false`",
        "stream_options.include_usage",
    );
    chat("{\"model\":\"m\"}", "`messages` is missing; send a list of messages", "messages");
    chat(
        "{\"model\":\"m\",\"messages\":[]}",
        "`messages` is an empty list; send a list of messages",
        "messages",
    );
    chat(
        "{\"model\":\"m\",\"messages\":[\"secret\"]}",
        "`messages` is a list with a string; send a list of objects",
        "messages",
    );
    chat(
        r#"{"model":"m","messages":[{"content":"\ud83d"}]}"#,
        "`messages` holds a string that is no text, such as half of a surrogate pair; mend it",
        "messages",
    );
    refused(
        Dialect::Completions,
        "{\"model\":\"m\",\"prompt\":[1,2.5]}",
        "`prompt` is a list with no token; send a string, or a list of strings, of tokens or of lists of tokens",
        Some("prompt"),
    );
    let error = Request::read(Dialect::Chat, b"{\"a\":\"\xff\"}", &measure(4)).unwrap_err();
    assert_eq!(error, RequestError::NotText { byte: 6 });
}

#[test]
fn depth_is_bounded() {
    let body = |depth: u32| {
        let depth = depth as usize;
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!("{{\"model\":\"m\",\"tools\":{nested},\"messages\":[{{}}],\"x\":{nested}}}")
    };
    // The innermost list of so many stands in one fewer.
    let least = body(DEPTH_MAX + 1);
    assert!(Request::read(Dialect::Chat, least.as_bytes(), &measure(4)).is_ok());
    let sentence = "`tools` is nested more than 64 deep; flatten it";
    refused(Dialect::Chat, &body(DEPTH_MAX + 2), sentence, Some("tools"));
    refused(Dialect::Chat, &body(100_000), sentence, Some("tools"));
}
