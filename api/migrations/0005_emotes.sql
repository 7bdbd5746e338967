-- Pictures that stand for a code in what is said in a channel's room. A picture never changes: what
-- was said before an emote was deleted names it by its id, which is why it is kept for a while.

CREATE TABLE emotes (
    id         TEXT   NOT NULL PRIMARY KEY,
    channel    TEXT   NOT NULL REFERENCES channels (id),
    code       TEXT   NOT NULL,
    -- As it is served, always image/png.
    picture    BLOB   NOT NULL,
    width      BIGINT NOT NULL,
    height     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT
);

CREATE UNIQUE INDEX emotes_by_code ON emotes (channel, code) WHERE deleted_at IS NULL;
CREATE INDEX emotes_deleted ON emotes (channel, deleted_at) WHERE deleted_at IS NOT NULL;
