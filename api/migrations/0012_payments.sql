-- Coins that somebody buys, and what payment providers tell.

CREATE TABLE top_ups (
    id            TEXT   NOT NULL PRIMARY KEY,
    owner         TEXT   NOT NULL REFERENCES users (id),
    -- What its owner's program calls it: the same again is the same top-up.
    request_key   TEXT   NOT NULL,
    pack          TEXT   NOT NULL,
    provider      TEXT   NOT NULL,
    currency      TEXT   NOT NULL,
    amount        BIGINT NOT NULL CHECK (amount > 0),
    coins         BIGINT NOT NULL CHECK (coins > 0),
    bonus         BIGINT NOT NULL CHECK (bonus >= 0),
    state         TEXT   NOT NULL
        CHECK (state IN ('open', 'paid', 'failed', 'expired', 'refunded', 'disputed')),
    -- What the provider calls the checkout, and where it is; absent until the provider has made it.
    checkout      TEXT,
    checkout_url  TEXT,
    -- What the provider calls the payment: it is for one top-up, and a top-up has one.
    payment       TEXT,
    made_at       BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    paid_at       BIGINT,
    -- When the provider is to be asked about it, or for its refund, next; absent where nothing is awaited.
    ask_at        BIGINT,
    -- A refund that an operator wants: its identity at the provider, and why.
    refund_id     TEXT,
    refund_why    TEXT   CHECK (refund_why IN ('refund', 'minor')),
    refund_reason TEXT,
    refund_by     TEXT   REFERENCES users (id),
    refund_at     BIGINT,
    UNIQUE (owner, request_key)
);

CREATE UNIQUE INDEX top_ups_payment ON top_ups (provider, payment) WHERE payment IS NOT NULL;
CREATE INDEX top_ups_of ON top_ups (owner, made_at);
CREATE INDEX top_ups_to_ask ON top_ups (ask_at) WHERE ask_at IS NOT NULL;

CREATE TABLE provider_events (
    provider    TEXT   NOT NULL,
    -- What the provider calls it.
    id          TEXT   NOT NULL,
    fact        TEXT   NOT NULL,
    -- What it is about, as far as it says.
    top_up      TEXT,
    payment     TEXT,
    object      TEXT,
    currency    TEXT,
    amount      BIGINT,
    occurred_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    attempts    BIGINT NOT NULL DEFAULT 0,
    -- When it is tried again; absent once it is done.
    next_at     BIGINT,
    -- What came of it.
    outcome     TEXT,
    PRIMARY KEY (provider, id)
);

CREATE INDEX provider_events_due ON provider_events (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX provider_events_of ON provider_events (provider, payment) WHERE payment IS NOT NULL;
