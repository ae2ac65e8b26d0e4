-- One row for each conversation and tag. For DuckDB; run it before views.sql, in the schema of the tables.
CREATE OR REPLACE VIEW conversation_tags AS
SELECT
    conversation_id,
    tag ->> 'name' AS tag,
    tag ->> 'color' AS color
FROM (
    SELECT
        "id" AS conversation_id,
        unnest(from_json(to_json("conversationTags"), '["JSON"]')) AS tag
    FROM conversation_details
) AS tags;
