/* Messages on their way out: see message.h. */
#include "daemon/core/deliver/message/message.h"

#include "daemon/core/wire/identity.h"
#include "daemon/core/wire/shard.h"

#include <assert.h>

/* The store is told of confirmed blocks so often: a restart sends the blocks of a second, or so
 * many, again. */
#define PROGRESS_US US_PER_S
#define PROGRESS_BLOCKS 64

/* ---- All of them ---- */

int messages_init(struct messages *messages, const struct core_random *random,
                  struct budget *budget) {
    TAILQ_INIT(&messages->cached);
    messages->budget = budget;
    budget_part_init(&messages->own, budget, BUDGET_MESSAGES, MESSAGES_MEMORY_PERCENT);
    budget_part_init(&messages->conversations, budget, BUDGET_CONVERSATIONS,
                     CONVERSATIONS_MEMORY_PERCENT);
    budget_part_init(&messages->kept, budget, BUDGET_KEPT, MAIL_MEMORY_PERCENT);
    return table_init(&messages->by_id, random);
}

void messages_refit(struct messages *messages) {
    budget_part_refit(&messages->own);
    budget_part_refit(&messages->conversations);
    budget_part_refit(&messages->kept);
}

void messages_deinit(struct messages *messages) {
    table_deinit(&messages->by_id);
}

struct message *messages_find(const struct messages *messages, const struct message_id *id) {
    uint64_t hash = table_hash(&messages->by_id, id, sizeof *id);
    struct message *message;
    TABLE_FIND(message, &messages->by_id, hash, by_id, memcmp(&message->id, id, sizeof *id) == 0);
    return message;
}

void messages_add(struct messages *messages, struct message *message) {
    table_add(&messages->by_id, &message->by_id,
              table_hash(&messages->by_id, &message->id, sizeof message->id));
}

void messages_remove(struct messages *messages, struct message *message) {
    table_remove(&messages->by_id, &message->by_id);
}

/* ---- Bodies ---- */

bool messages_keep_body(struct messages *messages, struct message *message, uint8_t *body) {
    if (!budget_take(messages->budget, BUDGET_OUTBOX, message->size))
        return false;
    message->body = body;
    TAILQ_INSERT_TAIL(&messages->cached, message, cached);
    return true;
}

void messages_drop_body(struct messages *messages, struct message *message) {
    if (!message->body)
        return;
    TAILQ_REMOVE(&messages->cached, message, cached);
    budget_give(messages->budget, BUDGET_OUTBOX, message->size);
    sodium_memzero(message->body, message->size);
    free(message->body);
    message->body = NULL;
}

bool messages_evict_body(struct messages *messages) {
    if (TAILQ_EMPTY(&messages->cached))
        return false;
    messages_drop_body(messages, TAILQ_FIRST(&messages->cached));
    return true;
}

/* ---- Making and freeing ---- */

static struct budget_part *part_of(struct messages *messages, enum message_kind kind) {
    return kind == KIND_MAIL ? &messages->kept : &messages->own;
}

size_t message_size(enum message_kind kind) {
    return sizeof(struct message) + (kind == KIND_FILE ? sizeof(struct file_head) : 0);
}

struct message *message_new(struct messages *messages, const struct out_record *record,
                            struct conversation *conversation) {
    enum message_kind kind = record->kind ? record->kind : KIND_MESSAGE;
    struct message *message = calloc(1, message_size(kind));
    if (!message)
        return NULL;
    *message = (struct message){.id = record->id,
                                .conversation = conversation,
                                .sequence = record->sequence,
                                .created = record->created,
                                .expires = record->expires,
                                .size = record->size,
                                .kind = kind,
                                .state = MESSAGE_QUEUED,
                                .shards_k = record->shards_k,
                                .progress_at = {INT64_MIN / 2}};
    if (kind == KIND_FILE && record->file)
        message->file[0] = *record->file;
    TAILQ_INIT(&message->watchers);
    messages->n_files += message->kind == KIND_FILE;
    budget_part_take(part_of(messages, kind), message_size(kind));
    return message;
}

void message_free(struct messages *messages, struct message *message) {
    if (!message)
        return;
    messages->n_files -= message->kind == KIND_FILE;
    budget_part_give(part_of(messages, message->kind), message_size(message->kind));
    free(message);
}

/* ---- Blocks ---- */

size_t message_items_max(unsigned k) {
    size_t most = PARCEL_ITEM_HEADER_LEN + PARCEL_FILE_HEADER_LEN + PARCEL_BLOCK_MAX;
    size_t room = k * PARCEL_SHARD_DATA_MAX - PARCEL_OVERHEAD - PARCEL_HEAD_LEN;
    if (k > 1)
        room -= SHARD_TRANSFORM_LEN;
    return k == 0 || room > most ? most : room;
}

