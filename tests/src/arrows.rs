//! The arrows between the files of a crate: which file uses which, held against the floors of the house.
//!
//! Files are read as text, so a crate is judged without being built. A face, a file that only declares
//! modules and brings names in, is looked through: whoever uses a name of it uses the file that defines
//! the name. `lib.rs` is a face whatever it holds, and what it defines stands on the top floor.

mod source;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::{fs, io};

use source::{Module, Source, Written};

/// The floors of a crate, lowest first: their names, and what stands on them. `a` is the file `a.rs` and
/// all in the folder `a`, `a/b` the same within a folder, and `*` stands for any one folder.
pub type Floors<'a> = &'a [(&'a str, &'a [&'a str])];

const LIB: &str = "lib.rs";

/// How many names and faces a path may be handed through.
const HOPS_MAX: u8 = 8;

/// The sources of a crate.
pub struct House {
    files: BTreeMap<String, Source>,
    modules: BTreeMap<Module, String>,
}

/// What a path leads to.
#[derive(Default)]
struct Target<'h> {
    /// The files of the crate; none if it leads out of it, or to a face and no further.
    files: BTreeSet<&'h str>,
    /// Whether it should have led to one.
    lost: bool,
}

/// From each file, the files that it uses.
type Arrows<'h> = BTreeMap<&'h str, BTreeSet<&'h str>>;

impl House {
    /// Reads every source in a folder.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let inner = path.strip_prefix(dir).unwrap_or(&path).iter();
                    let name: Vec<_> = inner.map(|part| part.to_string_lossy()).collect();
                    files.push((name.join("/"), fs::read_to_string(&path)?));
                }
            }
        }
        Ok(Self::of(files))
    }

    /// Sources by their names, with `/` between folders.
    pub fn of(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut house = Self { files: BTreeMap::new(), modules: BTreeMap::new() };
        for (name, text) in files {
            let module = module_of(&name);
            house.files.insert(name.clone(), Source::read(&module, &text));
            house.modules.insert(module, name);
        }
        house
    }

    /// Everything that is not as the floors say, a sentence each.
    pub fn faults(&self, floors: Floors<'_>) -> Vec<String> {
        let (arrows, mut faults) = self.arrows();
        faults.extend(self.unhoused(floors));
        faults.extend(self.rising(floors, &arrows));
        faults.extend(circles(&arrows));
        faults
    }

    /// The arrows, and a sentence about every path that leads nowhere.
    fn arrows(&self) -> (Arrows<'_>, Vec<String>) {
        let (mut arrows, mut faults) = (Arrows::new(), Vec::new());
        for (file, source) in self.files.iter().filter(|(file, source)| !is_face(file, source)) {
            let used = arrows.entry(file).or_default();
            let brought = source.uses.iter().map(|brought| &brought.written);
            for written in brought.chain(&source.paths) {
                let target = self.target_of(source, written, 0);
                if target.lost {
                    faults
                        .push(format!("{file} uses {}, which is nowhere", written.path.join("::")));
                }
                used.extend(target.files.iter().filter(|target| *target != file));
            }
        }
        (arrows, faults)
    }

    /// Files on no floor or on several, and floors with nothing on a place of theirs.
    fn unhoused(&self, floors: Floors<'_>) -> Vec<String> {
        let homeless = self.files.iter().filter(|(file, source)| !is_face(file, source));
        let homeless = homeless.filter_map(|(file, _)| match floors_of(floors, file).len() {
            0 => Some(format!("{file} stands on no floor")),
            1 => None,
            _ => Some(format!("{file} stands on more than one floor")),
        });
        let places = floors.iter().flat_map(|(_, places)| places.iter());
        let empty = places.filter(|place| !self.files.keys().any(|file| stands_at(file, place)));
        homeless.chain(empty.map(|place| format!("nothing stands at {place}"))).collect()
    }

    fn rising(&self, floors: Floors<'_>, arrows: &Arrows<'_>) -> Vec<String> {
        let floor = |file: &str| match file {
            LIB => floors.len().checked_sub(1),
            _ => floors_of(floors, file).first().copied(),
        };
        let named = |file: &str, floor: usize| {
            format!(
                "{file} (floor {}, {})",
                floor + 1,
                floors.get(floor).map_or("", |found| found.0)
            )
        };
        let mut faults = Vec::new();
        for (from, used) in arrows {
            for to in used {
                if let (Some(low), Some(high)) = (floor(from), floor(to))
                    && low < high
                {
                    faults.push(format!("{} uses {}", named(from, low), named(to, high)));
                }
            }
        }
        faults
    }

    fn target_of(&self, source: &Source, written: &Written, hops: u8) -> Target<'_> {
        self.absolute(source, written, hops)
            .map(|path| self.target(&path, hops))
            .unwrap_or_default()
    }

    /// A path from the crate on; `None` if it leads out of it, or is none of modules.
    fn absolute(&self, source: &Source, written: &Written, hops: u8) -> Option<Module> {
        let (first, rest) = written.path.split_first()?;
        let child = [written.within.as_slice(), std::slice::from_ref(first)].concat();
        let mut path = match first.as_str() {
            "crate" => Module::new(),
            "self" => written.within.clone(),
            "super" => above(&written.within),
            _ if self.modules.contains_key(&child) => child,
            _ => {
                let mut named = source.uses.iter().filter(|brought| brought.name == *first);
                let brought = named.find(|brought| brought.written != *written)?;
                let hops = hops.checked_add(1).filter(|hops| *hops < HOPS_MAX)?;
                self.absolute(source, &brought.written, hops)?
            }
        };
        for part in rest {
            match part.as_str() {
                "super" => path = above(&path),
                part => path.push(part.to_owned()),
            }
        }
        Some(path)
    }

    /// What a path from the crate on leads to.
    fn target(&self, path: &[String], hops: u8) -> Target<'_> {
        let lengths = (0..=path.len()).rev();
        let found = lengths
            .filter_map(|length| path.split_at_checked(length))
            .find_map(|(module, rest)| Some((self.modules.get(module)?, rest)));
        let Some((file, rest)) = found else { return Target::default() };
        let Some(source) = self.files.get(file) else { return Target::default() };
        if !is_face(file, source) {
            return Target { files: [file.as_str()].into(), lost: false };
        }
        match rest.split_first() {
            None => Target::default(),
            Some((name, rest)) => self.through(file, source, name, rest, hops),
        }
    }

    /// What a name of a face leads to.
    fn through<'h>(
        &'h self,
        file: &'h str,
        face: &'h Source,
        name: &str,
        rest: &[String],
        hops: u8,
    ) -> Target<'h> {
        let lost = Target { files: BTreeSet::new(), lost: true };
        let Some(hops) = hops.checked_add(1).filter(|hops| *hops < HOPS_MAX) else { return lost };
        let onward = |written: &Written, rest: &[String]| {
            let path = [written.path.as_slice(), rest].concat();
            self.target_of(face, &Written { within: written.within.clone(), path }, hops)
        };
        if name == "*" {
            let all = face.uses.iter().map(|brought| onward(&brought.written, &[]));
            let files = all.flat_map(|target| target.files).collect();
            return Target { files, lost: false };
        }
        if let Some(brought) = face.uses.iter().find(|brought| brought.name == name) {
            return onward(&brought.written, rest);
        }
        if file == LIB && face.defined.contains(name) {
            return Target { files: [file].into(), lost: false };
        }
        // Of what is brought in by a star, what defines the name is meant.
        let defines = |target: &Target<'_>| {
            let mut files = target.files.iter().filter_map(|file| self.files.get(*file));
            files.any(|source| source.defined.contains(name))
        };
        let stars = face.uses.iter().filter(|brought| brought.name == "*");
        let mut starred = stars.map(|brought| {
            let (_, module) = brought.written.path.split_last().unwrap_or((&brought.name, &[]));
            let written = Written { path: module.to_vec(), ..brought.written.clone() };
            onward(&written, &[name.to_owned()])
        });
        starred.find(defines).unwrap_or(lost)
    }
}

