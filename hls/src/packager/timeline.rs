//! Where segments begin, for both renditions alike.

use std::collections::VecDeque;

use media::{Frame, MediaTime};

/// Cuts remembered at most: more than any track can be behind before its gap is declared.
const CUTS_MAX: usize = 64;

/// The beginning of a segment. Both renditions have one of the same number at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Media sequence number of the segment that begins.
    pub(super) msn: u64,
    /// From which presentation time on frames belong to it.
    pub(super) at: MediaTime,
    /// The run its frames are of; earlier runs stay before it.
    pub(super) run: u32,
    /// Whether what comes does not continue what was.
    pub(super) discontinuity: bool,
    /// Discontinuities up to here, this one included.
    pub(super) discontinuities: u64,
}

impl Cut {
    /// Whether a frame belongs behind this cut.
    pub(super) fn is_reached_by(&self, frame: &Frame) -> bool {
        frame.run >= self.run && frame.pts >= self.at
    }
}

/// The cuts so far, as far back as anybody asks.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    cuts: VecDeque<Cut>,
    /// Number of the first segment, and of the first discontinuity if that is not zero.
    pub(super) first: u64,
}

impl Timeline {
    /// The newest cut.
    pub(super) fn last(&self) -> Option<Cut> {
        self.cuts.back().copied()
    }

    /// The cut with which segment `msn` begins, if there is one already.
    pub(super) fn get(&self, msn: u64) -> Option<Cut> {
        self.cuts.iter().rev().find(|cut| cut.msn == msn).copied()
    }

    /// The last cut that a frame has reached.
    pub(super) fn reached_by(&self, frame: &Frame) -> Option<Cut> {
        self.cuts
            .iter()
            .rev()
            .find(|cut| cut.is_reached_by(frame))
            .copied()
    }

    /// Ends the newest segment and begins the next with a frame of `run` shown at `at`.
    pub(super) fn cut(&mut self, at: MediaTime, run: u32, discontinuity: bool) -> Cut {
        let cut = match self.last() {
            None => Cut {
                msn: self.first,
                at,
                run,
                // Who saw what came before sees a break.
                discontinuity: self.first > 0,
                discontinuities: self.first,
            },
            Some(last) => {
                let discontinuity = discontinuity || run != last.run;
                Cut {
                    msn: last.msn + 1,
                    at,
                    run,
                    discontinuity,
                    discontinuities: last.discontinuities + u64::from(discontinuity),
                }
            }
        };
        self.cuts.push_back(cut);
        if self.cuts.len() > CUTS_MAX {
            self.cuts.pop_front();
        }
        cut
    }
}
