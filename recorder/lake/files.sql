-- The reader rule: of a table's files drop each one whose recorder also has a file of a higher level
-- (p part, h hour, d day) whose window contains its window. The names decide; no file is opened.
-- In the order of arrival per recorder, after the file of zero rows that fixes the types.
SET VARIABLE {table}_files = (
  WITH
  f AS MATERIALIZED (
    SELECT file, string_split(parse_filename(file, true), '~') AS n
    FROM glob([getvariable('lake_pattern') || '/hot/{table}/*/*.parquet',
               getvariable('lake_pattern') || '/sealed/{table}/*/*.parquet'])),
  top AS MATERIALIZED (SELECT n[1] AS rec, n[2] AS level, n[3] AS win FROM f WHERE n[2] IN ('h', 'd'))
  SELECT [getvariable('lake') || '/schema/{table}/date=1970-01-01/empty.parquet']
         || coalesce(list(file ORDER BY n[1], CAST(n[4] AS BIGINT)), [])
  FROM f
  WHERE NOT (n[2] = 'p' AND EXISTS (SELECT 1 FROM top WHERE rec = n[1] AND level = 'h' AND win = n[3]))
    AND NOT (n[2] <> 'd' AND EXISTS (SELECT 1 FROM top WHERE rec = n[1] AND level = 'd' AND win = left(n[3], 8))));
