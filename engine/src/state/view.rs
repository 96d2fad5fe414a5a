//! The state as JSON, for people and for predicates.

use alloc::format;
use alloc::string::String;

use serde_json::{Map, Value};

use crate::kernel::table::AnyTable;
use crate::state::State;

impl State {
    /// The part of the state under a dotted path, such as `vessels.3.manifest.slots`, as JSON.
    /// The empty path is the whole state: modules, tables by name, rows by key; a table that can have
    /// but one row is that row. The module may be named before its table.
    pub fn view(&self, path: &str) -> Option<Value> {
        let mut parts = path.split('.').filter(|part| !part.is_empty()).peekable();
        let Some(first) = parts.next() else { return Some(self.view_modules(|_| true)) };
        let tables = self.tables.all();
        let named = |module: Option<&str>, name: &str| {
            let of_module = |table: &&&dyn AnyTable| module.is_none_or(|of| table.module() == of);
            tables.iter().filter(of_module).find(|table| table.name() == name).copied()
        };
        // A module may have a table of its own name.
        let of_module = parts.peek().and_then(|name| named(Some(first), name));
        let table = match of_module {
            Some(table) => {
                parts.next();
                table
            }
            None => match named(None, first) {
                Some(table) => table,
                None if parts.peek().is_none() => {
                    let module = self.view_modules(|table| table.module() == first);
                    return module.get(first).cloned();
                }
                None => return None,
            },
        };
        let row = if table.is_single() {
            // The one row has no key to name; naming it is no mistake either.
            parts.next_if_eq(&"0");
            table.view_row(0)?
        } else {
            let Some(row) = parts.next() else { return Some(view_table(table)) };
            table.view_row(row.parse().ok()?)?
        };
        parts.try_fold(row, |value, part| match value {
            Value::Object(mut fields) => fields.remove(part),
            Value::Array(mut items) => {
                let place = part.parse::<usize>().ok()?;
                (place < items.len()).then(|| items.swap_remove(place))
            }
            _ => None,
        })
    }

    fn view_modules(&self, wanted: impl Fn(&dyn AnyTable) -> bool) -> Value {
        let mut modules = Map::new();
        for table in self.tables.all().into_iter().filter(|table| wanted(*table)) {
            let module = modules.entry(table.module()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(tables) = module {
                tables.insert(String::from(table.name()), view_table(table));
            }
        }
        Value::Object(modules)
    }
}

fn view_table(table: &dyn AnyTable) -> Value {
    if table.is_single() {
        return table.view_row(0).unwrap_or(Value::Null);
    }
    let rows = table.keys().into_iter();
    rows.filter_map(|key| Some((format!("{key}"), table.view_row(key)?))).collect()
}
