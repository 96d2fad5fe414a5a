//! What one file says of others.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};

/// A module, as the names that lead to it from the crate.
pub(super) type Module = Vec<String>;

/// A path as it is written, and the module that it is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) within: Module,
    pub(super) path: Vec<String>,
}

/// A name that is brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) written: Written,
    /// What it is called here; `*`, as at the end of its path, for everything that is there.
    pub(super) name: String,
}

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) uses: Vec<Use>,
    /// The paths that it names without bringing them in.
    pub(super) paths: Vec<Written>,
    /// The names that it defines, wherever in it.
    pub(super) defined: BTreeSet<String>,
    /// Whether it declares modules, and does nothing else but bring names in.
    pub(super) is_face: bool,
}

impl Source {
    /// Reads the file of a module.
    pub(super) fn read(module: &Module, text: &str) -> Self {
        let tokens = tokens(text);
        let mut reader = Reader {
            rest: &tokens,
            within: module.clone(),
            opened: Vec::new(),
            depth: 0,
            modules: 0,
            works: false,
            source: Self::default(),
        };
        while reader.item() {}
        Self { is_face: reader.modules > 0 && !reader.works, ..reader.source }
    }
}

struct Reader<'t, 's> {
    rest: &'t [Token<'s>],
    /// The module that is read, one inside of the file included.
    within: Module,
    /// The depths at which such modules were opened.
    opened: Vec<usize>,
    depth: usize,
    /// How many modules it declares, and whether there is anything else.
    modules: usize,
    works: bool,
    source: Source,
}