uint32_t message_block_max(unsigned k, enum message_kind kind) {
    size_t header = PARCEL_ITEM_HEADER_LEN + (kind == KIND_FILE ? PARCEL_FILE_HEADER_LEN : 0);
    size_t room = message_items_max(k) - header;
    return (uint32_t)(room < PARCEL_BLOCK_MAX ? room : PARCEL_BLOCK_MAX);
}

uint32_t message_block_size(const struct message *message) {
    return message_block_max(message->shards_k, message->kind);
}

bool message_is_long(const struct message *message) {
    return message->kind == KIND_FILE || message->size > message_block_size(message);
}

size_t message_item_length(const struct message *message, uint32_t length) {
    size_t head = PARCEL_ITEM_HEADER_LEN;
    if (message->kind == KIND_FILE)
        head += FILE_DIGEST_LEN + 1 + strlen(message->file->name);
    return head + length;
}

struct parcel_item message_item(const struct message *message, uint64_t offset, uint32_t length) {
    struct parcel_item item = {.kind = message->kind,
                               .id = message->id,
                               .sequence = message->sequence,
                               .sent_ms = (uint64_t)wall_ms(message->created),
                               .expires_ms = (uint64_t)wall_ms(message->expires),
                               .total = message->size,
                               .offset = offset,
                               .length = length,
                               .bytes = message->body};
    if (message->kind == KIND_FILE) {
        item.digest = message->file->digest;
        item.name = message->file->name;
        item.name_length = (uint8_t)strlen(message->file->name);
    }
    return item;
}

const char *message_lost_words(const struct message *message, int error) {
    bool is_file = message->kind == KIND_FILE;
    if (error == -ENOENT)
        return is_file ? "its file is gone from the spool" : "its body is gone from the store";
    return error == -ESTALE ? "its file was changed in the spool" : NULL;
}

unsigned message_mailboxes(const struct message *message) {
    unsigned n = 0;
    for (unsigned bits = message->mailed; bits; bits &= bits - 1)
        n++;
    return n;
}

/* ---- What is left to send ---- */

void message_plan(struct message *message, uint64_t progress) {
    uint32_t block = message_block_size(message);
    uint64_t blocks = message->size ? (message->size - 1) / block + 1 : 1;
    message->next_block = progress / block;
    if (message->next_block >= blocks)
        message->next_block = blocks - 1;
    message->blocks_left = blocks - message->next_block;
    message->progress = message->confirmed = message->next_block * block;
}

void message_renew(struct message *message) {
    assert(message->place == MESSAGE_NOWHERE);
    message->mailed = 0;
    message->unbatched = false;
    message->progress_at = (struct mono){INT64_MIN / 2};
}

void message_next_block(struct message *message) {
    message->next_block++;
}

bool message_confirm(struct message *message, uint32_t length) {
    assert(message->blocks_left > 0);
    message->confirmed += length;
    return --message->blocks_left == 0;
}

static uint64_t worth_telling(const struct message *message) {
    return (uint64_t)PROGRESS_BLOCKS * message_block_size(message);
}

bool message_has_progressed(const struct message *message, struct mono now) {
    return message->confirmed >= message->progress + worth_telling(message) &&
           now.us - message->progress_at.us >= PROGRESS_US;
}

bool message_note_progress(struct message *message, uint64_t below, struct mono now) {
    if (below < message->progress + worth_telling(message))
        return false;
    message->progress = below;
    message->progress_at = now;
    return true;
}

/* ---- Where it waits ---- */

/* Allowed moves: row = from, bit = to. */
static const uint8_t moves[MESSAGE_PLACES] = {
    [MESSAGE_NOWHERE] = 1 << MESSAGE_LATE | 1 << MESSAGE_SHORT | 1 << MESSAGE_LONG |
                        1 << MESSAGE_AGAIN | 1 << MESSAGE_LOCAL | 1 << MESSAGE_UNSTORED,
    [MESSAGE_LATE] = 1 << MESSAGE_NOWHERE,
    [MESSAGE_SHORT] = 1 << MESSAGE_NOWHERE,
    [MESSAGE_LONG] = 1 << MESSAGE_NOWHERE,
    [MESSAGE_AGAIN] = 1 << MESSAGE_NOWHERE,
    [MESSAGE_LOCAL] = 1 << MESSAGE_NOWHERE,
    [MESSAGE_UNSTORED] = 1 << MESSAGE_NOWHERE,
};

void message_move(struct message *message, enum message_place place) {
    assert(moves[message->place] & 1 << place);
    message->place = place;
}

/* Searched from the end, where the files are: they are few, while a hundred thousand messages may
 * wait. */
void message_queue_insert(struct message_queue *queue, struct message *message) {
    struct message *last = TAILQ_LAST(queue, message_queue);
    while (message->kind != KIND_FILE && last && last->kind == KIND_FILE)
        last = TAILQ_PREV(last, message_queue, queue);
    if (last)
        TAILQ_INSERT_AFTER(queue, last, message, queue);
    else
        TAILQ_INSERT_HEAD(queue, message, queue);
}
