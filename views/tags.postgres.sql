-- One row for each conversation and tag. For PostgreSQL; run it before views.sql, in the schema of the tables.
CREATE OR REPLACE VIEW conversation_tags AS
SELECT
    "id" AS conversation_id,
    tag ->> 'name' AS tag,
    tag ->> 'color' AS color
FROM conversation_details
CROSS JOIN LATERAL json_array_elements(to_json("conversationTags")) AS tag;
