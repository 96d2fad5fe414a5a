//! Requests over real connections: what clients and vessels see of each other, and what the journal says of it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tensorforge_engine::command::Command;
use tensorforge_engine::models::{Class, Demand, Kind};
use tensorforge_engine::security::Source;
use tensorforge_engine::telemetry::Account;
use tensorforge_engine::units::{Micros, ModelId, RegionId, TenantId, Tokens};
use tensorforge_engine::workflow;
use tensorforge_journal::{Closed, Journal, Ledger, LedgerOptions};
use tensorforge_live::{Config, ServeError, demo, serve};
use tokio::sync::oneshot;

/// An exchange that serves.
struct Exchange {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<Closed, ServeError>>,
}

fn config(data: &Path, vessels: Option<[SocketAddr; 2]>) -> Config {
    let mut config = demo(data.join("j.tfj"), SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    config.vessels = vessels.map(|both| both.map(|at| format!("http://{at}")).to_vec());
    config
}

impl Exchange {
    fn begin(config: Config) -> Self {
        let ((told, heard), (stop, stopped)) = (mpsc::channel(), oneshot::channel());
        let thread = thread::spawn(move || {
            serve(config, |started| told.send(started.address).unwrap(), async {
                let _ = stopped.await;
            })
        });
        let address = heard.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { address, stop, thread }
    }

    fn end(self) -> Closed {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap().unwrap()
    }

    fn send(&self, path: &str, headers: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused before it is read may be closed meanwhile.
        let _ = stream.write_all(body.as_bytes());
        stream
    }

    /// The whole answer, as it came.
    fn ask(&self, path: &str, headers: &str, body: &str) -> String {
        let mut answer = Vec::new();
        let _ = self.send(path, headers, body).read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn chat(&self, body: &str) -> String {
        self.ask("/v1/chat/completions", "", body)
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The account of the one tenant, from a journal that this build reproduces record by record.
fn account(data: &Path) -> Account {
    let (ledger, _) = Ledger::open(&data.join("j.tfj"), LedgerOptions::default()).unwrap();
    assert_eq!(ledger.state().tables.orders.len(), 0);
    let account = ledger.state().tables.accounts.get(TenantId(0)).unwrap().clone();
    ledger.close().unwrap();
    account
}

/// What a vessel does with the next request.
#[derive(Clone, Copy)]
enum Play {
    /// Answers so, as a whole.
    Whole(u16, &'static str),
    /// Says this piece by piece; then the end, unless it breaks off.
    Stream(&'static [&'static str], bool),
    /// Says this piece by piece, and then nothing more for so many seconds.
    Lingers(&'static [&'static str], u64),
    /// Says this piece again and again until nobody hears it.
    Forever(&'static str),
}

/// A vessel that plays so, one request after the other, and tells what it was asked; of one that was hung up on it tells that.
fn vessel(plays: Vec<Play>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        for play in plays {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = told.send(request(&mut stream));
            let piece = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n";
            match play {
                Play::Whole(status, body) => {
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} So\r\ncontent-type: application/json\r\nconnection: close\r\n\
                        content-length: {length}\r\n\r\n{body}"
                    );
                    let _ = stream.write_all(answer.as_bytes());
                }
                Play::Stream(pieces, ends) => {
                    let _ = stream.write_all(head.as_bytes());
                    for text in pieces {
                        let _ = stream.write_all(piece(text).as_bytes());
                    }
                    if ends {
                        let _ = stream.write_all(b"0\r\n\r\n");
                    }
                }
                Play::Lingers(pieces, seconds) => {
                    let head = if pieces.is_empty() { "" } else { head };
                    let _ = stream.write_all(head.as_bytes());
                    for text in pieces {
                        let _ = stream.write_all(piece(text).as_bytes());
                    }
                    thread::sleep(Duration::from_secs(seconds));
                }
                Play::Forever(text) => {
                    let _ = stream.write_all(head.as_bytes());
                    while stream.write_all(piece(text).as_bytes()).is_ok() {
                        thread::sleep(Duration::from_millis(5));
                    }
                    let _ = told.send("hung up".into());
                }
            }
        }
    });
    (address, heard)
}

/// The body of a request.
fn request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return body.to_owned();
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return text,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

