//! Names the build: a hash of the engine's own sources, so that two builds that could decide or fold
//! differently never carry the same name, and the same sources carry it on every machine.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src");
    let mut sources = Vec::new();
    collect(&root, &mut sources)?;
    sources.sort();
    let mut hasher = blake3::Hasher::new();
    for path in sources {
        let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        // A checkout with other line ends is the same source.
        let text = fs::read_to_string(&path)?.replace("\r\n", "\n");
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let hash = hasher.finalize().to_hex();
    println!("cargo::rustc-env=TENSORFORGE_BUILD={version}+{}", hash.get(..16).unwrap_or_default());
    Ok(())
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
    Ok(())
}
