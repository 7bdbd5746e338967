//! Why a value is not acceptable: a word for programs, and a sentence for people.

use wire::handle::HandleError;

use crate::password::Weakness;
use crate::picture::BadPicture;
use crate::webhooks::address::BadTarget;

/// Why a value is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is nothing.
    #[error("This cannot be empty.")]
    Empty,
    /// It has more characters than that.
    #[error("At most {0} characters, please.")]
    TooLong(usize),
    /// There are more than that.
    #[error("At most {0}, please.")]
    TooMany(usize),
    /// It is not between one and that.
    #[error("Between 1 and {0}, please.")]
    OutOfRange(u32),
    /// It is less than that.
    #[error("At least {0}, please.")]
    TooFew(u32),
    /// It is no name for programs.
    #[error("A name for programs has 1 to 32 of the characters a-z, 0-9, _ and -.")]
    Name,
    /// The shares are more than all of it.
    #[error("The shares are at most 10000 basis points together.")]
    Shares,
    /// It is no handle.
    #[error("{}", match .0 {
        HandleError::Length => "A handle has 3 to 24 characters.",
        HandleError::Character => "A handle has only a-z, 0-9 and _.",
    })]
    Handle(HandleError),
    /// The password is not good enough.
    #[error(transparent)]
    Password(#[from] Weakness),
    /// It is not the account's password.
    #[error("This is not the current password.")]
    WrongPassword,
    /// It is no e-mail address.
    #[error("This is no e-mail address.")]
    Email,
    /// It is no language tag.
    #[error("A language looks like en or zh-CN.")]
    Language,
    /// A character carries a pile of marks.
    #[error("One of its characters is too tall.")]
    TooTall,
    /// What it speaks of is not there.
    #[error("It is not there, or not any more.")]
    Gone,
    /// It was used for something else.
    #[error("This was used before, for something else.")]
    Used,
    /// Whoever owns a channel needs no such right.
    #[error("The owner of a channel moderates it anyway.")]
    Owner,
    /// It is no code of an emote.
    #[error("A code has 2 to 24 of the characters a-z, 0-9 and _.")]
    EmoteCode,
    /// The picture is not taken.
    #[error(transparent)]
    Picture(#[from] BadPicture),
    /// No webhook can be there.
    #[error(transparent)]
    Target(#[from] BadTarget),
}

impl Unfit {
    /// The word for programs; it stays.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong(_) | Self::Password(Weakness::Long) => "too_long",
            Self::TooMany(_) => "too_many",
            Self::OutOfRange(_) => "out_of_range",
            Self::TooFew(_) => "too_few",
            Self::Name => "not_a_name",
            Self::Shares => "too_many_shares",
            Self::Handle(HandleError::Length) => "handle_length",
            Self::Handle(HandleError::Character) => "handle_characters",
            Self::Password(Weakness::Short) => "too_short",
            Self::Password(Weakness::Guessable) => "guessable",
            Self::WrongPassword => "wrong_password",
            Self::Email => "not_an_email_address",
            Self::Language => "not_a_language",
            Self::TooTall => "too_tall",
            Self::Gone => "gone",
            Self::Used => "used",
            Self::Owner => "is_owner",
            Self::EmoteCode => "not_a_code",
            Self::Picture(BadPicture::Unreadable) => "not_a_picture",
            Self::Picture(BadPicture::TooManyPixels(_)) => "too_many_pixels",
            Self::Picture(BadPicture::TooManyFrames(_)) => "too_many_frames",
            Self::Picture(BadPicture::TooHeavy) => "too_heavy",
            Self::Target(BadTarget::Unreadable) => "not_an_address",
            Self::Target(BadTarget::Private) => "private_address",
        }
    }

    /// The most there may be, where that is the trouble.
    pub const fn max(self) -> Option<u64> {
        match self {
            Self::TooLong(max)
            | Self::TooMany(max)
            | Self::Picture(BadPicture::TooManyFrames(max)) => Some(max as u64),
            Self::OutOfRange(max) | Self::Picture(BadPicture::TooManyPixels(max)) => {
                Some(max as u64)
            }
            Self::Empty
            | Self::TooFew(_)
            | Self::Name
            | Self::Shares
            | Self::Handle(_)
            | Self::Password(_)
            | Self::WrongPassword
            | Self::Email
            | Self::Language
            | Self::TooTall
            | Self::Gone
            | Self::Used
            | Self::Owner
            | Self::EmoteCode
            | Self::Target(_)
            | Self::Picture(BadPicture::Unreadable | BadPicture::TooHeavy) => None,
        }
    }
}
