-- Views over the tables of tap-drift, for DuckDB and PostgreSQL. docs/data-model.md describes them.
-- They need the streams conversations, conversation_details, messages, users and contacts.

-- One row for each message, with its author. Edits are not rows: they are applied to the message
-- that they change.
CREATE OR REPLACE VIEW messages_enriched AS
WITH replacements AS (
    SELECT
        "editedMessageId" AS message_id,
        "body" AS body,
        row_number() OVER (
            PARTITION BY "editedMessageId" ORDER BY "createdAt" DESC, "id" DESC
        ) AS newest_first
    FROM messages
    WHERE "type" = 'edit' AND "editType" IN ('replace', 'replace_body') AND "body" IS NOT NULL
),

edits AS (
    SELECT
        "editedMessageId" AS message_id,
        max("createdAt") AS edited_at,
        count(*) FILTER (WHERE "editType" = 'delete') > 0 AS is_deleted
    FROM messages
    WHERE "type" = 'edit'
    GROUP BY "editedMessageId"
),

sent AS (
    SELECT
        *,
        CAST("author" AS json) ->> 'type' AS author_type,
        CAST(CAST("author" AS json) ->> 'id' AS bigint) AS author_id,
        coalesce(CAST(CAST("author" AS json) ->> 'bot' AS boolean), FALSE) AS author_is_bot
    FROM messages
    WHERE "type" IS DISTINCT FROM 'edit'
),

current_messages AS (
    SELECT
        sent.*,
        coalesce(replacements.body, sent."body") AS current_body,
        edits.edited_at,
        coalesce(edits.is_deleted, FALSE) AS is_deleted
    FROM sent
    LEFT JOIN edits ON sent."id" = edits.message_id
    LEFT JOIN replacements
        ON sent."id" = replacements.message_id AND replacements.newest_first = 1
)

