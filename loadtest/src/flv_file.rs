//! An FLV file in memory, played round and round.

use std::path::Path;

use anyhow::{Context as _, bail};
use media::flv::{Reader, Tag, TagKind};

/// Largest tag taken.
const MAX_TAG_BYTES: usize = 16 * 1024 * 1024;

/// A whole file.
#[derive(Debug)]
pub(crate) struct FlvFile {
    tags: Vec<Tag>,
    round_ms: u32,
}

impl FlvFile {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        let mut reader = Reader::new(MAX_TAG_BYTES);
        reader.push(&bytes);
        let mut tags = Vec::new();
        while let Some(tag) = reader
            .next_tag()
            .with_context(|| format!("{} is not FLV", path.display()))?
        {
            tags.push(tag);
        }
        let media: Vec<u32> = tags
            .iter()
            .filter(|tag| tag.kind != TagKind::Script)
            .map(|tag| tag.timestamp)
            .collect();
        let (Some(first), Some(last)) = (media.iter().min(), media.iter().max()) else {
            bail!("{} has neither pictures nor sound", path.display());
        };
        // The last frame lasts as long as the mean of all.
        let gap = (last - first) / u32::try_from(media.len()).unwrap_or(u32::MAX).max(1);
        Ok(Self {
            round_ms: last - first + gap.max(1),
            tags,
        })
    }

    /// Every tag of one round.
    pub(crate) fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// How long one round takes, in milliseconds.
    pub(crate) const fn round_ms(&self) -> u32 {
        self.round_ms
    }

    /// Every tag in order, round after round, with stamps that go on and on.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = (u32, &Tag)> {
        (0u32..).flat_map(move |round| {
            let base = self.round_ms.wrapping_mul(round);
            // Metadata is told once; set-ups come again with every round, as encoders repeat them.
            let skip_script = round > 0;
            self.tags
                .iter()
                .filter(move |tag| !(skip_script && tag.kind == TagKind::Script))
                .map(move |tag| (base.wrapping_add(tag.timestamp), tag))
        })
    }
}
