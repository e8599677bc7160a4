/* The past: the lines of a conversation, the list of conversations, and forgetting.
 *
 * A conversation is in two tables, each with an index by peer and time; they are merged as they are
 * read. At the same microsecond what came in precedes what went out, and each keeps the order in
 * which it was entered. */
#include "daemon/io/store/store_file.h"
#include "daemon/io/store/store_private.h"

#include <errno.h>

/* A cursor is the time of the last line given (52 bits, enough until 2112) and how many lines of
 * that very microsecond were given, up to 2,047. If there are more of one microsecond, on a clock
 * that stands still, a page does not end before all of them are given. */
#define TIE_BITS 11
#define TIES_MAX ((1 << TIE_BITS) - 1)
#define TIME_MAX (INT64_C(1) << 52)

#define TEXT_MAX (sizeof((struct conversation_record *)0)->last_text - 1)

/* One of the two tables, and the next line of it. */
struct side {
    struct query query;
    bool outgoing, has_line;
    struct history_record line;
    int64_t time, blocks;
};

static void next_line(struct side *side) {
    struct query *query = &side->query;
    struct history_record *line = &side->line;
    side->has_line = query_row(query);
    if (!side->has_line)
        return;
    *line = (struct history_record){.outgoing = side->outgoing};
    side->time = query_get_int(query);
    query_get_exact(query, line->id.bytes, MESSAGE_ID_LEN);
    line->kind = (enum message_kind)query_get_int(query);
    if (side->outgoing) {
        line->sent.us = side->time;
        line->done.us = query_get_int(query);
        line->state = (enum message_state)query_get_int(query);
        query_get_text(query, line->reason, sizeof line->reason);
    } else {
        line->sent.us = query_get_int(query);
        line->done.us = side->time;
        line->taken = query_get_int(query) == IN_TAKEN;
    }
    line->size = (uint64_t)query_get_int(query);
    side->blocks = query_get_int(query);
}

static struct side begin_side(struct store_db *db, const struct store_op *op, bool outgoing) {
    int64_t since = op->history.since.us, until = op->history.until.us;
    int64_t cursor = op->history.after >> TIE_BITS;
    struct side side = {.outgoing = outgoing};
    side.query = query_begin(db, outgoing ? SQL_HISTORY_OUT : SQL_HISTORY_IN);
    query_blob(&side.query, op->history.peer.bytes, NODE_ID_LEN);
    query_int(&side.query, since > cursor ? since : cursor);
    query_int(&side.query, until && until < TIME_MAX ? until : TIME_MAX);
    next_line(&side);
    return side;
}

/* The earlier of the two next lines; NULL at the end. */
static struct side *earlier(struct side sides[2]) {
    struct side *in = &sides[0], *out = &sides[1];
    if (!in->has_line)
        return out->has_line ? out : NULL;
    return out->has_line && out->time < in->time ? out : in;
}

/* How far a page has come. */
struct page {
    struct history_record *lines;
    size_t n;
    uint64_t bytes;
    int64_t time, ties; /* the parts of the cursor */
};

static uint64_t body_size(const struct history_record *line) {
    return line->kind == KIND_MESSAGE ? line->size : 0;
}

static bool is_full(const struct page *page, const struct store_op *op,
                    const struct history_record *line) {
    return page->n == op->history.limit ||
           (page->n > 0 && page->bytes + body_size(line) > op->history.bytes);
}

/* Are there too many lines of this microsecond for a cursor to point between them? */
static bool is_beyond_cursor(const struct page *page, const struct side *side) {
    return page->ties >= TIES_MAX && page->time == side->time;
}

static void add_line(struct page *page, struct side *side, const struct node_id *peer,
                     struct store_arena *arena) {
    struct store_db *db = side->query.db;
    struct history_record *larger =
        store_arena_grow(arena, page->lines, page->n, sizeof *page->lines);
    if (!larger) {
        db->error = -ENOMEM;
        return;
    }
    page->lines = larger;
    if (side->line.kind == KIND_MESSAGE)
        side->line.body =
            store_body_load(&side->query, arena, side->blocks, side->line.size, side->line.size);
    if (side->line.kind == KIND_FILE)
        side->line.file = store_file_head(db, arena, side->outgoing ? NULL : peer, &side->line.id);
    page->ties = page->time == side->time ? page->ties + 1 : 1;
    page->time = side->time;
    page->bytes += body_size(&side->line);
    page->lines[page->n++] = side->line;
}

static int64_t cursor_of(const struct page *page) {
    if (page->ties < TIES_MAX)
        return page->time << TIE_BITS | page->ties;
    return page->time + 1 < TIME_MAX ? (page->time + 1) << TIE_BITS
                                     : page->time << TIE_BITS | TIES_MAX;
}

int store_history(struct store_db *db, const struct store_op *op, struct store_result *result,
                  struct store_arena *arena) {
    if (op->history.after < 0)
        return -EINVAL;
    struct page page = {.time = op->history.after >> TIE_BITS,
                        .ties = op->history.after & TIES_MAX};
    int64_t given_time = page.time, given = page.ties;
    struct side sides[2] = {begin_side(db, op, false), begin_side(db, op, true)}, *side;
    while (!db->error && (side = earlier(sides))) {
        bool is_given = side->time == given_time && given > 0;
        if (!is_given && is_full(&page, op, &side->line) && !is_beyond_cursor(&page, side)) {
            result->more = true;
            break;
        }
        given -= is_given;
        if (!is_given)
            add_line(&page, side, &op->history.peer, arena);
        next_line(side);
    }
    query_end(&sides[0].query);
    query_end(&sides[1].query);
    result->history = page.lines;
    result->n_records = page.n;
    result->next = cursor_of(&page);
    return 0;
}