const HELLO: &str =
    r#"{"model":"coral-70b","max_tokens":8,"messages":[{"role":"user","content":"hello"}]}"#;
const STREAM: &str = r#"{"model":"coral-70b","max_tokens":8,"stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

const ANSWER: &str = r#"{"id":"a","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}"#;
const WORD: &str = "data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}]}\n\n";
const USAGE: &str = "data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":5,\"total_tokens\":16}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

/// Whole, streamed and embedded: what a client is told leads into the journal, and a restart goes on there.
#[test]
fn an_answer_is_found_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::begin(config(folder.path(), None));
    let answer = exchange.chat(HELLO);
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains(r#""completion_tokens":8"#), "{answer}");
    assert_eq!(
        (header(&answer, "x-tensorforge-seq"), header(&answer, "x-tensorforge-order")),
        (Some("7"), Some("1"))
    );
    let streamed = exchange.chat(STREAM);
    assert!(streamed.contains("data: [DONE]") && !streamed.contains("usage"), "{streamed}");
    let embedded = exchange.ask("/v1/embeddings", "", r#"{"model":"coral-70b","input":"hello"}"#);
    assert_eq!(status(&embedded), 200, "{embedded}");
    let first = exchange.end();
    assert_eq!(account(folder.path()).tokens_out.0, 16);
    let exchange = Exchange::begin(config(folder.path(), None));
    let answer = exchange.chat(HELLO);
    assert_eq!(header(&answer, "x-tensorforge-order"), Some("4"));
    assert!(exchange.end().records > first.records);
    assert_eq!(account(folder.path()).tokens_out.0, 24);
    // Its vessels have numbers in the journal, and these would be others.
    let mut other = config(folder.path(), None);
    other.fleet.vessels.reverse();
    let refused = serve(other, |_| (), async {}).unwrap_err();
    assert!(matches!(refused, ServeError::OtherFleet { what: "vessels", .. }), "{refused}");
}

/// Whoever has heard the last word finds its settlement in the journal: of each order the submission, the first token and the
/// end, all of them durable by then.
#[test]
fn the_last_word_waits_for_its_settlement() {
    let folder = tempfile::tempdir().unwrap();
    let play = Play::Stream(&[WORD, USAGE, DONE], true);
    let ((one, _), (two, _)) = (vessel(vec![play; 20]), vessel(vec![play; 20]));
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let setup = Journal::open(folder.path().join("j.tfj")).unwrap().next_seq();
    for orders in 1..=20 {
        let mut stream = exchange.send("/v1/chat/completions", "", STREAM);
        let (mut seen, mut buffer) = (String::new(), [0; 4_096]);
        while !seen.contains("[DONE]") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        let journal = Journal::open(folder.path().join("j.tfj")).unwrap();
        let (found, least) = (journal.next_seq(), setup + 3 * orders);
        assert!(found >= least, "{found} records, not {least}");
    }
    exchange.end();
}

/// An order of an earlier run ends as of the last moment that its journal knows: nobody has worked on it since.
#[test]
fn a_restart_bills_nothing() {
    let folder = tempfile::tempdir().unwrap();
    Exchange::begin(config(folder.path(), None)).end();
    let path = folder.path().join("j.tfj");
    let (mut ledger, _) = Ledger::open(&path, LedgerOptions::default()).unwrap();
    let demand = Demand {
        external: 0,
        tokens_in: Tokens(10),
        tokens_out_max: Tokens(1_000),
        deadline: Micros::ZERO,
        limit: 0,
        idempotency: 0,
        model: ModelId(0),
        origin: RegionId(0),
        kind: Kind::Inference,
        class: Class::Batch,
        window: None,
        prefix: Vec::new(),
    };
    let submit = Command::Workflow(workflow::Command::Submit(demand));
    let at = ledger.state().now() + Micros(1);
    ledger.record(at, Source::tenant(TenantId(0)), &submit).unwrap();
    ledger.close().unwrap();
    // At the pace of the vessel that is longer than the prompt and some tokens take.
    thread::sleep(Duration::from_millis(200));
    Exchange::begin(config(folder.path(), None)).end();
    let (ledger, _) = Ledger::open(&path, LedgerOptions::default()).unwrap();
    assert_eq!(ledger.state().tables.orders.len(), 0);
    let stops: Vec<u64> =
        ledger.state().tables.stops.iter().map(|(_, stop)| stop.estimate.tokens_out.0).collect();
    assert_eq!(stops, [0]);
    ledger.close().unwrap();
}

/// A vessel is asked for usage; the client sees it if it has asked itself.
#[test]
fn usage_is_accounted_and_shown_to_who_asked() {
    let folder = tempfile::tempdir().unwrap();
    let play = Play::Stream(&[WORD, USAGE, DONE], true);
    let ((one, first), (two, second)) = (vessel(vec![play; 2]), vessel(vec![play; 2]));
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let plain = exchange.chat(STREAM);
    assert!(
        plain.contains("hi") && plain.contains("[DONE]") && !plain.contains("usage"),
        "{plain}"
    );
    let asked = STREAM
        .replace("\"stream\":true", "\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    let with = exchange.chat(&asked);
    assert!(with.contains("\"completion_tokens\":5") && with.contains("[DONE]"), "{with}");
    let bodies: Vec<String> = first.try_iter().chain(second.try_iter()).collect();
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|body| body.contains("\"include_usage\":true")), "{bodies:?}");
    exchange.end();
    assert_eq!(account(folder.path()).tokens_out.0, 10);
}

