-- What stands on the durable lanes of rooms. A position is a channel's, a lane's, a life of the lane
-- (epoch) and an offset; none is ever used twice.

CREATE TABLE rooms (
    channel TEXT   NOT NULL PRIMARY KEY REFERENCES channels (id),
    epoch   BIGINT NOT NULL
);

CREATE TABLE room_items (
    channel    TEXT   NOT NULL REFERENCES channels (id),
    lane       BIGINT NOT NULL,
    epoch      BIGINT NOT NULL,
    place      BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    author     TEXT,
    -- The picture that a danmaku is about, in microseconds since the broadcast began.
    broadcast  TEXT,
    media_time BIGINT,
    -- The event as JSON.
    event      TEXT   NOT NULL,
    deleted_at BIGINT,
    PRIMARY KEY (channel, lane, epoch, place)
);

CREATE INDEX room_items_by_picture ON room_items (broadcast, media_time) WHERE broadcast IS NOT NULL;