SELECT
    message."id" AS message_id,
    message."conversationId" AS conversation_id,
    message."createdAt" AS created_at,
    message."type" AS message_type,
    message.author_type,
    message.author_id,
    message.author_is_bot,
    coalesce(users."name", CAST(contacts."attributes" AS json) ->> 'name') AS author_name,
    coalesce(users."email", CAST(contacts."attributes" AS json) ->> 'email') AS author_email,
    message.current_body AS body_html,
    replace(replace(replace(replace(replace(replace(
        regexp_replace(
            regexp_replace(
                regexp_replace(message.current_body, '<br ?/?>|</p>|</div>|</li>', chr(10), 'g'),
                '<[^>]*>', '', 'g'
            ),
            '^\s+|\s+$', '', 'g'
        ),
        '&nbsp;', ' '), '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&#39;', ''''), '&amp;', '&'
    ) AS body_text,
    message.edited_at,
    message.is_deleted,
    coalesce(json_array_length(to_json(message."attachments")), 0) AS attachment_count
FROM current_messages AS message
LEFT JOIN users ON message.author_type = 'user' AND message.author_id = users."id"
LEFT JOIN contacts ON message.author_type = 'contact' AND message.author_id = contacts."id";

-- One row for each conversation. Times between messages are in seconds. Only chat messages that are
-- not deleted count; private notes have their own column.
CREATE OR REPLACE VIEW conversation_summary AS
WITH chats AS (
    SELECT
        *,
        author_type = 'contact' AS by_contact,
        author_type = 'user' AND NOT author_is_bot AS by_agent,
        author_type = 'user' AND author_is_bot AS by_bot
    FROM messages_enriched
    WHERE message_type = 'chat' AND NOT is_deleted
),

first_questions AS (
    SELECT conversation_id, min(created_at) AS asked_at
    FROM chats
    WHERE by_contact
    GROUP BY conversation_id
),

first_answers AS (
    SELECT
        chats.conversation_id,
        chats.created_at AS answered_at,
        chats.author_id AS agent_id,
        row_number() OVER (
            PARTITION BY chats.conversation_id ORDER BY chats.created_at, chats.message_id
        ) AS oldest_first
    FROM chats
    INNER JOIN first_questions ON chats.conversation_id = first_questions.conversation_id
    WHERE chats.by_agent AND chats.created_at >= first_questions.asked_at
),

counts AS (
    SELECT
        conversation_id,
        count(*) AS messages,
        count(*) FILTER (WHERE by_contact) AS contact_messages,
        count(*) FILTER (WHERE by_agent) AS agent_messages,
        count(*) FILTER (WHERE by_bot) AS bot_messages,
        count(DISTINCT author_id) FILTER (WHERE by_agent) AS agents,
        CAST(sum(attachment_count) AS bigint) AS attachments,
        min(created_at) AS first_message_at,
        max(created_at) AS last_message_at
    FROM chats
    GROUP BY conversation_id
),

notes AS (
    SELECT conversation_id, count(*) AS private_notes
    FROM messages_enriched
    WHERE message_type = 'private_note' AND NOT is_deleted
    GROUP BY conversation_id
),

tags AS (
    SELECT conversation_id, string_agg(tag, ', ' ORDER BY tag) AS tags
    FROM conversation_tags
    GROUP BY conversation_id
)

SELECT
    conversation."id" AS conversation_id,
    conversation."status" AS status,
    conversation."inboxId" AS inbox_id,
    conversation."contactId" AS contact_id,
    conversation."createdAt" AS created_at,
    conversation."updatedAt" AS updated_at,
    tags.tags,
    coalesce(counts.messages, 0) AS messages,
    coalesce(counts.contact_messages, 0) AS contact_messages,
    coalesce(counts.agent_messages, 0) AS agent_messages,
    coalesce(counts.bot_messages, 0) AS bot_messages,
    coalesce(notes.private_notes, 0) AS private_notes,
    coalesce(counts.agents, 0) AS agents,
    coalesce(counts.attachments, 0) AS attachments,
    counts.first_message_at,
    counts.last_message_at,
    CAST(extract(EPOCH FROM counts.last_message_at - counts.first_message_at) AS double precision)
        AS duration_seconds,
    first_answers.answered_at AS first_response_at,
    first_answers.agent_id AS first_response_agent_id,
    CAST(extract(EPOCH FROM first_answers.answered_at - first_questions.asked_at) AS double precision)
        AS first_response_seconds
FROM conversations AS conversation
LEFT JOIN counts ON conversation."id" = counts.conversation_id
LEFT JOIN notes ON conversation."id" = notes.conversation_id
LEFT JOIN tags ON conversation."id" = tags.conversation_id
LEFT JOIN first_questions ON conversation."id" = first_questions.conversation_id
LEFT JOIN first_answers
    ON conversation."id" = first_answers.conversation_id AND first_answers.oldest_first = 1;

-- One row for each agent and day (UTC) with a chat message or a private note of the agent.
CREATE OR REPLACE VIEW agent_daily AS
WITH responses AS (
    SELECT
        CAST(first_response_at AS date) AS response_day,
        first_response_agent_id AS agent_id,
        count(*) AS first_responses,
        avg(first_response_seconds) AS mean_first_response_seconds
    FROM conversation_summary
    WHERE first_response_at IS NOT NULL
    GROUP BY CAST(first_response_at AS date), first_response_agent_id
),

activity AS (
    SELECT
        CAST(created_at AS date) AS activity_day,
        author_id AS agent_id,
        max(author_name) AS agent_name,
        count(DISTINCT conversation_id) AS conversations,
        count(*) FILTER (WHERE message_type = 'chat') AS messages,
        count(*) FILTER (WHERE message_type = 'private_note') AS private_notes
    FROM messages_enriched
    WHERE
        author_type = 'user' AND NOT author_is_bot AND NOT is_deleted
        AND message_type IN ('chat', 'private_note')
    GROUP BY CAST(created_at AS date), author_id
)

SELECT
    activity.activity_day AS "day",
    activity.agent_id,
    activity.agent_name,
    activity.conversations,
    activity.messages,
    activity.private_notes,
    coalesce(responses.first_responses, 0) AS first_responses,
    responses.mean_first_response_seconds
FROM activity
LEFT JOIN responses
    ON activity.activity_day = responses.response_day AND activity.agent_id = responses.agent_id;