/// Whichever is asked first fails, and the other one answers.
#[test]
fn another_vessel_answers() {
    for fails in [Play::Whole(500, "{}"), Play::Whole(503, "{}"), Play::Stream(&[], false)] {
        let folder = tempfile::tempdir().unwrap();
        let (dead, _) = vessel(vec![fails; 3]);
        let (well, heard) = vessel(vec![Play::Whole(200, ANSWER); 3]);
        let exchange = Exchange::begin(config(folder.path(), Some([dead, well])));
        let answer = exchange.chat(HELLO);
        assert_eq!((status(&answer), answer.ends_with(ANSWER)), (200, true), "{answer}");
        assert_eq!(heard.try_iter().count(), 1);
        exchange.end();
        assert_eq!(account(folder.path()).tokens_out.0, 3);
    }
}

/// What is the client's own fault is told in the vessel's words, and no other one is asked.
#[test]
fn a_fault_of_the_client_is_one_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let bad = r#"{"error":{"message":"temperature is too high"}}"#;
    let (one, first) = vessel(vec![Play::Whole(400, bad)]);
    let (two, second) = vessel(vec![Play::Whole(400, bad)]);
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let answer = exchange.chat(HELLO);
    assert_eq!((status(&answer), answer.ends_with(bad)), (400, true), "{answer}");
    assert_eq!(first.try_iter().chain(second.try_iter()).count(), 1);
    exchange.end();
    assert_eq!(account(folder.path()).cost.0, 0);
}

/// A stream that breaks off once its first token has left is told to have failed, and nobody begins it anew.
#[test]
fn a_stream_that_breaks_off_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let play = Play::Stream(&[WORD], false);
    let ((one, first), (two, second)) = (vessel(vec![play; 2]), vessel(vec![play; 2]));
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let answer = exchange.chat(STREAM);
    assert!(
        answer.contains("hi") && answer.contains("\"error\"") && !answer.contains("[DONE]"),
        "{answer}"
    );
    assert_eq!(first.try_iter().chain(second.try_iter()).count(), 1);
    exchange.end();
    account(folder.path());
}

/// Whoever has said his last word has answered, though he does not hang up; and what leaves before the first token, such as a
/// role, does not keep another vessel from being asked.
#[test]
fn an_answer_ends_with_its_last_word() {
    const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    let folder = tempfile::tempdir().unwrap();
    let (one, _) = vessel(vec![Play::Stream(&[ROLE], false); 2]);
    let (two, _) = vessel(vec![Play::Lingers(&[ROLE, WORD, USAGE, DONE], 60); 2]);
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let answer = exchange.chat(STREAM);
    assert_eq!(answer.matches("assistant").count(), 1, "{answer}");
    assert!(answer.contains("hi") && answer.contains("[DONE]"), "{answer}");
    exchange.end();
    assert_eq!(account(folder.path()).tokens_out.0, 5);
}

