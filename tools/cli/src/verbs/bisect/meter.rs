//! The steps of an expression, counted.
//!
//! The evaluator knows no bound, so an expression is rewritten before it is evaluated: wherever it would
//! walk, copy or compare something of any size, it calls a function that pays for that first and hands
//! the value on. What is paid depends on the values alone and not on where a loop breaks off, and maps
//! are walked in the order of their keys; so an expression has the same cost, and the same answer,
//! everywhere. Where nothing is left to pay with, every such call fails: loops that are under way come to
//! their ends, since what is in them fails at once.

use std::cell::Cell;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapEntryExpr,
    MapExpr, SelectExpr, operators,
};
use cel::common::types::{
    CelBytes, CelInt, CelList, CelMap, CelMapKey, CelOptional, CelString, DYN_TYPE, INT_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

/// Names that nobody can write in an expression.
const WALK: &str = "@walk";
const WHOLE: &str = "@whole";
const LIST: &str = "@list";
const TEXT: &str = "@text";

thread_local! {
    /// What is left to pay with on this thread; `None` once it was not enough.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Begins an evaluation that may take so many steps.
pub(super) fn begin(steps: u64) {
    LEFT.set(Some(steps));
}

/// Whether the evaluation would have taken more.
pub(super) fn exhausted() -> bool {
    LEFT.get().is_none()
}

fn pay(steps: u64) -> Result<(), ExecutionError> {
    LEFT.set(LEFT.get().and_then(|left| left.checked_sub(steps)));
    LEFT.get().map(drop).ok_or_else(|| ExecutionError::InternalError("too many steps".to_owned()))
}

/// Declares what a metered expression calls.
pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(WALK, WALK, vec![DYN_TYPE, INT_TYPE], walk)?;
    env.add_overload(WHOLE, WHOLE, vec![DYN_TYPE], |args| {
        pay(args.first().map_or(0, |value| size(value.as_ref())))?;
        handed_on(args)
    })?;
    env.add_overload(LIST, LIST, vec![DYN_TYPE], |args| {
        let list = args.first().filter(|value| value.downcast_ref::<CelList>().is_some());
        pay(list.map_or(1, |list| size(list.as_ref())))?;
        handed_on(args)
    })?;
    env.add_overload(TEXT, TEXT, vec![DYN_TYPE], |args| {
        pay(args.first().map_or(0, |value| length(value.as_ref())))?;
        handed_on(args)
    })
}

fn handed_on<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    Ok(args.swap_remove(0))
}

