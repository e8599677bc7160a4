/* What is left in mailboxes: when a recipient is away, the messages that wait for it are sealed to
 * its mail key and deposited with those that keep mail for it, so that we may go too.
 *
 * Threat: a mailbox is a stranger. It learns for whom the mail is and how much, never from whom:
 * the deposit names no sender, comes over onion paths, and is confirmed over one that we made
 * ready. Its word is not believed beyond that nothing more is sent to it: only the recipient's
 * receipt ends a message, and direct tries go on. Implements p2pd-protocol(7) MAILBOXES. */
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/route/path_reply.h"

#include <assert.h>

#define SCAN_US (2 * US_PER_S)
#define UNREACHABLE_US (5 * US_PER_S) /* routes come and go; so long without one, it is away */
/* Shards leave so many at a time: a deposit must not fill a neighbour's queue. */
#define BATCH 8
#define BATCH_US (10 * US_PER_MS)
#define TRIES_KEPT 4 /* after so many the mail is let go, and its memory serves another deposit */
#define AGAIN_US (10 * US_PER_S) /* after a failed read, or with all places taken */

unsigned out_mail_count(const struct out_message *message) {
    unsigned n = 0;
    for (unsigned bits = message->mailed; bits; bits &= bits - 1)
        n++;
    return n;
}

/* ---- Letting go ---- */

static void stop_sending(struct outbox *outbox, struct out_deposit *deposit) {
    for (unsigned i = 0; i < 2; i++) {
        path_free(deposit->paths[i]);
        deposit->paths[i] = NULL;
    }
    if (!deposit->shards)
        return;
    size_t size = (size_t)(deposit->cut.k + deposit->cut.m) * deposit->cut.length;
    budget_give(outbox->config.budget, BUDGET_OUTBOX, size);
    free(deposit->shards);
    deposit->shards = NULL;
}

static void deposit_free(struct outbox *outbox, struct out_deposit *deposit) {
    sodium_memzero(deposit->bytes, deposit->charged); /* plaintext, if it was not sealed yet */
    budget_give(outbox->config.budget, BUDGET_OUTBOX, deposit->charged);
    TAILQ_REMOVE(&outbox->deposits, deposit, link);
    outbox->n_deposits--;
    free(deposit->bytes);
    free(deposit->ids);
    free(deposit->places);
    free(deposit->lengths);
    sodium_memzero(deposit, sizeof *deposit);
    free(deposit);
}

static void deposit_drop(struct outbox *outbox, struct out_deposit *deposit) {
    stop_sending(outbox, deposit);
    if (deposit->box)
        deposit->box->deposit = NULL;
    deposit->box = NULL;
    deposit->flow = NULL;
    if (deposit->reads == 0)
        deposit_free(outbox, deposit);
}

void out_mail_forget(struct outbox *outbox, struct out_flow *flow) {
    for (unsigned i = 0; flow->mail && i < flow->mail->n; i++)
        if (flow->mail->boxes[i].deposit)
            deposit_drop(outbox, flow->mail->boxes[i].deposit);
    free(flow->mail);
    flow->mail = NULL;
}

/* ---- Gathering ---- */

static bool is_wanted(const struct out_message *message, unsigned bit) {
    return message && message->kind == KIND_MESSAGE && message->size <= MAIL_MESSAGE_MAX &&
           !message_state_is_final(message->state) && !(message->mailed & bit);
}

struct gathering { /* first counted, then written down */
    struct out_message **messages;
    size_t n, room, length;
    unsigned bit;
};

/* False: no more fit. */
static bool gather(struct gathering *all, struct out_message *message) {
    if (!is_wanted(message, all->bit))
        return true;
    size_t more = PARCEL_ITEM_HEADER_LEN + message->size;
    if (all->n == all->room || all->length + more > MAIL_PLAIN_MAX)
        return false;
    all->messages[all->n++] = message;
    all->length += more;
    return true;
}

