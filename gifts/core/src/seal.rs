//! The chain of hashes over what is kept. Whoever changes something that was sealed, or leaves it out,
//! has to change every link after it, and cannot sign them.
//!
//! A link covers transactions in the order of their numbers. What is hashed is written as
//! [`canonical`](crate::canonical) tells: the domain `barrage ledger link 1`, the 32 bytes of the link
//! before (zeros before the first), then for each transaction
//!
//! - its number, identity, request, code, `reverses`?, `contract`?, its subject's identity?, the number
//!   of its transfers, `event_at`, `created_at`;
//! - for each of its transfers: `seq`, ledger, the identities of debit and credit account, amount,
//!   phase, `resolves`?, `expires_at`?;
//!
//! and at the end its first and its last number. What has a question mark may be missing. What is
//! signed (Ed25519, RFC 8032) is the domain `barrage ledger head 1`, the last number, the hash and when
//! it was sealed, hashed as above.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::Micros;
use crate::canonical::{Canonical, Hash};
use crate::row::{TransactionRow, TransferRow};

/// How many transactions a link covers at most.
pub const LINK_MAX: i64 = 8_192;

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The first transaction that it covers.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// The hash of the link before.
    pub before: Hash,
    /// Its own.
    pub hash: Hash,
    /// Since when.
    pub sealed_at: Micros,
    /// The public half of the key that signed it.
    pub key: [u8; 32],
    /// The signature.
    pub signature: [u8; 64],
}

/// A link while it is made, or checked.
#[derive(Debug)]
pub struct Sealing {
    hash: Canonical,
    before: Hash,
    first: i64,
    last: i64,
}

impl Sealing {
    /// One that covers what comes from `first` on.
    pub fn after(before: Hash, first: i64) -> Self {
        let mut hash = Canonical::of("barrage ledger link 1");
        hash.bytes(&before);
        Self {
            hash,
            before,
            first,
            last: first - 1,
        }
    }

    /// Covers a transaction; its transfers follow.
    pub fn transaction(&mut self, row: &TransactionRow, subject: Option<&str>) {
        self.last = row.number;
        self.hash
            .number(row.number)
            .text(&row.id)
            .text(&row.request)
            .number(row.code)
            .maybe(row.reverses)
            .maybe(row.contract)
            .maybe_text(subject)
            .number(row.legs)
            .number(row.event_at)
            .number(row.created_at);
    }

    /// Covers a transfer between these accounts.
    pub fn transfer(&mut self, row: &TransferRow, debit: &str, credit: &str) {
        self.hash
            .number(row.seq)
            .text(&row.ledger)
            .text(debit)
            .text(credit)
            .number(row.amount)
            .number(row.phase)
            .maybe(row.resolves)
            .maybe(row.expires_at);
    }

    /// The last transaction that is covered so far.
    pub const fn last(&self) -> i64 {
        self.last
    }

    /// The hash of it.
    pub fn hash(mut self) -> Hash {
        self.hash.number(self.first).number(self.last);
        self.hash.hash()
    }

    /// The link, signed.
    pub fn sign(self, key: &SealKey, now: Micros) -> Link {
        let Self {
            before,
            first,
            last,
            ..
        } = self;
        let hash = self.hash();
        Link {
            first,
            last,
            before,
            hash,
            sealed_at: now,
            key: key.public(),
            signature: key.sign(last, &hash, now),
        }
    }
}

/// With what links are signed.
pub struct SealKey(Ed25519KeyPair);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealKey").finish_non_exhaustive()
    }
}

impl SealKey {
    /// The key of 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed"))
    }

    /// What others check signatures with.
    pub fn public(&self) -> [u8; 32] {
        let public = self.0.public_key().as_ref();
        public.try_into().expect("a public key has 32 bytes")
    }

    fn sign(&self, last: i64, hash: &Hash, now: Micros) -> [u8; 64] {
        let signature = self.0.sign(&head(last, hash, now));
        signature
            .as_ref()
            .try_into()
            .expect("a signature has 64 bytes")
    }
}

impl Link {
    /// Whether it was signed with the key that it names.
    pub fn is_signed(&self) -> bool {
        let head = head(self.last, &self.hash, self.sealed_at);
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        key.verify(&head, &self.signature).is_ok()
    }
}

fn head(last: i64, hash: &Hash, now: Micros) -> Hash {
    let mut head = Canonical::of("barrage ledger head 1");
    head.number(last).bytes(hash).number(now);
    head.hash()
}
