-- Addresses that are told what happens to a channel, and what they are to be told.

CREATE TABLE webhooks (
    id            TEXT   NOT NULL PRIMARY KEY,
    channel       TEXT   NOT NULL REFERENCES channels (id),
    url           TEXT   NOT NULL,
    -- Names of events as JSON.
    events        TEXT   NOT NULL,
    -- What deliveries are signed with, sealed.
    sealed        BLOB   NOT NULL,
    created_at    BIGINT NOT NULL,
    -- Since when nothing was delivered that was tried.
    failing_since BIGINT,
    disabled_at   BIGINT,
    disabled_why  TEXT,
    -- Events that were not kept because too many waited.
    dropped       BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX webhooks_of_channel ON webhooks (channel);

CREATE TABLE webhook_deliveries (
    -- What the receiver knows it by, however often it is tried.
    id           TEXT   NOT NULL PRIMARY KEY,
    webhook      TEXT   NOT NULL REFERENCES webhooks (id),
    event        TEXT   NOT NULL,
    events       BIGINT NOT NULL,
    -- Empty once it is delivered or given up.
    body         TEXT   NOT NULL,
    made_at      BIGINT NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    -- When it is to be tried next; absent once it is delivered or given up.
    next_at      BIGINT,
    delivered_at BIGINT,
    last_at      BIGINT,
    last_status  BIGINT,
    last_error   TEXT
);

CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook, next_at) WHERE next_at IS NOT NULL;