static void gather_all(struct out_flow *flow, struct gathering *all) {
    struct out_parcel *parcel;
    struct out_message *message;
    TAILQ_FOREACH(parcel, &flow->parcels, link)
        for (size_t i = 0; i < parcel->n_items; i++)
            if (!gather(all, parcel->items[i].message))
                return;
    TAILQ_FOREACH(message, &flow->shorts, queue)
        if (!gather(all, message))
            return;
}

static bool read_item(struct outbox *outbox, struct out_deposit *deposit, size_t i) {
    struct out_op *op = out_op_new(outbox, OUT_OP_READ_MAIL);
    if (!op)
        return false;
    op->deposit = deposit;
    op->item = i;
    struct store_op operation = {.kind = STORE_OUT_READ};
    operation.out_read.id = deposit->ids[i];
    operation.out_read.length = deposit->lengths[i];
    deposit->reads++;
    out_store(outbox, &operation, op);
    return true;
}

static void write_plain(struct outbox *outbox, struct out_deposit *deposit,
                        const struct mail_head *head, struct out_message **messages) {
    struct wire_writer writer = wire_writer(deposit->bytes, deposit->length);
    mail_put_head(&writer, head);
    for (size_t i = 0; i < deposit->n; i++) {
        const struct out_message *message = messages[i];
        struct parcel_item item = {.kind = KIND_MESSAGE,
                                   .id = message->id,
                                   .sequence = message->sequence,
                                   .sent_ms = (uint64_t)wall_ms(message->created),
                                   .expires_ms = (uint64_t)wall_ms(message->expires),
                                   .total = message->size,
                                   .length = (uint32_t)message->size,
                                   .bytes = message->body};
        deposit->ids[i] = message->id;
        deposit->lengths[i] = item.length;
        deposit->places[i] = (uint32_t)(parcel_put_item(&writer, &item) - deposit->bytes);
        if (message->expires.us > deposit->expires.us)
            deposit->expires = message->expires;
    }
    assert(!writer.failed && wire_room(&writer) == 0);
    for (size_t i = 0; i < deposit->n; i++)
        if (!messages[i]->body && deposit->lengths[i] > 0 && !read_item(outbox, deposit, i))
            deposit->spoiled = true;
}

static struct out_deposit *deposit_new(struct outbox *outbox, const struct gathering *all) {
    size_t room = all->length + MAIL_OVERHEAD;
    if (!budget_take(outbox->config.budget, BUDGET_OUTBOX, room))
        return NULL;
    struct out_deposit *deposit = calloc(1, sizeof *deposit);
    uint8_t *bytes = calloc(1, room);
    struct message_id *ids = calloc(all->n, sizeof *ids);
    uint32_t *places = calloc(all->n, sizeof *places), *lengths = calloc(all->n, sizeof *lengths);
    if (!deposit || !bytes || !ids || !places || !lengths) {
        free(deposit);
        free(bytes);
        free(ids);
        free(places);
        free(lengths);
        budget_give(outbox->config.budget, BUDGET_OUTBOX, room);
        return NULL;
    }
    *deposit = (struct out_deposit){.ids = ids,
                                    .places = places,
                                    .lengths = lengths,
                                    .n = all->n,
                                    .bytes = bytes,
                                    .length = all->length,
                                    .charged = room};
    random_fill(&outbox->config.random, deposit->token, sizeof deposit->token);
    TAILQ_INSERT_TAIL(&outbox->deposits, deposit, link);
    outbox->n_deposits++;
    return deposit;
}

static void begin(struct outbox *outbox, struct out_flow *flow, struct out_box *box,
                  const struct descriptor *recipient, struct mono now) {
    struct mail_head head = {.sender = outbox->self};
    struct version version;
    struct out_message *messages[MAIL_PLAIN_MAX / PARCEL_ITEM_HEADER_LEN];
    head.descriptor = directory_bytes(outbox->config.directory, node_id_prefix(&outbox->self),
                                      &head.descriptor_length, &version);
    struct gathering all = {.messages = messages,
                            .room = sizeof messages / sizeof *messages,
                            .bit = 1u << (box - flow->mail->boxes)};
    if (!head.descriptor)
        return;
    all.length = MAIL_HEAD_LEN + head.descriptor_length;
    gather_all(flow, &all);
    if (all.n == 0)
        return;
    struct out_deposit *deposit =
        outbox->n_deposits < OUTBOX_DEPOSITS_MAX ? deposit_new(outbox, &all) : NULL;
    if (!deposit) {
        box->due = mono_add(now, AGAIN_US);
        return;
    }
    deposit->flow = flow;
    deposit->box = box;
    deposit->day = recipient->mail_day;
    memcpy(deposit->key, recipient->mail_key, KEY_LEN);
    box->deposit = deposit;
    write_plain(outbox, deposit, &head, messages);
}

