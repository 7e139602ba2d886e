CREATE TABLE ftl (id INTEGER PRIMARY KEY NOT NULL, value BLOB NOT NULL);
INSERT INTO ftl VALUES (0, 9);
CREATE TABLE queries (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, type INTEGER NOT NULL, status INTEGER NOT NULL, domain TEXT NOT NULL, client TEXT NOT NULL, forward TEXT, additional_info TEXT);
INSERT INTO queries VALUES (1, 1609459200, 1, 2, 'www.example.com', '192.0.2.10', '192.0.2.53', NULL), (2, 1609459201, 0, 4, 'https://app.example.com/sdk', '192.0.2.10', NULL, '7');
