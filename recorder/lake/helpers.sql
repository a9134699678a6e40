-- A time as naive UTC: a TIMESTAMP, or ISO text, which is UTC unless it names an offset.
CREATE OR REPLACE TEMP MACRO utc(t) AS timezone('UTC', CAST(t AS TIMESTAMPTZ));
CREATE OR REPLACE TEMP MACRO utc_from(t) AS coalesce(utc(t), TIMESTAMP '1970-01-01');
CREATE OR REPLACE TEMP MACRO utc_to(t) AS coalesce(utc(t), TIMESTAMP '2200-01-01');
CREATE OR REPLACE TEMP MACRO first_date(t) AS CAST(utc_from(t) AS DATE) - 1;
CREATE OR REPLACE TEMP MACRO last_date(t) AS CAST(utc_to(t) AS DATE) + 1;

-- Width of a candle or bar: '1m' '5s' '1h' '1d' '1w', '1M' for a month, or any INTERVAL text such as '90 seconds'.
CREATE OR REPLACE TEMP MACRO bar_width(width) AS
  CASE WHEN width = '1M' THEN INTERVAL 1 MONTH ELSE CAST(width AS INTERVAL) END;
-- The same for an interval that a row says; null where it says nothing that we know.
CREATE OR REPLACE TEMP MACRO candle_width(width) AS
  CASE WHEN width = '1M' THEN INTERVAL 1 MONTH ELSE TRY_CAST(width AS INTERVAL) END;
