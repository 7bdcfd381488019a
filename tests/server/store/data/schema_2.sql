-- A file of schema 2, as `sqlite3 FILE .dump` shows it, without its search index.
PRAGMA application_id = 1330664048;
PRAGMA user_version = 2;
PRAGMA journal_mode = WAL;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE labels (
	report_id INTEGER NOT NULL,
	name TEXT NOT NULL,
	value TEXT,
	is_text BOOLEAN NOT NULL,
	updated_at DOUBLE,
	PRIMARY KEY (report_id, name),
	FOREIGN KEY(report_id) REFERENCES reports (id)
)
 WITHOUT ROWID
;
INSERT INTO "labels" VALUES(1,'score','5',1,1700000002000.0);
INSERT INTO "labels" VALUES(1,'user','u1',1,NULL);
INSERT INTO "labels" VALUES(2,'user','u2',1,NULL);
INSERT INTO "labels" VALUES(3,'user','u3',1,NULL);
CREATE TABLE pending_updates (
	id INTEGER NOT NULL,
	completion_id TEXT NOT NULL,
	filters TEXT NOT NULL,
	changes TEXT NOT NULL,
	expires_at DOUBLE NOT NULL,
	PRIMARY KEY (id)
);
INSERT INTO "pending_updates" VALUES(1,'id-9','[{"field":"completionId","equals":"id-9"}]','{"score":"9"}',1.0e+15);
CREATE TABLE raw_reports (
	report_id INTEGER NOT NULL,
	report TEXT NOT NULL,
	PRIMARY KEY (report_id),
	FOREIGN KEY(report_id) REFERENCES reports (id)
);
INSERT INTO "raw_reports" VALUES(1,'{"requestedAt":1700000000001,"receivedAt":1700000000101,"statusCode":200,"reqPayload":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"needle1"}],"metadata":{"user":"u1"}},"respPayload":{"id":"id-1","model":"gpt-4o-mini","usage":{"prompt_tokens":1000,"completion_tokens":0}}}');
INSERT INTO "raw_reports" VALUES(2,'{"requestedAt":1700000000002,"receivedAt":1700000000102,"statusCode":200,"reqPayload":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"needle2"}],"metadata":{"user":"u2"}},"respPayload":{"id":"id-2","model":"gpt-4o-mini","usage":{"prompt_tokens":1000,"completion_tokens":0}}}');
INSERT INTO "raw_reports" VALUES(3,'{"requestedAt":1700000000003,"receivedAt":1700000000103,"statusCode":200,"reqPayload":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"needle3"}],"metadata":{"user":"u3"}},"respPayload":{"id":"id-3","model":"gpt-4o-mini","usage":{"prompt_tokens":1000,"completion_tokens":0}}}');
CREATE TABLE reports (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	stored_at DOUBLE NOT NULL,
	at BIGINT NOT NULL,
	idempotency_key TEXT,
	requested_at DOUBLE,
	duration_ms DOUBLE,
	duration_class BIGINT,
	first_byte_ms DOUBLE,
	endpoint TEXT,
	request_model TEXT,
	response_model TEXT,
	completion_id TEXT,
	status BIGINT,
	failed BOOLEAN NOT NULL,
	error TEXT,
	finish_reason TEXT,
	streamed BOOLEAN,
	span_name TEXT,
	trace_id TEXT,
	span_id TEXT,
	parent_span_id TEXT,
	prompt_tokens BIGINT,
	completion_tokens BIGINT,
	total_tokens BIGINT,
	cached_tokens BIGINT,
	cache_write_tokens BIGINT,
	reasoning_tokens BIGINT,
	service_tier TEXT,
	cost DOUBLE,
	cost_class BIGINT,
	price_date TEXT,
	price_source TEXT,
	UNIQUE (idempotency_key)
);
INSERT INTO "reports" VALUES(1,1700000001000.5,1700000000001,'k1',1700000000001.0,100.0,7,NULL,'chat/completions','gpt-4o-mini','gpt-4o-mini','id-1',200,0,NULL,NULL,0,NULL,NULL,NULL,NULL,1000,0,1000,NULL,NULL,NULL,NULL,0.00015,-12,'2023-11-14','genai-prices 0.2.3');
INSERT INTO "reports" VALUES(2,1700000001000.5,1700000000002,'k2',1700000000002.0,100.0,7,NULL,'chat/completions','gpt-4o-mini','gpt-4o-mini','id-2',200,0,NULL,NULL,0,NULL,NULL,NULL,NULL,1000,0,1000,NULL,NULL,NULL,NULL,0.00015,-12,'2023-11-14','genai-prices 0.2.3');
INSERT INTO "reports" VALUES(3,1700000001000.5,1700000000003,NULL,1700000000003.0,100.0,7,NULL,'chat/completions','gpt-4o-mini','gpt-4o-mini','id-3',200,0,NULL,NULL,0,NULL,NULL,NULL,NULL,1000,0,1000,NULL,NULL,NULL,NULL,0.00015,-12,'2023-11-14','genai-prices 0.2.3');
CREATE TABLE search_state (
	name TEXT NOT NULL,
	indexed_to INTEGER NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "search_state" VALUES('fts5',0);
CREATE INDEX ix_reports_at ON reports (at);
CREATE INDEX ix_reports_endpoint ON reports (endpoint);
CREATE INDEX ix_reports_failed ON reports (failed);
CREATE INDEX ix_reports_span_name ON reports (span_name);
CREATE INDEX ix_reports_status ON reports (status);
CREATE INDEX ix_reports_trace_id ON reports (trace_id);
CREATE INDEX ix_reports_response_model ON reports (response_model);
CREATE INDEX ix_reports_completion_id ON reports (completion_id);
CREATE INDEX ix_reports_cost_class ON reports (cost_class);
CREATE INDEX ix_reports_request_model ON reports (request_model);
CREATE INDEX ix_reports_duration_class ON reports (duration_class);
CREATE INDEX ix_pending_updates_expires_at ON pending_updates (expires_at);
CREATE INDEX ix_pending_updates_completion_id ON pending_updates (completion_id);
CREATE INDEX ix_labels_name_value ON labels (name, value, report_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('reports',3);
COMMIT;
