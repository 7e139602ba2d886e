CREATE TABLE ftl (id INTEGER PRIMARY KEY NOT NULL, value BLOB NOT NULL);
INSERT INTO ftl VALUES (0, 21);
CREATE TABLE query_storage (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, type INTEGER NOT NULL, status INTEGER NOT NULL, domain INTEGER NOT NULL, client INTEGER NOT NULL, forward INTEGER, additional_info INTEGER, reply_type INTEGER, reply_time REAL, dnssec INTEGER, list_id INTEGER, ede INTEGER);
CREATE TABLE domain_by_id (id INTEGER PRIMARY KEY, domain TEXT NOT NULL);
CREATE TABLE client_by_id (id INTEGER PRIMARY KEY, ip TEXT NOT NULL, name TEXT);
CREATE TABLE forward_by_id (id INTEGER PRIMARY KEY, forward TEXT NOT NULL);
CREATE TABLE addinfo_by_id (id INTEGER PRIMARY KEY, type INTEGER NOT NULL, content NOT NULL);
INSERT INTO domain_by_id VALUES (1, 'www.example.com'), (2, 'ads.example.net'), (9, 'cloak.example.org');
INSERT INTO client_by_id VALUES (3, '192.0.2.10', 'laptop.lan'), (4, '2001:db8::10', '');
INSERT INTO forward_by_id VALUES (1, '192.0.2.53#53');
INSERT INTO addinfo_by_id VALUES (5, 1, 'tracker.example.net');
INSERT INTO query_storage VALUES
 (1, 1772359200.000001, 1, 2, 1, 3, 1, NULL, 4, 0.0123, 1, NULL, -1),
 (2, 1772359201.5, 2, 1, 2, 4, NULL, NULL, 4, 0.0001, 0, 7, 15),
 (3, 1772359202.25, 16, 9, 9, 3, NULL, 5, 1, NULL, NULL, 7, NULL),
 (40, 1772359203, 65380, 17, 1, 3, NULL, NULL, 2, 0.0, 2, NULL, NULL),
 (41, 1772359204, 6, 3, '10.2.0.192.in-addr.arpa', '192.0.2.11', NULL, NULL, 5, 0.001, 0, NULL, NULL);