void out_mail_abandon_read(struct outbox *outbox, struct out_op *op) {
    if (--op->deposit->reads == 0 && !op->deposit->flow)
        deposit_free(outbox, op->deposit);
}

void out_mail_read(struct outbox *outbox, struct out_op *op, const struct store_result *result) {
    struct out_deposit *deposit = op->deposit;
    if (result->error == 0 && result->length == deposit->lengths[op->item])
        memcpy(deposit->bytes + deposit->places[op->item], result->bytes, result->length);
    else
        deposit->spoiled = true;
    out_mail_abandon_read(outbox, op);
}

/* Is one of its messages still owed to its recipient? All of them, before it is sealed: a cancelled
 * one stays here. */
static bool is_owed(const struct outbox *outbox, const struct out_deposit *deposit) {
    size_t owed = 0;
    for (size_t i = 0; i < deposit->n; i++) {
        const struct out_message *message = out_find(outbox, &deposit->ids[i]);
        owed += message && message->flow == deposit->flow;
    }
    return deposit->state == OUT_MAIL_READING ? owed == deposit->n : owed > 0;
}

/* False: it is of no use. */
static bool seal(struct outbox *outbox, struct out_deposit *deposit) {
    uint8_t ephemeral[32], *blob = malloc(deposit->length + MAIL_OVERHEAD);
    if (!blob)
        return false;
    random_fill(&outbox->config.random, ephemeral, sizeof ephemeral);
    int length =
        mail_seal(identity_link_key(outbox->config.identity), &deposit->flow->recipient,
                  deposit->key, deposit->day, ephemeral, deposit->bytes, deposit->length, blob);
    sodium_memzero(ephemeral, sizeof ephemeral);
    if (length < 0) {
        free(blob);
        return false;
    }
    sodium_memzero(deposit->bytes, deposit->length);
    free(deposit->bytes);
    deposit->bytes = blob;
    deposit->length = (size_t)length;
    deposit->state = OUT_MAIL_SEALED;
    return true;
}

/* ---- Sending ---- */

static int64_t interval_us(unsigned tries) {
    static const int seconds[] = {3, 10, 30, 120, 300, 600};
    unsigned last = sizeof seconds / sizeof *seconds - 1;
    return seconds[tries < last ? tries : last] * US_PER_S;
}

static struct path_wish wish_for(const struct out_deposit *deposit, const struct node_id *box) {
    return (struct path_wish){.target = *box,
                              .relays_exact = deposit->flow->relays_exact,
                              .strict = deposit->flow->strict};
}

/* Two ways back for the token. Returns how many there are. */
static unsigned make_replies(struct outbox *outbox, const struct out_deposit *deposit,
                             const struct node_id *box, struct now now,
                             struct mail_reply replies[MAIL_REPLIES_MAX],
                             uint8_t packets[MAIL_REPLIES_MAX][ONION_LEN]) {
    struct path_reply_rooms rooms = {outbox->config.paths, outbox->config.directory,
                                     outbox->config.identity, &outbox->config.random};
    struct path_wish wish = wish_for(deposit, box);
    uint8_t payload[1 + MAIL_TOKEN_LEN] = {PAYLOAD_DEPOSITED};
    unsigned n = 0;
    memcpy(payload + 1, deposit->token, MAIL_TOKEN_LEN);
    for (unsigned i = 0; i < MAIL_REPLIES_MAX; i++) {
        if (path_reply(&rooms, &wish, payload, sizeof payload, now, &replies[n].first,
                       packets[n]) != PATH_OK)
            break;
        replies[n].packet = packets[n];
        n++;
    }
    return n;
}

