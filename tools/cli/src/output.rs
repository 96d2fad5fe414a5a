//! What people see: progress on a terminal, colours where they are wanted, tables.
//!
//! Everything that is printed goes through here, as [`Text`] or as a document.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tensorforge_engine::units::PicoUsd;

use crate::args::Colour;
use crate::failure::{Exit, Failure};
use crate::text::{self, Text, paint};

/// The colour of things that are right.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// The colour of things that are not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// The colour of names and headings.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// The colour of what is said in passing.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// Follows the flag, else NO_COLOR and the terminal.
pub(crate) fn set_colour(colour: Colour) {
    match colour {
        Colour::Auto => anstream::ColorChoice::Auto,
        Colour::Always => anstream::ColorChoice::Always,
        Colour::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Whether the reader of standard output has gone away, as `head` does.
static GONE: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads what is printed any more. What a verb finds out is its exit code all the same.
pub(crate) fn gone() -> bool {
    GONE.load(Ordering::Relaxed)
}

/// Writes lines to standard output.
pub(crate) fn say(lines: impl Into<Text>) {
    print(lines.into().as_str());
}

/// Writes a document of more than one line: JSON, or JSON lines.
pub(crate) fn document(lines: &str) {
    print(&text::document(lines.trim_end_matches('\n')));
}

/// Writes to standard output. A reader that has gone away is no error; a full disk is.
fn print(lines: &str) {
    if gone() {
        return;
    }
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{lines}").and_then(|()| out.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            GONE.store(true, Ordering::Relaxed)
        }
        Err(error) => {
            complain(&Failure::input(format!("standard output cannot be written: {error}")));
            std::process::exit(i32::from(Exit::BadInput as u8));
        }
    }
}

/// Documents that are part of a larger one, while somebody gathers them.
static GATHERED: Mutex<Option<Vec<Value>>> = Mutex::new(None);

/// Writes one JSON document, on one line.
pub(crate) fn json(value: &Value) {
    if let Ok(mut gathered) = GATHERED.lock()
        && let Some(gathered) = gathered.as_mut()
    {
        return gathered.push(value.clone());
    }
    document(&value.to_string());
}

/// Keeps back what a verb would write in JSON.
pub(crate) fn gather<T>(verb: impl FnOnce() -> T) -> (T, Vec<Value>) {
    let swap = |next| GATHERED.lock().ok().and_then(|mut held| std::mem::replace(&mut *held, next));
    swap(Some(Vec::new()));
    let answer = verb();
    (answer, swap(None).unwrap_or_default())
}

/// Says on standard error what went wrong and what to do about it.
pub(crate) fn complain(failure: &Failure) {
    warn(paint(BAD, "error") + ": " + &failure.message);
    if let Some(help) = &failure.help {
        warn(paint(NAME, "help") + ": " + help);
    }
}

/// Says something in passing on standard error.
pub(crate) fn note(said: impl Into<Text>) {
    warn(paint(NAME, "note") + ": " + said);
}

fn warn(line: Text) {
    let _ = writeln!(anstream::stderr().lock(), "{}", line.as_str());
}

