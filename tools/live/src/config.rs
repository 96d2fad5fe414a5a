//! What a live exchange is told to be.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tensorforge_engine::policy::Policy;
use tensorforge_engine::units::Micros;
use tensorforge_fleet::{Fleet, parse_policy};

use crate::ServeError;

/// A configuration file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where clients are heard.
    #[serde(default = "usual_address")]
    listen: SocketAddr,
    /// The folder of the journal.
    data: PathBuf,
    /// The fleet file: models, vessels with their prices and paces, contracts.
    fleet: PathBuf,
    /// The policy file; without one the policy that is the default everywhere.
    policy: Option<PathBuf>,
    /// Whose orders they are.
    #[serde(default = "usual_tenant")]
    tenant: String,
    /// The secret of the hashes by which the beginnings of prompts are recognised, in 64 hexadecimal digits; without one it
    /// is drawn at each start, and nothing is recognised from before.
    salt: Option<String>,
    /// Where each vessel of the fleet is heard, by its name.
    vessels: BTreeMap<String, String>,
}

fn usual_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8_120))
}

fn usual_tenant() -> String {
    "house".into()
}

/// What a live exchange is told to be.
#[derive(Debug)]
pub struct Config {
    /// Where clients are heard.
    pub listen: SocketAddr,
    /// The folder of the journal.
    pub data: PathBuf,
    /// Who serves what, at which prices.
    pub fleet: Fleet,
    /// The rules that a new journal begins with.
    pub policy: Policy,
    /// Whose orders they are.
    pub tenant: String,
    /// The secret of the hashes by which the beginnings of prompts are recognised.
    pub salt: [u8; 32],
    /// Where each vessel is heard, in the order of the fleet; none where the vessels are built in.
    pub vessels: Option<Vec<String>>,
}

impl Config {
    /// Reads a file; the paths in it are taken from its folder.
    pub fn read(path: &Path) -> Result<Self, ServeError> {
        let fault = |fault: String| ServeError::Config { path: path.to_owned(), fault };
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let read = |path: &Path| {
            let path = dir.join(path);
            let text = std::fs::read_to_string(&path);
            text.map(|text| (path.display().to_string(), text))
                .map_err(|error| fault(format!("{}: {error}", path.display())))
        };
        let (name, text) = read(&file.fleet)?;
        let mut fleet = Fleet::parse(&name, &text).map_err(|error| fault(error.to_string()))?;
        // They are judged by their answers, and nobody speaks for them besides.
        for vessel in &mut fleet.vessels {
            (vessel.manifest.heartbeat, vessel.joins) = (Micros::ZERO, Micros::ZERO);
        }
        let policy = match &file.policy {
            Some(path) => read(path)?,
            None => ("the default policy".to_owned(), String::new()),
        };
        let policy =
            parse_policy(&policy.0, &policy.1).map_err(|error| fault(error.to_string()))?;
        if policy.hedge_percent != [0; 3] {
            return Err(fault("policy: hedge_percent is not served yet; set it to 0".into()));
        }
        let address = |vessel: &str| {
            let url = file.vessels.get(vessel).ok_or_else(|| {
                fault(format!("vessels: {vessel} of the fleet has no address; add `{vessel} = \"http://HOST:PORT\"`"))
            })?;
            if url.starts_with("http://") {
                Ok(url.trim_end_matches('/').to_owned())
            } else {
                Err(fault(format!("vessels.{vessel}: {url} does not begin with http://")))
            }
        };
        let vessels = fleet.vessels.iter().map(|vessel| address(&vessel.name));
        let vessels = vessels.collect::<Result<Vec<String>, ServeError>>()?;
        let known = |name: &String| fleet.vessels.iter().any(|vessel| vessel.name == *name);
        if let Some(name) = file.vessels.keys().find(|name| !known(name)) {
            return Err(fault(format!("vessels.{name}: the fleet has no vessel of this name")));
        }
        Ok(Self {
            listen: file.listen,
            data: dir.join(&file.data),
            fleet,
            policy,
            tenant: file.tenant,
            salt: match &file.salt {
                None => drawn(),
                Some(digits) => unhex(digits)
                    .ok_or_else(|| fault("salt: is not 64 hexadecimal digits".into()))?,
            },
            vessels: Some(vessels),
        })
    }
}

/// Bytes that nobody else has.
pub(crate) fn drawn<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for (place, chunk) in bytes.chunks_mut(8).enumerate() {
        let word = RandomState::new().hash_one(place).to_le_bytes();
        chunk.iter_mut().zip(word).for_each(|(byte, drawn)| *byte = drawn);
    }
    bytes
}

fn unhex(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        let pair = digits.get(2 * place..2 * place + 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}