/* Write it down for this try, in shards. False: not now. */
static bool cut(struct outbox *outbox, struct out_deposit *deposit,
                const struct mail_deposit *content) {
    uint8_t key[32];
    size_t length = NODE_ID_LEN + 16 + content->n_replies * (8 + ONION_LEN) +
                    content->descriptor_length + content->blob_length;
    struct mail_cut shards = mail_cut(length);
    size_t size = (size_t)(shards.k + shards.m) * shards.length;
    if (!budget_take(outbox->config.budget, BUDGET_OUTBOX, size))
        return false;
    deposit->shards = malloc(size);
    if (!deposit->shards) {
        budget_give(outbox->config.budget, BUDGET_OUTBOX, size);
        return false;
    }
    struct wire_writer writer = wire_writer(deposit->shards, size);
    mail_deposit_encode(content, &writer);
    assert(!writer.failed && wire_length(&writer) == length);
    random_fill(&outbox->config.random, key, sizeof key);
    mail_shards(&shards, deposit->shards, length, key);
    sodium_memzero(key, sizeof key);
    random_fill(&outbox->config.random, deposit->id, sizeof deposit->id);
    deposit->cut = shards;
    deposit->next = 0;
    return true;
}

static void try_box(struct outbox *outbox, struct out_deposit *deposit,
                    const struct directory_entry *box, const struct directory_entry *recipient,
                    struct now now) {
    uint8_t packets[MAIL_REPLIES_MAX][ONION_LEN];
    int64_t wait_us = interval_us(deposit->box->tries);
    struct mail_deposit content = {.recipient = recipient->id,
                                   .expires_ms = (uint64_t)wall_ms(deposit->expires),
                                   .descriptor = recipient->bytes,
                                   .descriptor_length = recipient->length,
                                   .blob = deposit->bytes,
                                   .blob_length = deposit->length};
    stop_sending(outbox, deposit);
    wait_us -= (int64_t)random_below(&outbox->config.random, (uint64_t)wait_us / 8);
    deposit->box->due = mono_add(now.mono, wait_us);
    content.n_replies = make_replies(outbox, deposit, &box->id, now, content.replies, packets);
    if (content.n_replies == 0 || !cut(outbox, deposit, &content))
        return;
    deposit->tries++;
    deposit->box->tries++;
    deposit->send_at = now.mono;
}

/* The path for the next shard, by turns. NULL: none. */
static struct path *choose_path(struct outbox *outbox, struct out_deposit *deposit,
                                struct now now) {
    struct path **path = &deposit->paths[deposit->next % 2];
    const struct directory_entry *box =
        directory_find_prefix(outbox->config.directory, deposit->box->prefix);
    bool fewer;
    if (*path && path_is_usable(outbox->config.paths, *path, now))
        return *path;
    path_free(*path);
    *path = NULL;
    if (!box)
        return NULL;
    struct path_wish wish = wish_for(deposit, &box->id);
    if (path_draw(outbox->config.paths, &wish, now, path, &fewer) != PATH_OK)
        *path = NULL;
    return *path;
}

static void send_batch(struct outbox *outbox, struct out_deposit *deposit, struct now now) {
    uint8_t payload[ONION_PAYLOAD_MAX], packet[ONION_LEN];
    unsigned all = deposit->cut.k + deposit->cut.m;
    deposit->send_at = mono_add(now.mono, BATCH_US);
    for (unsigned i = 0; i < BATCH && deposit->next < all; i++) {
        struct mail_shard shard = {.cut = deposit->cut, .index = (uint8_t)deposit->next};
        struct path *path = choose_path(outbox, deposit, now);
        if (!path) {
            stop_sending(outbox, deposit); /* the next try finds another way */
            return;
        }
        memcpy(shard.id, deposit->id, sizeof shard.id);
        shard.data = deposit->shards + (size_t)deposit->next * deposit->cut.length;
        path_seal(outbox->config.paths, path, payload, mail_shard_encode(&shard, payload), packet);
        int error = links_send_onion(outbox->config.links, path_first(path), packet, now.mono);
        if (error == -ENOBUFS)
            return;
        outbox->counters.onions_sent += error == 0;
        deposit->next++;
    }
    if (deposit->next == all)
        stop_sending(outbox, deposit);
}

