-- What can be given, and how what is given is shared. The coins themselves are in the ledger.

CREATE TABLE gifts (
    id         TEXT   NOT NULL PRIMARY KEY,
    -- Names for people by language, as JSON.
    name       TEXT   NOT NULL,
    price      BIGINT NOT NULL CHECK (price > 0),
    tier       BIGINT NOT NULL CHECK (tier BETWEEN 1 AND 4),
    effect     TEXT   NOT NULL,
    glyph      TEXT   NOT NULL,
    -- How many there are in all; none where there is no end of them.
    stock      BIGINT CHECK (stock >= 0),
    -- How many of these are given, or are being given.
    claimed    BIGINT NOT NULL DEFAULT 0,
    on_sale    BIGINT NOT NULL DEFAULT 1 CHECK (on_sale IN (0, 1)),
    made_at    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    CONSTRAINT in_stock CHECK (stock IS NULL OR claimed <= stock)
);

-- A gift of which there are not so many, on its way into the ledger or in it. What does not get there is
-- free again.
CREATE TABLE gift_claims (
    sender      TEXT   NOT NULL,
    word        TEXT   NOT NULL,
    gift        TEXT   NOT NULL REFERENCES gifts (id),
    count       BIGINT NOT NULL CHECK (count > 0),
    transaction_id TEXT NOT NULL,
    at          BIGINT NOT NULL,
    settled     BIGINT NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    PRIMARY KEY (sender, word)
);

CREATE INDEX gift_claims_open ON gift_claims (at) WHERE settled = 0;

CREATE TABLE agencies (
    id      TEXT   NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL UNIQUE,
    made_at BIGINT NOT NULL
);

-- How what a channel is given is shared, in basis points; the rest is the platform's. The last of a channel
-- is in force; a channel without one has the last of none.
CREATE TABLE contracts (
    version     BIGINT NOT NULL PRIMARY KEY,
    channel     TEXT   REFERENCES channels (id),
    streamer_bp BIGINT NOT NULL CHECK (streamer_bp >= 0),
    agency      TEXT   REFERENCES agencies (id),
    agency_bp   BIGINT NOT NULL CHECK (agency_bp >= 0),
    since       BIGINT NOT NULL,
    CHECK (streamer_bp + agency_bp <= 10000)
);

CREATE INDEX contracts_by_channel ON contracts (channel, version);

-- What operators did with money, and why. Nothing here is changed or deleted.
CREATE TABLE money_notes (
    id      TEXT   NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    by_user TEXT   NOT NULL REFERENCES users (id),
    what    TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    reason  TEXT   NOT NULL
);

-- Which entry of the ledger an item tells of: a room keeps each once.
ALTER TABLE room_items ADD COLUMN seq BIGINT;
CREATE UNIQUE INDEX room_items_by_seq ON room_items (channel, epoch, seq) WHERE seq IS NOT NULL;
