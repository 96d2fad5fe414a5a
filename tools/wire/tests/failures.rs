//! What clients are told, to the byte.

use tensorforge_wire::models::one;
use tensorforge_wire::{Dialect, Failure, Kind, Model, list};

#[test]
fn a_path_is_one_dialect() {
    for dialect in Dialect::ALL {
        assert_eq!(Dialect::at(dialect.path()), Some(dialect));
    }
    assert_eq!(Dialect::at("/v1/chat/completions"), Some(Dialect::Chat));
    assert_eq!(Dialect::at("/v1/messages/count_tokens"), None);
}

#[test]
fn every_kind_has_a_status_and_a_shape() {
    let lines = Kind::ALL.map(|kind| {
        let failure = Failure::new(kind, "m");
        let (chat, messages) = (Dialect::Chat, Dialect::Messages);
        format!(
            "{} {} {} {}",
            kind.status(chat),
            failure.body(chat).trim_start_matches("{\"error\":{\"message\":\"m\",\"type\":"),
            kind.status(messages),
            failure.body(messages).trim_start_matches("{\"type\":\"error\",\"error\":{\"type\":"),
        )
    });
    let expected = r#"
400 "invalid_request_error","param":null,"code":null}} 400 "invalid_request_error","message":"m"}}
401 "invalid_request_error","param":null,"code":"invalid_api_key"}} 401 "authentication_error","message":"m"}}
403 "permission_error","param":null,"code":"permission_denied"}} 403 "permission_error","message":"m"}}
404 "invalid_request_error","param":null,"code":"model_not_found"}} 404 "not_found_error","message":"m"}}
413 "invalid_request_error","param":null,"code":"request_too_large"}} 413 "request_too_large","message":"m"}}
429 "rate_limit_error","param":null,"code":"rate_limit_exceeded"}} 429 "rate_limit_error","message":"m"}}
503 "server_error","param":null,"code":"overloaded"}} 529 "overloaded_error","message":"m"}}
504 "server_error","param":null,"code":"timeout"}} 504 "timeout_error","message":"m"}}
500 "server_error","param":null,"code":"internal_error"}} 500 "api_error","message":"m"}}"#;
    assert_eq!(lines.join("\n"), expected.trim_start());
}

#[test]
fn a_failure_is_told_in_the_clients_own_api() {
    let failure = Failure {
        param: Some("model"),
        code: Some("unknown"),
        ..Failure::new(Kind::UnknownModel, "no model is called \"kraken\"\n")
    };
    let openai = r#"{"error":{"message":"no model is called \"kraken\"\n","type":"invalid_request_error","param":"model","code":"unknown"}}"#;
    for dialect in [Dialect::Chat, Dialect::Completions, Dialect::Embeddings, Dialect::Responses] {
        assert_eq!(failure.body(dialect), openai);
    }
    assert_eq!(failure.event(Dialect::Chat, 7), format!("data: {openai}\n\n"));
    let anthropic = r#"{"type":"error","error":{"type":"not_found_error","message":"no model is called \"kraken\"\n"}}"#;
    assert_eq!(failure.body(Dialect::Messages), anthropic);
    let event = format!("event: error\ndata: {anthropic}\n\n");
    assert_eq!(failure.event(Dialect::Messages, 7), event);
    let event = concat!(
        "event: error\ndata: ",
        r#"{"type":"error","code":"unknown","message":"no model is called \"kraken\"\n","param":"model","sequence_number":7}"#,
        "\n\n"
    );
    assert_eq!(failure.event(Dialect::Responses, 7), event);
}

#[test]
fn models_are_listed_in_their_order() {
    let coral = Model { id: "coral-70b", created: 1_700_000_000, owned_by: "tensorforge" };
    let reef = Model { id: "reef", created: 0, owned_by: "us" };
    let one_text =
        r#"{"id":"coral-70b","object":"model","created":1700000000,"owned_by":"tensorforge"}"#;
    assert_eq!(one(&coral), one_text);
    let other = r#"{"id":"reef","object":"model","created":0,"owned_by":"us"}"#;
    let expected = format!("{{\"object\":\"list\",\"data\":[{one_text},{other}]}}");
    assert_eq!(list(&[coral, reef]), expected);
    assert_eq!(list(&[]), r#"{"object":"list","data":[]}"#);
}
