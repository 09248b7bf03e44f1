BEGIN TRANSACTION;
CREATE TABLE journal_position(
 journal TEXT PRIMARY KEY, host TEXT NOT NULL, segment INTEGER NOT NULL, "offset" INTEGER NOT NULL,
 sequence INTEGER NOT NULL, at_us INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE latency_rollup(
 level INTEGER NOT NULL, start_us INTEGER NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
 outcome TEXT NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL,
 PRIMARY KEY(level, start_us, kind, provider, model, outcome, bucket)) WITHOUT ROWID, STRICT;
INSERT INTO "latency_rollup" VALUES(3600,1789999200000000,'llm','openai','gpt-5','success',663,6);
INSERT INTO "latency_rollup" VALUES(3600,1789999200000000,'mcp','time','get_time','error',431,1);
INSERT INTO "latency_rollup" VALUES(86400,1789948800000000,'llm','openai','gpt-5','success',663,6);
INSERT INTO "latency_rollup" VALUES(86400,1789948800000000,'mcp','time','get_time','error',431,1);
CREATE TABLE ledger_version(version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO "ledger_version" VALUES('0002');
CREATE TABLE quarantine(
 seq INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, host TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
 records INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE TABLE usage(
 seq INTEGER PRIMARY KEY,
 id BLOB NOT NULL UNIQUE CHECK(length(id) = 16),
 ts_us INTEGER NOT NULL,
 kind TEXT NOT NULL,
 provider TEXT NOT NULL,
 model TEXT NOT NULL,
 operation TEXT NOT NULL,
 outcome TEXT NOT NULL,
 error_type TEXT,
 latency_us INTEGER NOT NULL,
 latency_bucket INTEGER NOT NULL,
 ttft_us INTEGER,
 attempts INTEGER NOT NULL,
 wait_us INTEGER NOT NULL,
 stream INTEGER NOT NULL,
 counted INTEGER NOT NULL,
 input_tokens INTEGER,
 output_tokens INTEGER,
 cache_read_tokens INTEGER,
 cache_write_tokens INTEGER,
 reasoning_tokens INTEGER,
 details TEXT,
 tool_uses TEXT,
 audio_seconds REAL,
 cost_nusd INTEGER,
 cost_quality TEXT,
 price_source TEXT,
 unpriced INTEGER NOT NULL,
 usage_missing INTEGER NOT NULL,
 response_model TEXT,
 api TEXT,
 service_tier TEXT,
 finish_reason TEXT,
 response_id TEXT,
 request_id TEXT,
 trace_id BLOB,
 span_id BLOB,
 parent_id BLOB,
 labels TEXT,
 rollup_labels TEXT NOT NULL,
 ingested_us INTEGER NOT NULL) STRICT;
INSERT INTO "usage" VALUES(1,X'00000000000000000000000000000000',1790000000000000,'llm','openai','gpt-5','chat','success',NULL,500000,663,NULL,1,0,0,1,100,20,NULL,NULL,NULL,NULL,NULL,NULL,1000000,'priced','genai-prices/0.2.3',0,0,'gpt-5-2025','responses',NULL,NULL,'r0','q0',NULL,NULL,NULL,'{"team":"search","user":"u0"}','{"team":"search"}',1790000000000000);
INSERT INTO "usage" VALUES(2,X'01010101010101010101010101010101',1790000001000000,'llm','openai','gpt-5','chat','success',NULL,500000,663,NULL,1,0,0,1,101,20,60,NULL,5,'{"cache_read":60,"reasoning":5}',NULL,NULL,1000001,'priced','genai-prices/0.2.3',0,0,'gpt-5-2025','responses',NULL,NULL,'r1','q1',NULL,NULL,NULL,'{"team":"search","user":"u1"}','{"team":"search"}',1790000000000000);
INSERT INTO "usage" VALUES(3,X'02020202020202020202020202020202',1790000002000000,'llm','openai','gpt-5','chat','success',NULL,500000,663,NULL,1,0,0,1,102,20,NULL,NULL,NULL,NULL,NULL,NULL,1000002,'priced','genai-prices/0.2.3',0,0,'gpt-5-2025','responses',NULL,NULL,'r2','q2',NULL,NULL,NULL,'{"team":"search","user":"u0"}','{"team":"search"}',1790000000000000);
INSERT INTO "usage" VALUES(4,X'03030303030303030303030303030303',1790000003000000,'llm','openai','gpt-5','chat','success',NULL,500000,663,NULL,2,2000000,0,1,103,20,60,NULL,5,'{"cache_read":60,"reasoning":5}',NULL,NULL,1000003,'priced','genai-prices/0.2.3',0,0,'gpt-5-2025','responses',NULL,NULL,'r3','q3',NULL,NULL,NULL,'{"team":"search","user":"u1"}','{"team":"search"}',1790000000000000);
INSERT INTO "usage" VALUES(5,X'04040404040404040404040404040404',1790000004000000,'llm','openai','gpt-5','chat','success',NULL,500000,663,NULL,1,0,0,1,104,20,NULL,NULL,NULL,NULL,NULL,NULL,1000004,'priced','genai-prices/0.2.3',0,0,'gpt-5-2025','responses',NULL,NULL,'r4','q4',NULL,NULL,NULL,'{"team":"search","user":"u0"}','{"team":"search"}',1790000000000000);
INSERT INTO "usage" VALUES(6,X'05050505050505050505050505050505',1790000005000000,'llm','openai','gpt-5','chat','success',NULL,500000,663,NULL,1,0,0,1,105,20,60,NULL,5,'{"cache_read":60,"reasoning":5}',NULL,NULL,NULL,'unpriced','',1,0,'gpt-5-2025','responses',NULL,NULL,'r5','q5',NULL,NULL,NULL,'{"team":"search","user":"u1"}','{"team":"search"}',1790000000000000);
INSERT INTO "usage" VALUES(7,X'09090909090909090909090909090909',1790000007000000,'mcp','time','get_time','execute_tool','error','execution',5000,431,NULL,1,0,0,1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{}',1790000000000000);
CREATE TABLE usage_adjustment(
 id BLOB NOT NULL PRIMARY KEY CHECK(length(id) = 16), record_id BLOB NOT NULL, ts_us INTEGER NOT NULL,
 at_us INTEGER NOT NULL, cost_delta_nusd INTEGER NOT NULL, prices_it INTEGER NOT NULL, price_source TEXT NOT NULL,
 reason TEXT NOT NULL) STRICT;
CREATE TABLE usage_rollup(
 level INTEGER NOT NULL, start_us INTEGER NOT NULL, kind TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
 operation TEXT NOT NULL, outcome TEXT NOT NULL, error_type TEXT NOT NULL, labels TEXT NOT NULL,
 n INTEGER NOT NULL, attempts INTEGER NOT NULL, wait_us INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
 output_tokens INTEGER NOT NULL, cache_read_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
 reasoning_tokens INTEGER NOT NULL, cost_nusd INTEGER NOT NULL, estimated_nusd INTEGER NOT NULL,
 unpriced INTEGER NOT NULL, usage_missing INTEGER NOT NULL, latency_us INTEGER NOT NULL,
 PRIMARY KEY(level, start_us, kind, provider, model, operation, outcome, error_type, labels)) WITHOUT ROWID, STRICT;
INSERT INTO "usage_rollup" VALUES(3600,1789999200000000,'llm','openai','gpt-5','chat','success','','{"team":"search"}',6,7,2000000,615,120,180,0,15,5000010,0,1,0,3000000);
INSERT INTO "usage_rollup" VALUES(3600,1789999200000000,'mcp','time','get_time','execute_tool','error','execution','{}',1,1,0,0,0,0,0,0,0,0,0,0,5000);
INSERT INTO "usage_rollup" VALUES(86400,1789948800000000,'llm','openai','gpt-5','chat','success','','{"team":"search"}',6,7,2000000,615,120,180,0,15,5000010,0,1,0,3000000);
INSERT INTO "usage_rollup" VALUES(86400,1789948800000000,'mcp','time','get_time','execute_tool','error','execution','{}',1,1,0,0,0,0,0,0,0,0,0,0,5000);
CREATE INDEX usage_ts ON usage(ts_us);
CREATE INDEX usage_adjustment_ts ON usage_adjustment(ts_us);
CREATE INDEX usage_adjustment_record ON usage_adjustment(record_id);
COMMIT;
