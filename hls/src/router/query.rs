//! What a request asks for, read strictly: names and numbers come from strangers.

use super::respond::Refusal;
use crate::playlist::Form;
use crate::presentation::Edge;

/// Delivery directives (RFC 8216bis §6.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Directives {
    /// Segment, and part of it, to wait for.
    pub(super) block: Option<(u64, Option<u64>)>,
    /// Whether old segments may be skipped.
    pub(super) form: Form,
}

/// Reads the directives of a query; what else stands in it is not for us.
pub(super) fn parse(query: &str) -> Result<Directives, Refusal> {
    let (mut msn, mut part, mut form) = (None, None, Form::Full);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "_HLS_msn" => {
                msn = Some(number(value).ok_or(Refusal::BadRequest("_HLS_msn is no number"))?)
            }
            "_HLS_part" => {
                part = Some(number(value).ok_or(Refusal::BadRequest("_HLS_part is no number"))?);
            }
            "_HLS_skip" => match value {
                "YES" | "v2" => form = Form::Delta,
                _ => return Err(Refusal::BadRequest("_HLS_skip is YES or v2")),
            },
            _ => {}
        }
    }
    match (msn, part) {
        (None, Some(_)) => Err(Refusal::BadRequest("_HLS_part needs _HLS_msn")),
        (None, None) => Ok(Directives { block: None, form }),
        (Some(msn), part) => Ok(Directives {
            block: Some((msn, part)),
            form,
        }),
    }
}

/// A file of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum File {
    /// `init-{n}.mp4`.
    Init(u64),
    /// `{msn}.m4s`.
    Segment(u64),
    /// `{msn}.{part}.m4s`.
    Part(Edge),
}

/// Reads a file name.
pub(super) fn file_name(name: &str) -> Option<File> {
    if let Some(init) = name
        .strip_prefix("init-")
        .and_then(|rest| rest.strip_suffix(".mp4"))
    {
        return Some(File::Init(number(init)?));
    }
    let numbers = name.strip_suffix(".m4s")?;
    Some(match numbers.split_once('.') {
        None => File::Segment(number(numbers)?),
        Some((msn, part)) => File::Part(Edge {
            msn: number(msn)?,
            part: number(part)?,
        }),
    })
}

/// A number in its one spelling, far from any overflow.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_a_file_is_read() {
        assert_eq!(file_name("init-0.mp4"), Some(File::Init(0)));
        assert_eq!(file_name("12.m4s"), Some(File::Segment(12)));
        assert_eq!(
            file_name("12.3.m4s"),
            Some(File::Part(Edge { msn: 12, part: 3 }))
        );
        for bad in [
            "",
            "m4s",
            ".m4s",
            "..m4s",
            "1..m4s",
            "01.m4s",
            "+1.m4s",
            "-1.m4s",
            "1.2.3.m4s",
            "1.mp4",
            "init-.mp4",
            "init-00.mp4",
            "init-99999999999999999999.mp4",
            "99999999999999999999.m4s",
            "../1.m4s",
            "1.m4s/",
        ] {
            assert_eq!(file_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn directives_are_read_and_nonsense_is_refused() {
        let full = Directives {
            block: None,
            form: Form::Full,
        };
        assert_eq!(parse("").unwrap(), full);
        assert_eq!(parse("token=abc&x").unwrap(), full);
        let delta = parse("_HLS_msn=5&_HLS_part=2&_HLS_skip=YES").unwrap();
        assert_eq!(
            delta,
            Directives {
                block: Some((5, Some(2))),
                form: Form::Delta
            }
        );
        for bad in [
            "_HLS_part=1",
            "_HLS_msn=",
            "_HLS_msn=-1",
            "_HLS_msn=1e9",
            "_HLS_msn=1&_HLS_part=x",
            "_HLS_msn=18446744073709551615",
            "_HLS_skip=NO",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