/* ---- Conversations ---- */

static bool begin_peer(struct store_db *db, enum store_statement which, const struct node_id *peer,
                       struct query *ret_query) {
    *ret_query = query_begin(db, which);
    query_blob(ret_query, peer->bytes, NODE_ID_LEN);
    return query_row(ret_query);
}

/* Read the time of the latest message, and the beginning of its body. */
static void read_last(struct query *query, struct store_arena *arena,
                      struct conversation_record *record) {
    record->last.us = query_get_int(query);
    enum message_kind kind = (enum message_kind)query_get_int(query);
    uint64_t size = (uint64_t)query_get_int(query), length = size < TEXT_MAX ? size : TEXT_MAX;
    int64_t blocks = query_get_int(query);
    memset(record->last_text, 0, sizeof record->last_text);
    if (kind == KIND_FILE) { /* a file has no body; its name is in the column after it */
        query->at++;
        query_get_text(query, record->last_text, sizeof record->last_text);
    }
    if (kind != KIND_MESSAGE)
        return;
    const uint8_t *text = store_body_load(query, arena, blocks, size, length);
    if (text)
        memcpy(record->last_text, text, (size_t)length);
}

/* Name and address of the peer as its latest message told them; without one, the address to which
 * it is pinned. */
static void read_peer(struct store_db *db, struct store_arena *arena,
                      struct conversation_record *record) {
    struct query query;
    bool has_in = begin_peer(db, SQL_PEER_LAST_IN, &record->peer, &query);
    if (has_in) {
        query_get_address(&query, &record->address);
        query_get_text(&query, record->name, sizeof record->name);
        read_last(&query, arena, record);
    }
    query_end(&query);
    struct conversation_record out = *record;
    out.last_outgoing = begin_peer(db, SQL_PEER_LAST_OUT, &record->peer, &query);
    if (out.last_outgoing)
        read_last(&query, arena, &out);
    query_end(&query);
    if (out.last_outgoing && (!has_in || out.last.us >= record->last.us))
        *record = out;
    if (!has_in && begin_peer(db, SQL_PEER_PIN, &record->peer, &query))
        query_get_address(&query, &record->address);
    if (!has_in)
        query_end(&query);
}

static uint64_t count_of(struct store_db *db, enum store_statement which,
                         const struct node_id *peer) {
    struct query query;
    uint64_t n = begin_peer(db, which, peer, &query) ? (uint64_t)query_get_int(&query) : 0;
    query_end(&query);
    return n;
}

/* The cursor is the number of conversations given before. A conversation that becomes newer between
 * two pages moves to the front: then a line may come twice, but none that was there is left out. */
int store_conversations(struct store_db *db, const struct store_op *op, struct store_result *result,
                        struct store_arena *arena) {
    struct conversation_record *records = NULL;
    size_t n = 0;
    int64_t after = op->conversations.after, limit = op->conversations.limit;
    if (after < 0)
        return -EINVAL;
    struct query query = query_begin(db, SQL_PEERS);
    query_int(&query, limit + 1);
    query_int(&query, after);
    while (query_row(&query)) {
        if (n == op->conversations.limit) {
            result->more = true;
            break;
        }
        struct conversation_record *larger = store_arena_grow(arena, records, n, sizeof *records);
        if (!larger) {
            db->error = -ENOMEM;
            break;
        }
        records = larger;
        records[n] = (struct conversation_record){.messages = 0};
        query_get_exact(&query, records[n].peer.bytes, NODE_ID_LEN);
        read_peer(db, arena, &records[n]);
        records[n].waiting = count_of(db, SQL_PEER_COUNT_WAITING, &records[n].peer);
        records[n].messages = count_of(db, SQL_PEER_COUNT_IN, &records[n].peer) +
                              count_of(db, SQL_PEER_COUNT_OUT, &records[n].peer);
        n++;
    }
    query_end(&query);
    result->conversations = records;
    result->n_records = n;
    result->next = after + (int64_t)n;
    return 0;
}

/* ---- Forgetting ---- */

/* A transaction forgets one slice of each table: some 50 ms of work, so that other operations need
 * not wait until 200,000 messages are forgotten. */

static int run_for(struct store_db *db, enum store_statement which, const struct node_id *peer) {
    struct query query = query_begin(db, which);
    query_blob(&query, peer->bytes, NODE_ID_LEN);
    query_int(&query, db->slice);
    return query_run(&query);
}

void store_forget(struct store_db *db, const struct store_op *op, struct store_result *result) {
    const struct node_id *peer = &op->forget.peer;
    store_part_abandon(db, peer, op->forget.ungrown.us);
    run_for(db, SQL_FORGET_IN_BLOCKS, peer);
    run_for(db, SQL_FORGET_OUT_BLOCKS, peer);
    int files = run_for(db, SQL_FILE_FORGET_PEER, peer), in = run_for(db, SQL_FORGET_IN, peer),
        out = run_for(db, SQL_FORGET_OUT, peer);
    result->n_forgotten = (uint64_t)in + (uint64_t)out;
    result->more = files == db->slice || in == db->slice || out == db->slice;
}