/// Pays for a loop over a value, so much for each round; the keys of a map in their order.
fn walk<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let weight = args.get(1).and_then(|weight| weight.downcast_ref::<CelInt>());
    let weight = weight.map_or(1, |weight| weight.inner().unsigned_abs());
    let range = handed_on(args)?;
    if let Some(map) = range.downcast_ref::<CelMap>() {
        pay(weight.saturating_mul(map.len() as u64 + 1))?;
        let mut keys: Vec<&CelMapKey<'v>> = map.keys().collect();
        keys.sort_by_cached_key(|key| place(key));
        let keys = keys.into_iter().map(|key| key.inner().clone_as_boxed());
        return Ok(CowVal::owned(CelList::from(keys.collect::<Vec<Box<dyn Val + 'v>>>())));
    }
    if let Some(list) = range.downcast_ref::<CelList>() {
        let rounds = weight.saturating_mul(list.len() as u64 + 1);
        pay(rounds.saturating_add(size(range.as_ref())))?;
    }
    Ok(range)
}

/// Keys that are numbers, as those of tables are, go by number.
fn place(key: &CelMapKey<'_>) -> (bool, u64, CelMapKey<'static>) {
    let number = match key {
        CelMapKey::String(text) => text.inner().parse().ok(),
        _ => None,
    };
    (number.is_none(), number.unwrap_or_default(), key.clone().into_static())
}

/// A text of so many bytes is as much as one value.
const TEXT_BYTES: usize = 16;

/// The values that a value is made of.
fn size(value: &dyn Val) -> u64 {
    if let Some(list) = value.downcast_ref::<CelList>() {
        return list.iter().fold(1, |sum, item| sum + size(item.as_ref()));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.iter();
        return entries.fold(1, |sum, (key, item)| sum + length(key.inner()) + size(item.as_ref()));
    }
    if let Some(inner) = value.downcast_ref::<CelOptional>().and_then(CelOptional::inner) {
        return 1 + size(inner);
    }
    length(value)
}

/// The same for a value that is all in one place.
fn length(value: &dyn Val) -> u64 {
    let text = value.downcast_ref::<CelString>().map(|text| text.inner().len());
    let bytes = || value.downcast_ref::<CelBytes>().map(|bytes| bytes.inner().len());
    1 + (text.or_else(bytes).unwrap_or(0) / TEXT_BYTES) as u64
}

/// An expression that pays for what it does.
pub(super) fn metered(node: IdedExpr) -> IdedExpr {
    let IdedExpr { id, expr } = node;
    let expr = match expr {
        Expr::Call(call) => Expr::Call(called(call)),
        Expr::Comprehension(looped) => Expr::Comprehension(Box::new(looping(*looped))),
        Expr::List(list) => {
            let elements = list.elements.into_iter().map(|item| paid(WHOLE, item)).collect();
            Expr::List(ListExpr { elements, ..list })
        }
        Expr::Map(map) => {
            let entries = map.entries.into_iter().map(|mut entry| {
                if let EntryExpr::MapEntry(MapEntryExpr { key, value, .. }) = &mut entry.expr {
                    *key = paid(TEXT, std::mem::take(key));
                    *value = paid(WHOLE, std::mem::take(value));
                }
                entry
            });
            Expr::Map(MapExpr { entries: entries.collect() })
        }
        Expr::Select(select) => {
            let operand = Box::new(metered(*select.operand));
            Expr::Select(SelectExpr { operand, ..select })
        }
        // No structure is known that could be made.
        other @ (Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified) => other,
    };
    IdedExpr { id, expr }
}

/// A value that is paid for by `function`; a literal is as long as it is written.
fn paid(function: &str, node: IdedExpr) -> IdedExpr {
    match node.expr {
        Expr::Literal(_) => node,
        _ => call(function, vec![metered(node)]),
    }
}

fn call(function: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let call = CallExpr { func_name: function.to_owned(), target: None, args };
    IdedExpr { id: 0, expr: Expr::Call(call) }
}

fn called(call: CallExpr) -> CallExpr {
    let CallExpr { func_name, target, mut args } = call;
    let literal = args.iter().any(|arg| matches!(arg.expr, Expr::Literal(_)));
    // What a loop has gathered so far is added to in place.
    let gathers = matches!(&args.first().map(|arg| &arg.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
    let meters: [Option<&str>; 2] = match func_name.as_str() {
        operators::EQUALS | operators::NOT_EQUALS if !literal => [Some(WHOLE); 2],
        operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS
            if !literal =>
        {
            [Some(TEXT); 2]
        }
        operators::ADD if !gathers => [Some(WHOLE); 2],
        operators::IN => [None, Some(LIST)],
        operators::INDEX => [None, Some(TEXT)],
        "size" => [Some(TEXT); 2],
        name if name.starts_with(|first: char| first.is_alphabetic()) => [Some(WHOLE); 2],
        // Arithmetic and logic, of numbers and of what is true.
        _ => [None; 2],
    };
    let metered_by = |function: Option<&str>, node| match function {
        Some(function) => paid(function, node),
        None => metered(node),
    };
    for (place, arg) in args.iter_mut().enumerate() {
        let function = meters.get(place).or(meters.last()).copied().flatten();
        *arg = metered_by(function, std::mem::take(arg));
    }
    // What a function is called on may be a part of its name.
    let target = target.map(|target| match &target.expr {
        Expr::Ident(name) if name == "optional" => target,
        _ => Box::new(metered_by(meters.first().copied().flatten(), *target)),
    });
    CallExpr { func_name, target, args }
}

fn looping(looped: ComprehensionExpr) -> ComprehensionExpr {
    let weight = i64::try_from(nodes(&looped.loop_step)).unwrap_or(i64::MAX);
    let weight = IdedExpr { id: 0, expr: Expr::Literal(LiteralValue::Int(weight.into())) };
    ComprehensionExpr {
        iter_range: call(WALK, vec![metered(looped.iter_range), weight]),
        loop_step: metered(looped.loop_step),
        ..looped
    }
}

/// What one evaluation of an expression goes through, without the rounds of the loops in it.
fn nodes(node: &IdedExpr) -> u64 {
    let sum = |nodes: &mut dyn Iterator<Item = &IdedExpr>| nodes.map(self::nodes).sum::<u64>();
    1 + match &node.expr {
        Expr::Call(call) => sum(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Comprehension(looped) => nodes(&looped.iter_range),
        Expr::List(list) => sum(&mut list.elements.iter()),
        Expr::Map(map) => sum(&mut map.entries.iter().flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            EntryExpr::StructField(field) => vec![&field.value],
        })),
        Expr::Select(select) => nodes(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => 0,
    }
}
