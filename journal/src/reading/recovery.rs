//! What the end of a segment means: clean, torn or damaged. A pure function over what was found.
//!
//! A live segment is zeroed ahead, a whole number of extents long, and always has a zero behind its
//! last frame; a finished one ends with its last frame. So bytes that were cut off show in the length,
//! and a crash can only leave a part of one frame with nothing but zeros behind it.

use crate::damage::DamageKind;

/// What follows the last frame of a segment that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nothing: the file ends with it.
    End,
    /// Zeros up to the end of the file.
    Zeros,
    /// Bytes that are no valid header.
    Garbage {
        /// Bytes up to the last one that is not zero.
        length: u64,
        /// Whether a valid header stands at a later place.
        frame_behind: bool,
        /// Whether a zero follows.
        zero_behind: bool,
    },
    /// A valid header whose body or trailer does not verify.
    Body {
        /// What is wrong.
        kind: DamageKind,
        /// Bytes of the frame up to the last one that is not zero.
        length: u64,
        /// Whether zeros, at least one and nothing else, follow the frame.
        zeros_behind: bool,
    },
    /// A header that verifies and cannot follow what precedes it.
    Wrong(DamageKind),
}

/// What stands behind a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// No segment: it is the last one.
    None,
    /// The last segment, which holds no frame yet.
    Empty,
    /// Segments with frames.
    Frames,
}

/// What was found at the end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What follows it.
    pub successor: Successor,
    /// Whether the file's length is a whole number of extents.
    pub whole_extents: bool,
    /// How many of the last frames, up to two, are close marks.
    pub marks: u8,
    /// Whether the last frame ended a block.
    pub at_block_end: bool,
    /// What follows the last frame that verifies.
    pub stop: Stop,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as it was written.
    Clean {
        /// Whether the journal was closed.
        closed: bool,
    },
    /// All is as it was written, but zeros behind the last frame were not cut off before a crash.
    Untrimmed,
    /// The last frame was being written when the writer ended; nobody was told that it is durable.
    Torn {
        /// Bytes of it.
        length: u64,
    },
    /// The next segment is not there.
    SuccessorMissing,
    /// Bytes are not what was written.
    Damaged(DamageKind),
}

/// Says what the end of a segment means.
pub fn classify(evidence: &Evidence) -> Verdict {
    let last = evidence.successor == Successor::None;
    let live = last && evidence.whole_extents;
    match evidence.stop {
        Stop::Wrong(kind) => Verdict::Damaged(kind),
        Stop::End if !last => Verdict::Clean { closed: false },
        Stop::End if evidence.marks >= 2 => Verdict::Clean { closed: true },
        // A segment is cut to its length only once its successor is durable.
        Stop::End if evidence.marks == 0 && evidence.at_block_end => Verdict::SuccessorMissing,
        Stop::End => Verdict::Damaged(DamageKind::Extent),
        Stop::Zeros if live => Verdict::Clean { closed: false },
        Stop::Zeros if last => Verdict::Damaged(DamageKind::Extent),
        Stop::Zeros if evidence.successor == Successor::Empty && evidence.whole_extents => {
            Verdict::Untrimmed
        }
        Stop::Zeros => Verdict::Damaged(DamageKind::SegmentEnd),
        Stop::Garbage { length, frame_behind: false, zero_behind: true } if live => {
            Verdict::Torn { length }
        }
        Stop::Garbage { .. } => Verdict::Damaged(DamageKind::Header),
        Stop::Body { length, zeros_behind: true, .. } if live => Verdict::Torn { length },
        Stop::Body { kind, .. } => Verdict::Damaged(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: Stop = Stop::Garbage { length: 9, frame_behind: false, zero_behind: true };
    const AHEAD: Stop = Stop::Garbage { length: 9, frame_behind: true, zero_behind: true };
    const FULL: Stop = Stop::Garbage { length: 9, frame_behind: false, zero_behind: false };
    const HALF: Stop = Stop::Body { kind: DamageKind::BodyHash, length: 9, zeros_behind: true };
    const SPILT: Stop = Stop::Body { kind: DamageKind::BodyHash, length: 9, zeros_behind: false };
    const WRONG: Stop = Stop::Wrong(DamageKind::TreeRoot);

    #[test]
    fn every_end_has_one_meaning() {
        use DamageKind::{BodyHash, Extent, Header, SegmentEnd, TreeRoot};
        use Successor::{Empty, Frames, None};
        use Verdict::{Clean, Damaged, SuccessorMissing, Torn, Untrimmed};
        let closed = Clean { closed: true };
        let open = Clean { closed: false };
        // One line a case: successor, whole extents, marks, at a block's end, stop -> verdict.
        let table = [
            (None, false, 2, false, Stop::End, closed),
            (None, true, 2, false, Stop::End, closed),
            (None, false, 1, false, Stop::End, Damaged(Extent)),
            (None, false, 1, true, Stop::End, Damaged(Extent)),
            (None, false, 0, false, Stop::End, Damaged(Extent)),
            (None, true, 0, false, Stop::End, Damaged(Extent)),
            (None, false, 0, true, Stop::End, SuccessorMissing),
            (None, true, 0, true, Stop::End, SuccessorMissing),
            (None, true, 0, false, Stop::Zeros, open),
            (None, true, 1, false, Stop::Zeros, open),
            (None, true, 2, false, Stop::Zeros, open),
            (None, false, 0, false, Stop::Zeros, Damaged(Extent)),
            (None, false, 2, false, Stop::Zeros, Damaged(Extent)),
            (None, true, 0, false, TAIL, Torn { length: 9 }),
            (None, true, 2, false, TAIL, Torn { length: 9 }),
            (None, false, 0, false, TAIL, Damaged(Header)),
            (None, false, 1, false, FULL, Damaged(Header)),
            (None, true, 1, false, FULL, Damaged(Header)),
            (None, true, 0, false, AHEAD, Damaged(Header)),
            (None, true, 0, false, HALF, Torn { length: 9 }),
            (None, false, 0, false, HALF, Damaged(BodyHash)),
            (None, true, 0, false, SPILT, Damaged(BodyHash)),
            (None, true, 0, false, WRONG, Damaged(TreeRoot)),
            (Frames, false, 0, true, Stop::End, open),
            (Frames, true, 0, true, Stop::Zeros, Damaged(SegmentEnd)),
            (Frames, true, 0, true, TAIL, Damaged(Header)),
            (Frames, true, 0, true, HALF, Damaged(BodyHash)),
            (Frames, true, 0, true, WRONG, Damaged(TreeRoot)),
            (Empty, false, 0, true, Stop::End, open),
            (Empty, true, 0, true, Stop::Zeros, Untrimmed),
            (Empty, false, 0, true, Stop::Zeros, Damaged(SegmentEnd)),
            (Empty, true, 0, true, TAIL, Damaged(Header)),
            (Empty, true, 0, true, HALF, Damaged(BodyHash)),
        ];
        for (successor, whole_extents, marks, at_block_end, stop, verdict) in table {
            let evidence = Evidence { successor, whole_extents, marks, at_block_end, stop };
            assert_eq!(classify(&evidence), verdict, "{evidence:?}");
        }
    }
}
