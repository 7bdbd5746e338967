-- The ledger. Times are microseconds since the Unix epoch, identities text, amounts whole numbers of a
-- currency's smallest unit. Numbers are given by the gate, from one on, and leave nothing out. The
-- same tables stand in the other engine's folder; they differ in how a number is the key of its table,
-- and in the triggers.

-- One row: who may write, and what is numbered next.
CREATE TABLE gate (
    id               BIGINT   NOT NULL PRIMARY KEY CHECK (id = 0),
    fence            BIGINT   NOT NULL,
    next_account     BIGINT   NOT NULL,
    next_transaction BIGINT   NOT NULL,
    next_seq         BIGINT   NOT NULL
);

INSERT INTO gate (id, fence, next_account, next_transaction, next_seq) VALUES (0, 0, 1, 1, 1);

-- Limits: 0 none, 1 debits at most what is credited, 2 credits at most what is debited.
CREATE TABLE accounts (
    number          INTEGER  NOT NULL PRIMARY KEY,
    id              TEXT     NOT NULL UNIQUE,
    ledger          TEXT     NOT NULL,
    limit_rule      BIGINT   NOT NULL CHECK (limit_rule IN (0, 1, 2)),
    debits_pending  BIGINT   NOT NULL CHECK (debits_pending >= 0),
    debits_posted   BIGINT   NOT NULL CHECK (debits_posted >= 0),
    credits_pending BIGINT   NOT NULL CHECK (credits_pending >= 0),
    credits_posted  BIGINT   NOT NULL CHECK (credits_posted >= 0),
    version         BIGINT   NOT NULL,
    opened_at       BIGINT   NOT NULL,
    frozen_at       BIGINT,
    closed_at       BIGINT,
    CONSTRAINT no_overdraft  CHECK (limit_rule <> 1 OR debits_pending + debits_posted <= credits_posted),
    CONSTRAINT no_overcredit CHECK (limit_rule <> 2 OR credits_pending + credits_posted <= debits_posted)
);

-- Transfers that belong together. The identity follows from what has happened, and is never used for
-- something else: the hash of what was asked tells.
CREATE TABLE transactions (
    number     INTEGER  NOT NULL PRIMARY KEY,
    id         TEXT     NOT NULL UNIQUE,
    request    TEXT     NOT NULL,
    code       BIGINT   NOT NULL,
    reverses   BIGINT,
    contract   BIGINT,
    subject    BIGINT,
    first_seq  BIGINT   NOT NULL,
    legs       BIGINT   NOT NULL CHECK (legs BETWEEN 0 AND 64),
    event_at   BIGINT   NOT NULL,
    created_at BIGINT   NOT NULL
);

CREATE UNIQUE INDEX transactions_reversed_once ON transactions (reverses) WHERE reverses IS NOT NULL;

-- Phases: 0 single, 1 pending, 2 post, 3 void, 4 expire. What a transfer belongs to and moves between is
-- numbered by who enters it, in the same transaction. No key looks at it again row by row, which on
-- PostgreSQL takes longer than all else; `barrage ledger verify` does.
CREATE TABLE transfers (
    seq        INTEGER  NOT NULL PRIMARY KEY,
    txn        BIGINT   NOT NULL,
    ledger     TEXT     NOT NULL,
    debit      BIGINT   NOT NULL,
    credit     BIGINT   NOT NULL,
    amount     BIGINT   NOT NULL CHECK (amount > 0),
    phase      BIGINT   NOT NULL CHECK (phase BETWEEN 0 AND 4),
    resolves   BIGINT,
    expires_at BIGINT,
    CHECK (debit <> credit),
    CHECK ((phase IN (0, 1)) = (resolves IS NULL)),
    CHECK (phase = 1 OR expires_at IS NULL)
);

CREATE UNIQUE INDEX transfers_resolved_once ON transfers (resolves) WHERE resolves IS NOT NULL;
CREATE INDEX transfers_by_debit ON transfers (debit, seq);
CREATE INDEX transfers_by_credit ON transfers (credit, seq);

-- What others are to be told: one row for each transaction, sent or not.
CREATE TABLE outbox (
    number     INTEGER  NOT NULL PRIMARY KEY,
    topic      TEXT     NOT NULL,
    part_key   TEXT     NOT NULL,
    payload    TEXT     NOT NULL,
    attempts   BIGINT   NOT NULL DEFAULT 0,
    next_at    BIGINT   NOT NULL,
    sent_at    BIGINT
);

CREATE INDEX outbox_due ON outbox (next_at, number) WHERE sent_at IS NULL;

-- What was answered to a request under a key that its sender made up.
CREATE TABLE answers (
    scope   TEXT   NOT NULL,
    word    TEXT   NOT NULL,
    request TEXT   NOT NULL,
    answer  TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (scope, word)
);

CREATE INDEX answers_by_age ON answers (at);

-- The chain of hashes over transactions and their transfers.
CREATE TABLE links (
    last_number  INTEGER  NOT NULL PRIMARY KEY,
    first_number BIGINT NOT NULL UNIQUE,
    before       TEXT   NOT NULL,
    hash         TEXT   NOT NULL,
    sealed_at    BIGINT NOT NULL,
    signer       TEXT   NOT NULL,
    signature    TEXT   NOT NULL
);

-- What is entered stays as it is. A mistake is set right by what is entered later.
CREATE TRIGGER transactions_refuse_update BEFORE UPDATE ON transactions
    BEGIN SELECT RAISE(ABORT, 'transactions never change'); END;
CREATE TRIGGER transactions_refuse_delete BEFORE DELETE ON transactions
    BEGIN SELECT RAISE(ABORT, 'transactions never change'); END;
CREATE TRIGGER transfers_refuse_update BEFORE UPDATE ON transfers
    BEGIN SELECT RAISE(ABORT, 'transfers never change'); END;
CREATE TRIGGER transfers_refuse_delete BEFORE DELETE ON transfers
    BEGIN SELECT RAISE(ABORT, 'transfers never change'); END;
CREATE TRIGGER links_refuse_update BEFORE UPDATE ON links
    BEGIN SELECT RAISE(ABORT, 'links never change'); END;
CREATE TRIGGER links_refuse_delete BEFORE DELETE ON links
    BEGIN SELECT RAISE(ABORT, 'links never change'); END;
CREATE TRIGGER accounts_refuse_delete BEFORE DELETE ON accounts
    BEGIN SELECT RAISE(ABORT, 'accounts are closed, not deleted'); END;