/// The shortest circle of each knot of files that reach each other, as a sentence.
fn circles(arrows: &Arrows<'_>) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut faults = Vec::new();
    for start in arrows.keys() {
        let there = reached(arrows, start);
        if told.contains(start) || !there.contains_key(start) {
            continue;
        }
        let knot = there.into_keys().filter(|file| reached(arrows, file).contains_key(start));
        let knot: Vec<&str> = knot.collect();
        let circles = knot.iter().filter_map(|file| shortest_circle(arrows, file));
        let shortest = circles.min_by_key(Vec::len).unwrap_or_default();
        faults.push(format!("circle: {}", shortest.join(" -> ")));
        told.extend(knot);
    }
    faults
}

/// The way from a file to itself with the fewest arrows.
fn shortest_circle<'h>(arrows: &Arrows<'h>, start: &'h str) -> Option<Vec<&'h str>> {
    let from = reached(arrows, start);
    let mut circle = vec![start];
    let mut at = *from.get(start)?;
    while at != start {
        circle.push(at);
        at = from.get(at)?;
    }
    circle.push(start);
    circle.reverse();
    Some(circle)
}

/// The files that are reached from one, each with the file that it is first reached from.
fn reached<'h>(arrows: &Arrows<'h>, start: &'h str) -> BTreeMap<&'h str, &'h str> {
    let mut from = BTreeMap::new();
    let mut ahead = VecDeque::from([start]);
    while let Some(file) = ahead.pop_front() {
        for next in arrows.get(file).into_iter().flatten() {
            if !from.contains_key(next) {
                from.insert(*next, file);
                ahead.push_back(next);
            }
        }
    }
    from
}

