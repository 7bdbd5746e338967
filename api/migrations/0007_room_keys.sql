-- By which key a program said something in a room, so that saying it again keeps nothing twice.

CREATE TABLE room_keys (
    channel TEXT   NOT NULL REFERENCES channels (id),
    author  TEXT   NOT NULL,
    word    TEXT   NOT NULL,
    place   BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (channel, author, word)
);

CREATE INDEX room_keys_by_age ON room_keys (at);