/* ---- Whose turn it is ---- */

static bool is_away(struct out_flow *flow, struct mono now) {
    bool silent = out_flow_is_silent(flow);
    if (flow->n_messages == 0 || (!flow->unreachable && !silent)) {
        flow->away_since = MONO_NEVER;
        return false;
    }
    if (flow->away_since.us == MONO_NEVER.us)
        flow->away_since = now;
    return silent || now.us - flow->away_since.us >= UNREACHABLE_US;
}

static bool is_usable(const struct descriptor *recipient, struct wall wall) {
    uint32_t today = wall_day(wall);
    return recipient->mail_day != 0 && recipient->n_mailboxes > 0 &&
           recipient->mail_day <= today + 1 && recipient->mail_day + MAIL_DAYS_MAX >= today;
}

/* The mailboxes that its descriptor names. Others than before: it has been here meanwhile, and what
 * the old ones keep is forgotten. False: no memory. */
static bool follow(struct outbox *outbox, struct out_flow *flow,
                   const struct descriptor *recipient) {
    bool same = flow->mail && flow->mail->n == recipient->n_mailboxes;
    for (unsigned i = 0; same && i < flow->mail->n; i++)
        same = flow->mail->boxes[i].prefix == recipient->mailboxes[i];
    if (same)
        return true;
    struct out_mail *mail = calloc(1, sizeof *mail);
    struct out_parcel *parcel;
    struct out_message *message;
    if (!mail)
        return false;
    out_mail_forget(outbox, flow);
    flow->mail = mail;
    mail->n = recipient->n_mailboxes;
    for (unsigned i = 0; i < mail->n; i++)
        mail->boxes[i] = (struct out_box){.prefix = recipient->mailboxes[i], .due = {INT64_MIN}};
    TAILQ_FOREACH(parcel, &flow->parcels, link)
        for (size_t i = 0; i < parcel->n_items; i++)
            if (parcel->items[i].message)
                parcel->items[i].message->mailed = 0;
    TAILQ_FOREACH(message, &flow->shorts, queue)
        message->mailed = 0;
    return true;
}

/* Let go what is of no use any more. True: nothing else is to be done with this mailbox just
 * now. */
static bool tidy(struct outbox *outbox, struct out_box *box, struct mono now) {
    struct out_deposit *deposit = box->deposit;
    if (!deposit || deposit->reads > 0)
        return deposit != NULL;
    bool tired = deposit->tries >= TRIES_KEPT;
    if (deposit->spoiled || tired || !is_owed(outbox, deposit))
        deposit_drop(outbox, deposit);
    if (!tired || outbox->n_deposits + 1 < OUTBOX_DEPOSITS_MAX)
        return false;
    box->due = mono_add(now, AGAIN_US); /* others wait for the place */
    return true;
}

/* One step with one mailbox. */
static void turn(struct outbox *outbox, struct out_flow *flow, struct out_box *box,
                 const struct descriptor *recipient, struct now now) {
    const struct directory_entry *there =
        directory_find_prefix(outbox->config.directory, box->prefix);
    /* One that tells each of us another key would learn from ours where we are. */
    if (!mono_is_due(box->due, now.mono) || !there || !there->mailbox || !there->live ||
        there->unsettled || !directory_is_up(outbox->config.directory, there))
        return;
    if (tidy(outbox, box, now.mono))
        return;
    if (!box->deposit)
        begin(outbox, flow, box, recipient, now.mono);
    struct out_deposit *deposit = box->deposit;
    if (!deposit || deposit->reads > 0)
        return;
    if (deposit->spoiled || (deposit->state == OUT_MAIL_READING && !seal(outbox, deposit))) {
        deposit_drop(outbox, deposit);
        box->due = mono_add(now.mono, AGAIN_US);
        return;
    }
    const struct directory_entry *entry =
        directory_find(outbox->config.directory, &flow->recipient);
    if (entry)
        try_box(outbox, deposit, there, entry, now);
}

