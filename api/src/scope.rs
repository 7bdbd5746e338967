//! What an API token may do of what its owner may.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of what somebody may do. What guards an account itself (its password, its sessions, its
/// tokens) has none: a token cannot be turned into the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read what the owner may read, except stream keys.
    Read,
    /// Look after the owner's channels: what is on, stream keys, moderators.
    Channel,
    /// Speak in rooms as the owner.
    Chat,
    /// Give gifts from the owner's wallet.
    Gifts,
    /// Run the server, if the owner does.
    Operator,
}

impl Scope {
    const ALL: [Self; 5] = [
        Self::Read,
        Self::Channel,
        Self::Chat,
        Self::Gifts,
        Self::Operator,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Channel => "channel",
            Self::Chat => "chat",
            Self::Gifts => "gifts",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads names parted by spaces; names that mean nothing to this release give nothing.
    pub fn parse(text: &str) -> Self {
        Self(
            text.split_ascii_whitespace()
                .filter_map(|name| Scope::ALL.into_iter().find(|scope| scope.as_str() == name))
                .collect(),
        )
    }

    /// Whether `scope` is among them. Who may change a thing may read it.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || (scope == Scope::Read && !self.0.is_empty())
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_read_back_and_unknown_names_give_nothing() {
        let scopes: Scopes = [Scope::Operator, Scope::Channel].into_iter().collect();
        assert_eq!(scopes.to_string(), "channel operator");
        assert_eq!(Scopes::parse(&scopes.to_string()), scopes);
        assert_eq!(Scopes::parse("everything root"), Scopes::default());
        assert!(!Scopes::default().allow(Scope::Read));
        assert!(scopes.allow(Scope::Read) && scopes.allow(Scope::Operator));
        assert!(!Scopes::parse("read").allow(Scope::Channel));
    }
}