/// A bar over `total` records; silent unless standard error is a terminal.
pub(crate) fn progress(what: &'static str, total: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg:>9} {wide_bar} {human_pos}/{human_len} {eta:>4}");
    let bar = ProgressBar::new(total).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A plain table: a header, and rows of which all but the first column are numbers.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> Text {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if header.iter().any(|name| !name.is_empty()) {
        table.set_header(header.iter().copied());
    }
    rows.iter().for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| format!("  {}", line.trim_end()).into()).collect()
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 probe`, `2 probes`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A whole number of units, rounded, with a half away from zero.
fn rounded(number: u64, unit: u64) -> u64 {
    number / unit + u64::from(number % unit >= unit.div_ceil(2))
}

/// Microseconds as people read them: the last place is rounded.
pub(crate) fn span(micros: u64) -> String {
    let (hundredths, thousandths) = (rounded(micros, 10), rounded(micros, 1_000));
    let minutes = rounded(micros, 60_000_000);
    if micros < 1_000 {
        format!("{micros} us")
    } else if hundredths < 100_000 {
        format!("{}.{:02} ms", hundredths / 100, hundredths % 100)
    } else if thousandths < 3_600_000 {
        format!("{}.{:03} s", thousandths / 1_000, thousandths % 1_000)
    } else {
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

/// Millijoules as joules.
pub(crate) fn joules(millijoules: u64) -> String {
    format!("{} J", grouped(rounded(millijoules, 1_000)))
}

/// The change from one number to another, in percent to a tenth.
pub(crate) fn change(from: u64, to: u64) -> String {
    if from == to {
        return "=".to_owned();
    }
    if from == 0 {
        return "new".to_owned();
    }
    let sign = if to < from { '-' } else { '+' };
    let (by, from) = (u128::from(from.abs_diff(to)), u128::from(from));
    let tenths = (by * 2_000 + from) / (from * 2);
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

/// Millionths as percent, to a hundredth.
pub(crate) fn percent(millionths: u64) -> String {
    let hundredths = rounded(millionths, 100);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

/// Micro-dollars as dollars.
pub(crate) fn dollars(micro_usd: u64) -> String {
    format!("${}.{:06}", grouped(micro_usd / 1_000_000), micro_usd % 1_000_000)
}

/// All of an amount, in places of a micro-dollar at least.
pub(crate) fn exact_dollars(PicoUsd(amount): PicoUsd) -> String {
    let picos = format!("{:06}", amount % 1_000_000);
    dollars(amount / 1_000_000) + picos.trim_end_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_an_amount_is_lost() {
        for (amount, text) in [
            (0, "$0.000000"),
            (1, "$0.000000000001"),
            (1_160_000_000, "$0.001160"),
            (1_234_000_000_500_000, "$1 234.0000005"),
        ] {
            assert_eq!(exact_dollars(PicoUsd(amount)), text);
        }
    }

    #[test]
    fn spans_are_rounded() {
        for (micros, text) in [
            (0, "0 us"),
            (999, "999 us"),
            (1_000, "1.00 ms"),
            (53_594, "53.59 ms"),
            (53_595, "53.60 ms"),
            (53_599, "53.60 ms"),
            (999_994, "999.99 ms"),
            (999_995, "1.000 s"),
            (1_714_499, "1.714 s"),
            (1_714_500, "1.715 s"),
            (3_599_999_499, "3599.999 s"),
            (3_599_999_500, "1 h 00 min"),
            (3_629_999_999, "1 h 00 min"),
            (3_630_000_000, "1 h 01 min"),
            (7_199_000_000, "2 h 00 min"),
            (u64::MAX, "5124095576 h 02 min"),
        ] {
            assert_eq!(span(micros), text, "{micros}");
        }
    }

    #[test]
    fn joules_are_rounded() {
        for (millijoules, text) in [
            (0, "0 J"),
            (499, "0 J"),
            (500, "1 J"),
            (1_618_825_499, "1 618 825 J"),
            (1_618_825_500, "1 618 826 J"),
            (u64::MAX, "18 446 744 073 709 552 J"),
        ] {
            assert_eq!(joules(millijoules), text, "{millijoules}");
        }
    }

    #[test]
    fn changes_are_rounded() {
        for (from, to, text) in [
            (7, 7, "="),
            (0, 7, "new"),
            (7, 0, "-100.0 %"),
            (1_618_825, 1_149_423, "-29.0 %"),
            // 0.05 and 0.049 percent.
            (2_000, 2_001, "+0.1 %"),
            (2_000, 1_999, "-0.1 %"),
            (2_050, 2_051, "+0.0 %"),
            (2_050, 2_049, "-0.0 %"),
            (3, 5, "+66.7 %"),
            (3, 4, "+33.3 %"),
            (4, 17, "+325.0 %"),
            (1, u64::MAX, "+1844674407370955161400.0 %"),
            (u64::MAX, 1, "-100.0 %"),
        ] {
            assert_eq!(change(from, to), text, "{from} {to}");
        }
    }

    #[test]
    fn shares_are_rounded() {
        let told = [0, 49, 50, 3_333, 250_000, 1_000_000].map(percent);
        assert_eq!(told, ["0.00 %", "0.00 %", "0.01 %", "0.33 %", "25.00 %", "100.00 %"]);
    }

    #[test]
    fn one_thing_is_no_plural() {
        let told = [0, 1, 2, 3_086].map(|number| counted(number, "probe"));
        assert_eq!(told, ["0 probes", "1 probe", "2 probes", "3 086 probes"]);
    }
}
