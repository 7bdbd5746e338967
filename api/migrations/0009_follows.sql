-- Who follows which channel. Who left stays, so that following again is no news.
CREATE TABLE follows (
    follower TEXT   NOT NULL REFERENCES users (id),
    channel  TEXT   NOT NULL REFERENCES channels (id),
    at       BIGINT NOT NULL,
    left_at  BIGINT,
    PRIMARY KEY (follower, channel)
);

CREATE INDEX follows_of_channel ON follows (channel) WHERE left_at IS NULL;
