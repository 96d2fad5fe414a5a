//! `salvage`: what verifies of a damaged journal, in a new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tensorforge_journal::disk::{Disk as _, SystemDisk};
use tensorforge_journal::{JournalError, WriterOptions, salvage};

use crate::args::SalvageArgs;
use crate::failure::{Exit, Failure, Result};
use crate::output::{self, GOOD, counted};
use crate::text::paint;
use crate::verbs;

pub(crate) fn run(args: &SalvageArgs, as_json: bool) -> Result<Exit> {
    let part = make_part(&args.out)?;
    let salvaged = salvage(&args.dir, &part, WriterOptions::default());
    // The copy has its name once it is there; a part of it never does.
    let salvaged = salvaged.map_err(Failure::from).and_then(|salvaged| {
        name(&part).map_err(|error| Failure::file(&args.out, &error)).map(|()| salvaged)
    });
    let salvaged = salvaged.inspect_err(|_| drop(fs::remove_dir_all(&part)))?;
    if as_json {
        let pages: Vec<String> = salvaged.pages.iter().map(ToString::to_string).collect();
        output::json(&json!({
            "records": salvaged.kept,
            "lost": salvaged.lost,
            "damage": salvaged.fault.as_ref().map(ToString::to_string),
            "pages": pages,
        }));
        return Ok(Exit::AsAsked);
    }
    let kept = counted(salvaged.kept, "record");
    output::say(paint(GOOD, "salvaged") + format!(" {kept} into {}", args.out.display()));
    for page in &salvaged.pages {
        output::say(format!("passed over: {page}; the rest tells what it said"));
    }
    if let Some(fault) = &salvaged.fault {
        output::say(format!("stopped at: {fault}"));
    }
    if salvaged.lost > 0 {
        let lost = counted(salvaged.lost, "record");
        output::say(format!("lost: {lost}, from the damaged one on"));
    }
    if let (None, Some(tail)) = (&salvaged.fault, &salvaged.torn) {
        output::say(format!(
            "left out: the last frame, of which {} had come; nothing is damaged",
            counted(tail.length, "byte")
        ));
    }
    // Damage may hide how much came after it, so the way on is shown even if nothing is known to be lost.
    if salvaged.fault.is_some() || salvaged.torn.is_some() {
        output::say(format!(
            "go on: tensorforge capture --resume --out {}, with the arguments of the capture, \
             makes the rest again",
            args.out.display()
        ));
    }
    Ok(Exit::AsAsked)
}

/// Refuses to write over what stands at `out`; where the copy grows: a folder beside it that nobody else
/// has made, so that nothing which is removed or renamed afterwards is anybody else's.
fn make_part(out: &Path) -> Result<PathBuf> {
    let out = match fs::read_dir(out) {
        Ok(mut entries) => {
            verbs::refuse_other_files(out)?;
            if entries.next().is_some() {
                return Err(JournalError::Exists { path: out.to_path_buf() }.into());
            }
            fs::canonicalize(out).map_err(|error| Failure::file(out, &error))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => out.components().collect(),
        Err(error) => return Err(Failure::file(out, &error)),
    };
    let mut part = out.into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    match fs::create_dir(&part) {
        Ok(()) => Ok(part),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("{} is in the way: the copy grows there", part.display());
            Err(Failure::input(message).with_help(
                "remove it if a salvage that was interrupted has left it, or give another --out",
            ))
        }
        Err(error) => Err(Failure::file(&part, &error)),
    }
}

/// Gives a copy that is done its name, which lasts.
fn name(part: &Path) -> io::Result<()> {
    let out = part.with_extension("");
    SystemDisk.rename(part, &out)?;
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    SystemDisk.sync_dir(folder.unwrap_or(Path::new(".")))
}
