//! How bounds are set.

use crate::config::words::Event;
use crate::kernel::table::{Breach, Only};
use crate::state::State;

pub(crate) fn fold(state: &mut State, event: &Event) -> Result<(), Breach> {
    let Event::Configured(limits) = event;
    state.tables.limits.insert(Only, limits.clone(), &mut state.writer)?;
    state.bound()
}