/// Nothing has been heard of the answer yet: what was worked on it is reckoned by the time.
#[test]
fn who_hangs_up_on_a_whole_answer_pays_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (one, heard) = vessel(vec![Play::Lingers(&[], 60)]);
    let (two, _) = vessel(vec![]);
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let stream = exchange.send("/v1/chat/completions", "", &HELLO.replace(":8,", ":800,"));
    heard.recv_timeout(Duration::from_secs(20)).unwrap();
    thread::sleep(Duration::from_millis(300));
    drop(stream);
    exchange.end();
    let account = account(folder.path());
    assert!(account.tokens_in.0 > 0 && (5..800).contains(&account.tokens_out.0), "{account:?}");
}

/// A client hangs up: its vessel is hung up on, and what was worked until then is charged.
#[test]
fn who_hangs_up_pays_for_what_was_worked() {
    let folder = tempfile::tempdir().unwrap();
    let play = Play::Forever(WORD);
    let ((one, first), (two, second)) = (vessel(vec![play]), vessel(vec![play]));
    let exchange = Exchange::begin(config(folder.path(), Some([one, two])));
    let mut stream = exchange.send("/v1/chat/completions", "", STREAM);
    let (mut seen, mut buffer) = (String::new(), [0; 1_024]);
    while seen.matches("hi").count() < 4 {
        let read = stream.read(&mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    drop(stream);
    // The quicker one was asked, and hears that nobody listens to it any more.
    let told = || first.recv_timeout(Duration::from_secs(20));
    assert!(told().unwrap().contains("messages"));
    assert_eq!(told().unwrap(), "hung up");
    assert!(second.try_recv().is_err());
    exchange.end();
    let account = account(folder.path());
    assert!(account.tokens_out.0 >= 4 && account.cost.0 > 0, "{account:?}");
}

#[test]
fn what_cannot_be_served_is_told_in_the_shape_of_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::begin(config(folder.path(), None));
    let check = |(path, headers, body): (&str, &str, &str), expected: u16, says: &str| {
        let answer = exchange.ask(path, headers, body);
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.contains(says), "{answer}");
    };
    let chat = "/v1/chat/completions";
    check((chat, "", "{"), 400, "invalid_request_error");
    check((chat, "", &HELLO.replace("coral-70b", "squid")), 404, "`squid` is not served here");
    check((chat, "x-tensorforge-class: gold\r\n", HELLO), 400, "neither interactive nor standard");
    let huge = HELLO.replace("\"max_tokens\":8", "\"max_tokens\":999999999");
    check((chat, "", &huge), 400, "too_large");
    let message = HELLO.replace("coral-70b", "squid");
    check(("/v1/messages", "", &message), 404, r#""type":"not_found_error""#);
    check((chat, "", &" ".repeat(33 << 20)), 413, "request_too_large");
    exchange.end();
    assert_eq!(account(folder.path()).tokens_out.0, 0);
}

/// The configuration that is shown serves, and one that is at fault is told where.
#[test]
fn a_configuration_is_read_or_told_to_be_at_fault() {
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/live/exchange.toml");
    let mut config = Config::read(&shown).unwrap();
    assert_eq!(config.vessels.as_ref().map(Vec::len), Some(4));
    let folder = tempfile::tempdir().unwrap();
    config.data = folder.path().join("j.tfj");
    config.listen.set_port(0);
    Exchange::begin(config).end();
    let text = std::fs::read_to_string(&shown).unwrap();
    let text = text.replace("../", &format!("{}/../", shown.parent().unwrap().display()));
    let path = folder.path().join("exchange.toml");
    for (from, to, says) in [
        ("deck-0 =", "deck-7 =", "vessels: deck-0 of the fleet has no address"),
        ("\"http://127.0.0.1:9004\"", "\"127.0.0.1:9004\"", "vessels.barge-1"),
        ("[vessels]", "[vessels]\nx = \"http://a\"", "vessels.x: the fleet has no vessel"),
        ("tenant = ", "salt = \"ab\"\ntenant = ", "salt: is not 64 hexadecimal digits"),
        ("tenant = ", "tenent = ", "unknown field `tenent`"),
        ("four-vessels", "five-vessels", "five-vessels.toml"),
    ] {
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("exchange.toml"), "{error}");
    }
}
