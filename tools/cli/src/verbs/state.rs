//! `state`: the state, or a part of it, after some record.

use tensorforge_journal::{Mode, Replay, state_at};

use crate::args::StateArgs;
use crate::failure::{Exit, Failure, Result};
use crate::moment;
use crate::output;
use crate::verbs;

pub(crate) fn run(args: &StateArgs, as_json: bool) -> Result<Exit> {
    let journal = verbs::open(&args.dir)?;
    let records = match &args.at {
        Some(text) => moment::until(&journal, "--at", text)?,
        None => journal.next_seq(),
    };
    let state = if args.decide {
        let mut replay = Replay::from_genesis(&journal, Mode::Decide);
        replay.run(records, |_| std::ops::ControlFlow::Continue(()))?;
        replay.into_exchange().into_state()
    } else {
        state_at(&journal, Mode::Fold, records)?
    };
    // Predicates spell keys in brackets; a path may too.
    let path = args.path.as_deref().unwrap_or_default().replace(['[', '"'], ".").replace(']', "");
    let path = path.as_str();
    let Some(view) = state.view(path) else {
        let tables: Vec<&str> = state.tables.all().iter().map(|table| table.name()).collect();
        return Err(Failure::input(format!("there is nothing at `{path}` after {records} records"))
            .with_help(format!("a path is a table, a key and fields, such as vessels.0.manifest.slots; the tables are {}", tables.join(", "))));
    };
    if as_json {
        output::json(&view);
    } else {
        output::document(&serde_json::to_string_pretty(&view).unwrap_or_default());
    }
    Ok(Exit::AsAsked)
}