fn is_face(file: &str, source: &Source) -> bool {
    file == LIB || source.is_face
}

fn module_of(file: &str) -> Module {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    if file == LIB { Module::new() } else { stem.split('/').map(str::to_owned).collect() }
}

fn above(module: &Module) -> Module {
    module.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default()
}

fn floors_of(floors: Floors<'_>, file: &str) -> Vec<usize> {
    let here = |(_, places): &(&str, &[&str])| places.iter().any(|place| stands_at(file, place));
    floors.iter().enumerate().filter(|(_, floor)| here(floor)).map(|(number, _)| number).collect()
}

fn stands_at(file: &str, place: &str) -> bool {
    let module = module_of(file);
    let parts: Vec<&str> = place.split('/').collect();
    parts.len() <= module.len()
        && parts.iter().zip(&module).all(|(part, name)| *part == "*" || part == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lower below higher; `room` is a face.
    const FLOORS: Floors<'_> = &[("ground", &["low", "*/low"]), ("roof", &["high", "*/high"])];

    fn check(planted: &[(&str, &str)], expected: &[&str]) {
        let mut files = BTreeMap::from([
            ("lib.rs", "mod low; mod high; pub use room::low::Bed;"),
            ("low.rs", ""),
            ("high.rs", ""),
            ("room.rs", "mod low; mod high; pub(crate) use self::high::Lamp; pub use low::*;"),
            ("room/low.rs", "pub struct Bed;"),
            ("room/high.rs", "pub struct Lamp;"),
        ]);
        files.extend(planted.iter().copied());
        let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(House::of(files).faults(FLOORS), expected, "{planted:?}");
    }

    #[test]
    fn an_arrow_down_is_as_it_should_be() {
        check(&[], &[]);
        check(&[("high.rs", "use crate::low::A; use crate::room::low::Bed;")], &[]);
        check(&[("high.rs", "use crate::{room::{self, Lamp}, Bed}; fn a() { room::Bed }")], &[]);
        check(&[("room/high.rs", "use super::low::Bed; use std::fmt; fmt::Display")], &[]);
    }

    #[test]
    fn an_arrow_up_names_both_files() {
        let up = ["low.rs (floor 1, ground) uses high.rs (floor 2, roof)"];
        check(&[("low.rs", "use crate::high::A;")], &up);
        check(&[("low.rs", "use crate::{room, high::{A, B}};")], &up);
        check(&[("low.rs", "fn a() { let b = vec![crate::high::B]; }")], &up);
        check(&[("low.rs", "use crate::high; fn a() { high::b() }")], &up);
        check(&[("low.rs", "mod inner { use super::super::high::A; }")], &up);
        let within = ["room/low.rs (floor 1, ground) uses room/high.rs (floor 2, roof)"];
        check(&[("room/low.rs", "use super::high::Lamp;")], &within);
        check(&[("room/low.rs", "use super::Lamp;")], &within);
    }

    #[test]
    fn a_face_is_looked_through() {
        let up = ["low.rs (floor 1, ground) uses room/high.rs (floor 2, roof)"];
        check(&[("low.rs", "use crate::room::Lamp;")], &up);
        check(&[("low.rs", "use crate::room::{Bed, Lamp as Light};")], &up);
        check(&[("low.rs", "use crate::room; fn a() -> room::Lamp {}")], &up);
        check(&[("low.rs", "use crate::room::*;")], &up);
        check(&[("low.rs", "use crate::room::Bed;")], &[]);
        check(
            &[("low.rs", "use crate::room::Sofa;")],
            &["low.rs uses crate::room::Sofa, which is nowhere"],
        );
        let top = ["low.rs (floor 1, ground) uses lib.rs (floor 2, roof)"];
        check(&[("low.rs", "crate::A"), ("lib.rs", "pub const A: u8 = 1;")], &top);
    }

    #[test]
    fn a_circle_is_named() {
        check(
            &[
                ("low.rs", "use crate::room::Bed;"),
                ("room/low.rs", "pub struct Bed(crate::low::A);"),
            ],
            &["circle: low.rs -> room/low.rs -> low.rs"],
        );
        check(
            &[
                ("low.rs", "use crate::room::low::A;"),
                ("room/low.rs", "use crate::other::low::A;"),
                ("other/low.rs", "crate::low::A"),
            ],
            &["circle: low.rs -> room/low.rs -> other/low.rs -> low.rs"],
        );
        // Of a knot, the shortest one.
        check(
            &[
                ("low.rs", "use crate::room::low::A;"),
                ("room/low.rs", "pub struct Bed(crate::other::low::A);"),
                ("other/low.rs", "crate::low::A; crate::room::Bed"),
            ],
            &["circle: other/low.rs -> room/low.rs -> other/low.rs"],
        );
    }

    #[test]
    fn every_file_has_its_floor() {
        check(&[("attic.rs", "mod chest;")], &[]);
        check(&[("attic.rs", "fn a() {}")], &["attic.rs stands on no floor"]);
        check(&[("room/chest.rs", "fn a() {}")], &["room/chest.rs stands on no floor"]);
        check(&[("low/high.rs", "fn a() {}")], &["low/high.rs stands on more than one floor"]);
        let house = House::of([("a.rs".to_owned(), "fn a() {}".to_owned())]);
        assert_eq!(house.faults(&[("all", &["a", "b"])]), ["nothing stands at b"]);
    }

    #[test]
    fn what_is_for_tests_alone_has_no_arrows() {
        check(&[("low.rs", "#[cfg(test)] mod tests { use crate::high::A; }")], &[]);
        check(&[("low.rs", "// crate::high::A\nconst A: &str = \"crate::high::A\";")], &[]);
    }
}
