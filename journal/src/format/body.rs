//! Bytes of records that are shared rather than copied.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// The records of one frame: a part of what was read in one go, and of nobody's own.
#[derive(Clone, Debug, Default)]
pub struct Body {
    run: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Body {
    /// The bytes at `range`, which is cut to what there is.
    pub(crate) fn within(run: &Arc<Vec<u8>>, range: Range<usize>) -> Self {
        let end = range.end.min(run.len());
        Self { run: Arc::clone(run), range: range.start.min(end)..end }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { run: Arc::new(bytes), range }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.run.get(self.range.clone()).unwrap_or_default()
    }
}