static void look_at(struct outbox *outbox, struct out_flow *flow, struct now now) {
    struct descriptor recipient;
    if (!is_away(flow, now.mono)) {
        for (unsigned i = 0; flow->mail && i < flow->mail->n; i++)
            if (flow->mail->boxes[i].deposit && mono_is_due(flow->mail->boxes[i].due, now.mono))
                deposit_drop(outbox, flow->mail->boxes[i].deposit);
        return;
    }
    const struct directory_entry *entry =
        directory_find(outbox->config.directory, &flow->recipient);
    if (!entry)
        return;
    directory_descriptor(entry, &recipient);
    if (!is_usable(&recipient, now.wall) || !follow(outbox, flow, &recipient))
        return;
    for (unsigned i = 0; i < flow->mail->n; i++)
        turn(outbox, flow, &flow->mail->boxes[i], &recipient, now);
}

void out_mail_tick(struct outbox *outbox, struct now now) {
    struct out_deposit *deposit;
    if (mono_is_due(outbox->mail_scan, now.mono) && outbox->n_pending > 0) {
        struct out_flow *flow;
        outbox->mail_scan = mono_add(now.mono, SCAN_US);
        TAILQ_FOREACH(flow, &outbox->all_flows, all)
            if (!flow->is_kept) /* what was left here is not left with others in its turn */
                look_at(outbox, flow, now);
    }
    TAILQ_FOREACH(deposit, &outbox->deposits, link)
        if (deposit->shards && mono_is_due(deposit->send_at, now.mono))
            send_batch(outbox, deposit, now);
}

struct mono out_mail_next(const struct outbox *outbox) {
    struct mono next = outbox->n_pending > 0 ? outbox->mail_scan : MONO_NEVER;
    const struct out_deposit *deposit;
    TAILQ_FOREACH(deposit, &outbox->deposits, link)
        if (deposit->shards)
            next = mono_min(next, deposit->send_at);
    return next;
}

/* ---- Confirmations ---- */

static bool is_old_token(const struct outbox *outbox, const uint8_t *token) {
    bool found = false;
    for (unsigned i = 0; i < OUTBOX_TOKENS; i++)
        found |= sodium_memcmp(outbox->tokens[i], token, MAIL_TOKEN_LEN) == 0;
    return found;
}

static void confirmed(struct outbox *outbox, struct out_deposit *deposit, struct mono now) {
    struct out_box *box = deposit->box;
    for (size_t i = 0; i < deposit->n; i++) {
        struct out_message *message = out_find(outbox, &deposit->ids[i]);
        if (message && message->flow == deposit->flow)
            message->mailed |= (uint8_t)(1u << (box - deposit->flow->mail->boxes));
    }
    memcpy(outbox->tokens[outbox->next_token], deposit->token, MAIL_TOKEN_LEN);
    outbox->next_token = (outbox->next_token + 1) % OUTBOX_TOKENS;
    box->tries = 0;
    box->due = outbox->mail_scan = now; /* there may be more for it */
    deposit_drop(outbox, deposit);
}

enum drop outbox_confirmation(struct outbox *outbox, const uint8_t *payload, size_t length,
                              struct mono now) {
    struct out_deposit *deposit;
    if (length != 1 + MAIL_TOKEN_LEN)
        return DROP_MALFORMED;
    TAILQ_FOREACH(deposit, &outbox->deposits, link)
        if (deposit->box && deposit->tries > 0 &&
            sodium_memcmp(deposit->token, payload + 1, MAIL_TOKEN_LEN) == 0) {
            confirmed(outbox, deposit, now);
            return DROP_NONE;
        }
    return is_old_token(outbox, payload + 1) ? DROP_DUPLICATE : DROP_UNKNOWN;
}