impl<'s> Reader<'_, 's> {
    /// Reads a declaration, a path or a token; false at the end.
    fn item(&mut self) -> bool {
        match *self.rest {
            [] => return false,
            [Token::Mark('#'), Token::Mark('['), ..] => self.skip(1),
            [Token::Mark('#'), Token::Mark('!'), Token::Mark('['), ..] => self.skip(2),
            [Token::Word("pub"), Token::Mark('('), ..] => self.skip(1),
            [Token::Word("pub"), ..] => self.take(1),
            [Token::Word("mod"), Token::Word(_), Token::Mark(';'), ..] => {
                self.modules += 1;
                self.take(3);
            }
            [Token::Word("extern"), Token::Word("crate"), Token::Word(_), Token::Mark(';'), ..] => {
                self.take(4);
            }
            [Token::Word("mod"), Token::Word(name), Token::Mark('{'), ..] => {
                self.works = true;
                self.within.push(name.to_owned());
                self.opened.push(self.depth);
                self.depth += 1;
                self.take(3);
            }
            // `use<'a>` is a bound.
            [Token::Word("use"), Token::Word(_) | Token::Step | Token::Mark('{'), ..] => {
                self.take(1);
                self.tree(&[]);
            }
            [Token::Mark(';'), ..] => self.take(1),
            _ => {
                self.works = true;
                self.code();
            }
        }
        true
    }

    fn code(&mut self) {
        match *self.rest {
            [Token::Word("macro_rules"), Token::Mark('!'), Token::Word(name), ..]
            | [
                Token::Word(
                    "struct" | "enum" | "union" | "fn" | "type" | "const" | "static" | "trait",
                ),
                Token::Word(name),
                ..,
            ] => {
                self.source.defined.insert(name.to_owned());
                self.take(1);
            }
            [Token::Word(_), Token::Step, ..] => {
                let path = self.path();
                if path.len() > 1 {
                    self.source.paths.push(Written { within: self.within.clone(), path });
                }
            }
            // A part of a type that is spelt out, or a name of something that is at hand.
            [Token::Step | Token::Mark('.'), Token::Word(_), ..] => {
                self.take(1);
                self.path();
            }
            [Token::Mark('{'), ..] => {
                self.depth += 1;
                self.take(1);
            }
            [Token::Mark('}'), ..] => {
                self.depth = self.depth.saturating_sub(1);
                if self.opened.last() == Some(&self.depth) {
                    self.opened.pop();
                    self.within.pop();
                }
                self.take(1);
            }
            _ => self.take(1),
        }
    }

    /// Words with steps between them.
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while let [Token::Word(word), ..] = *self.rest {
            path.push(word.to_owned());
            self.take(1);
            match *self.rest {
                [Token::Step, Token::Word(_), ..] => self.take(1),
                _ => break,
            }
        }
        path
    }

    /// A tree of names behind `use`.
    fn tree(&mut self, before: &[String]) {
        let mut path = before.to_vec();
        loop {
            match *self.rest {
                [Token::Step, ..] => {}
                [Token::Word("as"), ..] => break,
                // Among others in braces it is what stands before them.
                [Token::Word("self"), ..] if !path.is_empty() => {}
                [Token::Word(word), ..] => path.push(word.to_owned()),
                _ => break,
            }
            self.take(1);
        }
        match *self.rest {
            [Token::Mark('{'), ..] => {
                self.take(1);
                while !matches!(self.rest, [] | [Token::Mark('}'), ..]) {
                    self.tree(&path);
                    if let [Token::Mark(','), ..] = self.rest {
                        self.take(1);
                    }
                }
                self.take(1);
            }
            [Token::Mark('*'), ..] => {
                self.take(1);
                path.push("*".to_owned());
                self.bring(path, "*".to_owned());
            }
            [Token::Word("as"), Token::Word(name), ..] => {
                self.take(2);
                self.bring(path, name.to_owned());
            }
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                self.bring(path, name);
            }
        }
    }

    fn bring(&mut self, path: Vec<String>, name: String) {
        let written = Written { within: self.within.clone(), path };
        self.source.uses.push(Use { written, name });
    }

    /// Passes over what stands between the brackets that open after `before` tokens.
    fn skip(&mut self, before: usize) {
        self.take(before);
        let mut depth = 0usize;
        while let Some((first, rest)) = self.rest.split_first() {
            match first {
                Token::Mark('(' | '[' | '{') => depth += 1,
                Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.rest = rest;
            if depth == 0 {
                break;
            }
        }
    }

    fn take(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::read(&vec!["m".to_owned()], text)
    }

    fn written(written: &Written) -> String {
        format!("{}: {}", written.within.join("::"), written.path.join("::"))
    }

    #[test]
    fn trees_of_names_are_taken_apart() {
        let check = |text: &str, expected: &[&str]| {
            let uses = source(text).uses;
            let found: Vec<String> = uses
                .iter()
                .map(|found| format!("{} as {}", written(&found.written), found.name))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("use crate::a;", &["m: crate::a as a"]);
        check("pub(crate) use a::B as C;", &["m: a::B as C"]);
        check(
            "use crate::{a, b::{self, C, d::*}};",
            &[
                "m: crate::a as a",
                "m: crate::b as b",
                "m: crate::b::C as C",
                "m: crate::b::d::* as *",
            ],
        );
        check("use self::a::{B, };", &["m: self::a::B as B"]);
        check("mod n { use super::a; } use b::c;", &["m::n: super::a as a", "m: b::c as c"]);
        check("fn a() -> impl B + use<'_> { use super::c; }", &["m: super::c as c"]);
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let check = |text: &str, expected: &[&str]| {
            let paths = source(text).paths;
            assert_eq!(paths.iter().map(written).collect::<Vec<_>>(), expected, "{text}");
        };
        check("fn a() { crate::b::c(d, e::F) }", &["m: crate::b::c", "m: e::F"]);
        check("let a = matches!(b, super::C::D { .. });", &["m: super::C::D"]);
        check(
            "impl<A: b::C> D for e::F<crate::g::H> {}",
            &["m: b::C", "m: e::F", "m: crate::g::H"],
        );
        check("<A as b::C>::d(a.b::<c::D>())", &["m: b::C", "m: c::D"]);
        check("$crate::a::b!(c)", &["m: crate::a::b"]);
        check("mod n { a::b } c::d", &["m::n: a::b", "m: c::d"]);
        check("pub(in crate::a) fn b() {}", &[]);
        check("#[doc = a::b] #![c(d::e)]", &[]);
    }

    #[test]
    fn a_face_declares_and_brings_in() {
        let check = |text: &str, face: bool| assert_eq!(source(text).is_face, face, "{text}");
        check(
            "//! A.\n#![no_std]\nextern crate alloc; mod a; pub(crate) mod b; pub use b::{C, d};",
            true,
        );
        check("pub mod a; const B: u8 = 1;", false);
        check("mod a { }", false);
        check("use a::B;", false);
        check("mod a; #[cfg(test)] mod tests { fn b() {} }", true);
    }

    #[test]
    fn what_is_defined_is_known() {
        let defined =
            source("pub struct A; enum B {} const fn c() {} macro_rules! d { } type E = F;")
                .defined;
        for name in ["A", "B", "c", "d", "E"] {
            assert!(defined.contains(name), "{name}");
        }
        assert!(!defined.contains("F"));
    }
}
