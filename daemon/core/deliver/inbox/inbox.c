/* Shards, parcels and the store: see inbox.h. Threat: what comes in is an enemy's until its mac is
 * verified, and a known node's afterwards: bounded, checked item by item, stored before a word is
 * said. */
#include "daemon/core/deliver/inbox/inbox_private.h"

#include <assert.h>

#define KEYS_HELD 256
#define GUESSES_HELD 16
#define KEYS_CHECK_US (EPOCH_US / 4)
#define EVICT_LOOKS 64 /* parcels compared before one of them goes */

void in_store(struct inbox *inbox, const struct store_op *operation, const struct in_op *op) {
    effects_store(inbox->config.effects, operation, OWNER_INBOX, (uint64_t)(uintptr_t)op);
}

bool in_may_exchange(struct inbox *inbox, unsigned from, struct mono now) {
    return !inbox->config.share || share_take(inbox->config.share, from, now);
}

/* Found in the one table or the other, or computed for `into`, if the neighbour that asks for it
 * may. */
static const struct parcel_secret *get_secret(struct inbox *inbox, struct parcel_keys *into,
                                              const struct parcel_peer *peer, unsigned from,
                                              struct mono now) {
    const struct parcel_secret *secret = parcel_keys_renew(inbox->keys, peer);
    if (!secret)
        secret = parcel_keys_renew(inbox->guesses, peer);
    if (secret || !in_may_exchange(inbox, from, now))
        return secret;
    inbox->keys_check = mono_min(inbox->keys_check, mono_add(now, KEYS_CHECK_US));
    return parcel_keys_add(into, peer);
}

static bool is_known(const struct inbox *inbox, const struct node_id *id) {
    return inbox->config.policy && policy_is_known(inbox->config.policy, id);
}

static struct parcel_peer peer_of(const struct inbox *inbox, const struct directory_entry *sender,
                                  const struct descriptor *descriptor, int64_t epoch) {
    return (struct parcel_peer){.id = &sender->id,
                                .stamp = directory_stamp(sender),
                                .epoch = epoch,
                                .public_key = descriptor->link_key,
                                .secret = identity_epoch_key(inbox->config.identity, epoch)->secret,
                                .self = &inbox->self,
                                .is_sender = true,
                                .is_known = is_known(inbox, &sender->id)};
}

const struct parcel_secret *in_secret(struct inbox *inbox, const struct in_parcel *parcel,
                                      const struct directory_entry *sender, struct mono now) {
    const struct parcel_secret *secret =
        parcel_keys_find(inbox->keys, &sender->id, directory_stamp(sender), parcel->epoch);
    struct descriptor descriptor;
    if (secret || !identity_epoch_key(inbox->config.identity, parcel->epoch))
        return secret;
    directory_descriptor(sender, &descriptor);
    struct parcel_peer peer = peer_of(inbox, sender, &descriptor, parcel->epoch);
    return get_secret(inbox, inbox->keys, &peer, parcel->from, now);
}

/* Is the shard of whom it names? Nobody knows before there is a secret with that one, and anybody
 * may name anybody: what is computed for a guess drives out other guesses alone. */
static enum drop authenticate(struct inbox *inbox, const struct parcel_shard *shard,
                              const struct directory_entry *sender, unsigned from, int64_t epoch,
                              struct mono now) {
    const struct parcel_secret *secret =
        parcel_keys_find(inbox->keys, &sender->id, directory_stamp(sender), epoch);
    struct descriptor descriptor;
    if (secret)
        return parcel_shard_is_authentic(shard, secret->shard_key) ? DROP_NONE : DROP_AUTH;
    directory_descriptor(sender, &descriptor);
    struct parcel_peer peer = peer_of(inbox, sender, &descriptor, epoch);
    secret = get_secret(inbox, inbox->guesses, &peer, from, now);
    if (!secret)
        return DROP_LIMIT;
    if (!parcel_shard_is_authentic(shard, secret->shard_key))
        return DROP_AUTH;
    if (parcel_keys_find(inbox->guesses, &sender->id, directory_stamp(sender), epoch))
        parcel_keys_move(inbox->keys, inbox->guesses, &peer);
    return DROP_NONE;
}

/* ---- Senders and their parcels ---- */

static struct in_sender *find_sender(const struct inbox *inbox, const struct node_id *id) {
    uint64_t hash = table_hash(&inbox->senders, id, sizeof *id);
    for (struct table_link *link = table_first(&inbox->senders, hash); link;
         link = table_next(link)) {
        struct in_sender *sender = table_entry(link, struct in_sender, by_id);
        if (node_id_is_equal(&sender->id, id))
            return sender;
    }
    return NULL;
}

static struct in_sender *get_sender(struct inbox *inbox, const struct node_id *id) {
    struct in_sender *sender = find_sender(inbox, id);
    if (sender)
        return sender;
    sender = calloc(1, sizeof *sender);
    if (!sender)
        return NULL;
    sender->id = *id;
    sender->is_known = is_known(inbox, id);
    TAILQ_INIT(&sender->unfinished);
    table_add(&inbox->senders, &sender->by_id, table_hash(&inbox->senders, id, sizeof *id));
    return sender;
}

static struct in_parcel *find_parcel(const struct inbox *inbox, const struct node_id *sender,
                                     const struct parcel_id *id) {
    uint64_t hash = table_hash(&inbox->parcels, id, sizeof *id);
    for (struct table_link *link = table_first(&inbox->parcels, hash); link;
         link = table_next(link)) {
        struct in_parcel *parcel = table_entry(link, struct in_parcel, by_id);
        if (memcmp(&parcel->id, id, sizeof *id) == 0 &&
            node_id_is_equal(&parcel->sender->id, sender))
            return parcel;
    }
    return NULL;
}

void in_account(struct in_parcel *parcel, size_t charged) {
    parcel->sender->bytes = parcel->sender->bytes - parcel->charged + charged;
    parcel->charged = charged;
}

static void parcel_free(struct inbox *inbox, struct in_parcel *parcel) {
    struct in_sender *sender = parcel->sender;
    TAILQ_REMOVE(parcel->storing ? &inbox->storing : &inbox->unfinished, parcel, link);
    if (!parcel->storing)
        TAILQ_REMOVE(&sender->unfinished, parcel, own);
    if (parcel->wants_receipt)
        TAILQ_REMOVE(&inbox->wanting, parcel, want);
    timers_clear(&inbox->timers, &parcel->timer);
    table_remove(&inbox->parcels, &parcel->by_id);
    budget_give(inbox->config.budget, BUDGET_INBOX, parcel->charged + parcel->operations_charged);
    in_account(parcel, 0);
    in_mail_free(parcel);
    if (--sender->n_parcels == 0) {
        assert(sender->bytes == 0);
        table_remove(&inbox->senders, &sender->by_id);
        free(sender);
    }
    inbox->n_parcels--;
    sodium_memzero(parcel->bytes, parcel->room); /* plaintext, by now or soon */
    free(parcel->bytes);
    free(parcel->file);
    free(parcel);
}

/* Would it rather be this one that goes? */
static bool is_sooner(const struct in_sender *sender, const struct in_sender *than) {
    return sender->is_known != than->is_known ? !sender->is_known : sender->bytes > than->bytes;
}

/* One of the oldest unfinished parcels: a stranger's before a known node's, then of whoever holds
 * most; or strangers, who are as many as they like, would drive everybody's parcels out before they
 * are whole. False: there is none. */
static bool evict(void *context) {
    struct inbox *inbox = context;
    struct in_parcel *parcel, *chosen = TAILQ_FIRST(&inbox->unfinished);
    unsigned looks = 0;
    TAILQ_FOREACH(parcel, &inbox->unfinished, link) {
        if (++looks > EVICT_LOOKS)
            break;
        if (is_sooner(parcel->sender, chosen->sender))
            chosen = parcel;
    }
    if (chosen)
        parcel_free(inbox, chosen);
    return chosen;
}

/* Within what one sender may hold? */
static bool make_room(struct inbox *inbox, const struct node_id *id, size_t charge) {
    const struct in_sender *sender;
    while ((sender = find_sender(inbox, id)) && (sender->n_parcels >= INBOX_SENDER_PARCELS_MAX ||
                                                 sender->bytes + charge > INBOX_SENDER_BYTES_MAX)) {
        if (TAILQ_EMPTY(&sender->unfinished))
            return false;
        parcel_free(inbox, TAILQ_FIRST(&sender->unfinished));
    }
    return true;
}

static struct in_parcel *parcel_new(struct inbox *inbox, const struct node_id *from,
                                    const struct parcel_shard *shard, int64_t epoch) {
    size_t room = (size_t)shard->k * shard->length, charge = room + sizeof(struct in_parcel);
    if (timers_reserve(&inbox->timers, inbox->n_parcels + 1) || !make_room(inbox, from, charge) ||
        !budget_take(inbox->config.budget, BUDGET_INBOX, charge))
        return NULL;
    struct in_parcel *parcel = calloc(1, sizeof *parcel);
    uint8_t *bytes = malloc(room);
    struct in_sender *sender = parcel && bytes ? get_sender(inbox, from) : NULL;
    if (!sender) {
        free(parcel);
        free(bytes);
        budget_give(inbox->config.budget, BUDGET_INBOX, charge);
        return NULL;
    }
    parcel->op.kind = IN_OP_PARCEL;
    parcel->id = shard->id;
    parcel->k = shard->k;
    parcel->m = shard->m;
    parcel->length = shard->length;
    parcel->epoch = epoch;
    memset(parcel->index, IN_NO_SHARD, sizeof parcel->index);
    parcel->bytes = bytes;
    parcel->room = room;
    parcel->sender = sender;
    sender->n_parcels++;
    in_account(parcel, charge);
    table_add(&inbox->parcels, &parcel->by_id,
              table_hash(&inbox->parcels, &parcel->id, sizeof parcel->id));
    TAILQ_INSERT_TAIL(&inbox->unfinished, parcel, link);
    TAILQ_INSERT_TAIL(&sender->unfinished, parcel, own);
    inbox->n_parcels++;
    return parcel;
}

/* ---- Storing ---- */

/* The sealed parcel again, from whichever k shards there are; its length. 0: no memory. */
static size_t parcel_rebuild(struct in_parcel *parcel) {
    size_t length = (size_t)parcel->k * parcel->length;
    if (shard_decode(parcel->k, parcel->m, parcel->length, parcel->index, parcel->bytes))
        return 0;
    if (parcel->k == 1)
        return length;
    shard_restore(parcel->bytes, length);
    return length - SHARD_TRANSFORM_LEN;
}

/* Complete: open it, in place of its shards. 0, or why it went. The receipt's key is in *ret_key.
 * What is charged besides serves the rebuilding first, then the plaintext. */
static enum drop parcel_unseal(struct inbox *inbox, struct in_parcel *parcel,
                               const struct descriptor *descriptor,
                               const struct parcel_secret *secret, size_t *ret_length,
                               uint8_t ret_key[KEY_LEN]) {
    size_t room = parcel->room;
    const struct noise_keypair *own = identity_epoch_key(inbox->config.identity, parcel->epoch);
    if (!own)
        return DROP_TIME;
    if (!budget_take(inbox->config.budget, BUDGET_INBOX, room))
        return DROP_LIMIT;
    in_account(parcel, parcel->charged + room);
    size_t sealed = parcel_rebuild(parcel);
    uint8_t *plain = sealed > 0 ? malloc(room) : NULL;
    if (!plain)
        return DROP_LIMIT;
    enum drop drop =
        parcel_open(own, &inbox->self, parcel->epoch, &parcel->sender->id, descriptor->link_key,
                    &secret->known, parcel->bytes, sealed, plain, ret_length, ret_key);
    free(parcel->bytes);
    parcel->bytes = plain;
    parcel->room = room;
    size_t charge = room + sizeof *parcel;
    budget_give(inbox->config.budget, BUDGET_INBOX, parcel->charged - charge);
    in_account(parcel, charge);
    return drop;
}

static enum drop parcel_finish(struct inbox *inbox, struct in_parcel *parcel,
                               const struct directory_entry *entry, struct now now) {
    struct descriptor descriptor;
    size_t length = 0;
    uint8_t key[KEY_LEN];
    const struct parcel_secret *secret = in_secret(inbox, parcel, entry, now.mono);
    directory_descriptor(entry, &descriptor);
    timers_clear(&inbox->timers, &parcel->timer);
    TAILQ_REMOVE(&inbox->unfinished, parcel, link);
    TAILQ_REMOVE(&parcel->sender->unfinished, parcel, own);
    TAILQ_INSERT_TAIL(&inbox->storing, parcel, link);
    parcel->storing = true;
    if (parcel->wants_receipt)
        TAILQ_REMOVE(&inbox->wanting, parcel, want);
    parcel->wants_receipt = false;
    enum drop drop =
        secret ? parcel_unseal(inbox, parcel, &descriptor, secret, &length, key) : DROP_AUTH;
    if (drop != DROP_NONE) {
        parcel_free(inbox, parcel);
        return drop;
    }
    enum parcel_reason reason = in_check_items(inbox, parcel, length, now.mono);
    if (parcel->error) { /* no memory or no time for what is in it: the sender comes again */
        sodium_memzero(key, sizeof key);
        parcel_free(inbox, parcel);
        return DROP_LIMIT;
    }
    in_verdicts_write(parcel, reason, key);
    sodium_memzero(key, sizeof key);
    bool failed =
        !reason && in_put_items(inbox, parcel, length, entry, descriptor.name, now.wall) != 0;
    if (parcel->puts > 0) {
        assert(!failed);
        in_receipt_expect(inbox, &entry->id, now);
        return DROP_NONE;
    }
    if (!failed) /* refused, or all of it was over */
        in_conclude(inbox, parcel, reason, now);
    parcel_free(inbox, parcel);
    return failed ? DROP_LIMIT : DROP_NONE;
}

/* ---- Shards ---- */

/* When that packet arrived: the paths of a parcel in the order in which they were heard last, and
 * of too many the one that was silent longest goes. */
static void note_path(struct in_parcel *parcel, const struct parcel_shard *shard,
                      uint32_t arrived) {
    unsigned at = 0;
    while (at < parcel->n_paths && parcel->paths[at].path != shard->path)
        at++;
    struct parcel_path path = {.path = shard->path};
    if (at < parcel->n_paths)
        path = parcel->paths[at];
    else if (parcel->n_paths < PARCEL_RECEIPT_PATHS_MAX)
        parcel->n_paths++;
    else
        at = 0;
    if (path.count == 0 || shard->packet > path.highest) {
        path.highest = shard->packet;
        path.arrived = arrived;
    }
    if (path.count < UINT16_MAX)
        path.count++;
    unsigned last = parcel->n_paths - 1u;
    memmove(parcel->paths + at, parcel->paths + at + 1, (last - at) * sizeof path);
    parcel->paths[last] = path;
}

/* Data lie where they belong, if the place is free, or the decoder would have to move them; parity
 * from the end on, where data come last. */
static unsigned place_for(const struct in_parcel *parcel, unsigned index) {
    if (index < parcel->k && parcel->index[index] == IN_NO_SHARD)
        return index;
    unsigned place = parcel->k - 1u;
    while (parcel->index[place] != IN_NO_SHARD)
        place--;
    return place;
}

static enum drop parcel_place(struct inbox *inbox, struct in_parcel *parcel,
                              const struct directory_entry *entry, const struct parcel_shard *shard,
                              struct now now) {
    uint8_t bit = (uint8_t)(1 << shard->index % 8);
    note_path(parcel, shard, inbox->clock_origin + (uint32_t)now.mono.us);
    if (parcel->bitmap[shard->index / 8] & bit) {
        in_partial_note(inbox, parcel, true, now.mono);
        return DROP_DUPLICATE;
    }
    parcel->bitmap[shard->index / 8] |= bit;
    unsigned place = place_for(parcel, shard->index);
    parcel->index[place] = shard->index;
    memcpy(parcel->bytes + (size_t)place * parcel->length, shard->data, parcel->length);
    if (++parcel->arrived == parcel->k)
        return parcel_finish(inbox, parcel, entry, now);
    in_partial_note(inbox, parcel, false, now.mono);
    return DROP_NONE;
}

/* To open it will cost an exchange. Those whom we write to need not wait for it when others
 * flood. */
static bool may_begin(struct inbox *inbox, const struct node_id *sender, unsigned from,
                      struct mono now) {
    return in_may_exchange(inbox, from, now) || is_known(inbox, sender);
}

enum drop inbox_shard(struct inbox *inbox, const uint8_t *payload, size_t length, unsigned from,
                      int64_t epoch, struct now now) {
    struct parcel_shard shard;
    enum drop drop = parcel_shard_decode(payload, length, &shard);
    if (drop != DROP_NONE)
        return drop;
    const struct directory_entry *entry =
        directory_find_prefix(inbox->config.directory, shard.sender);
    if (!entry)
        return DROP_UNKNOWN;
    if (!identity_epoch_key(inbox->config.identity, epoch))
        return DROP_TIME;
    drop = authenticate(inbox, &shard, entry, from, epoch, now.mono);
    if (drop != DROP_NONE)
        return drop;
    /* From here on the sender is proven. */
    if (in_receipt_again(inbox, &entry->id, &shard, now))
        return DROP_DUPLICATE;
    struct in_parcel *parcel = find_parcel(inbox, &entry->id, &shard.id);
    if (parcel && (parcel->k != shard.k || parcel->m != shard.m || parcel->length != shard.length ||
                   parcel->epoch != epoch))
        return DROP_MALFORMED;
    if (parcel && parcel->storing) {
        uint8_t bit = (uint8_t)(1 << shard.index % 8);
        parcel->asked_again = parcel->asked_again || parcel->bitmap[shard.index / 8] & bit;
        parcel->bitmap[shard.index / 8] |= bit;
        return DROP_DUPLICATE;
    }
    if (!parcel && may_begin(inbox, &entry->id, from, now.mono))
        parcel = parcel_new(inbox, &entry->id, &shard, epoch);
    if (!parcel)
        return DROP_LIMIT;
    parcel->from = from;
    return parcel_place(inbox, parcel, entry, &shard, now);
}

/* ---- Ourselves ---- */

int inbox_local(struct inbox *inbox, const struct parcel_item *item, const struct address *address,
                const char *name, struct wall wall) {
    struct in_local *local = calloc(1, sizeof *local + item->length);
    if (!local)
        return -ENOMEM;
    local->op.kind = IN_OP_LOCAL;
    local->id = item->id;
    local->kind = item->kind;
    local->length = item->length;
    if (item->length > 0)
        memcpy(local->bytes, item->bytes, item->length);
    if (item->kind == KIND_FILE)
        in_file_head(item, &local->file);
    TAILQ_INSERT_TAIL(&inbox->locals, local, link);
    struct parcel_item copy = *item;
    copy.bytes = local->bytes;
    in_put_item(inbox, &local->op,
                &(struct in_origin){&inbox->self, address, name, &local->file, true}, &copy, wall);
    return 0;
}

bool inbox_local_done(struct inbox *inbox, struct message_id *ret_id, int *ret_error) {
    struct in_local *local = TAILQ_FIRST(&inbox->locals);
    if (!local || !local->done)
        return false;
    *ret_id = local->id;
    *ret_error = local->error;
    TAILQ_REMOVE(&inbox->locals, local, link);
    free(local);
    return true;
}

/* ---- Results ---- */

static void note_outcome(struct inbox *inbox, const struct store_result *result, bool is_file) {
    if (result->error || result->in_outcome != STORE_IN_COMPLETE)
        return;
    inbox->counters.messages_received++;
    if (is_file)
        return;
    inbox->waiting++;
    in_wake(inbox);
}

static void parcel_stored(struct inbox *inbox, struct in_parcel *parcel,
                          const struct store_result *result, struct now now) {
    note_outcome(inbox, result, parcel->file != NULL);
    if (result->error && !in_keeps_silent(parcel->error))
        parcel->error = result->error;
    parcel->whole = !result->error && result->in_outcome != STORE_IN_PARTIAL;
    if (--parcel->puts > 0)
        return;
    /* Nothing is said when the store failed: the sender comes again, and the disk may have room by
     * then. */
    if (!in_keeps_silent(parcel->error))
        in_conclude(inbox, parcel, in_reason_of(parcel->error), now);
    parcel_free(inbox, parcel);
}

static void local_stored(struct inbox *inbox, struct in_local *local,
                         const struct store_result *result) {
    note_outcome(inbox, result, local->kind == KIND_FILE);
    local->done = true;
    local->error = result->error;
}

void inbox_stored(struct inbox *inbox, uint64_t cookie, const struct store_result *result,
                  struct now now) {
    struct in_op *op = (struct in_op *)(uintptr_t)cookie;
    switch (op->kind) {
    case IN_OP_PARCEL:
        parcel_stored(inbox, table_entry(op, struct in_parcel, op), result, now);
        break;
    case IN_OP_LOCAL:
        local_stored(inbox, table_entry(op, struct in_local, op), result);
        break;
    case IN_OP_FETCH:
        in_fetched(inbox, table_entry(op, struct in_puller, op), result);
        break;
    case IN_OP_TAKE:
        in_taken(inbox, table_entry(op, struct in_puller, op), result);
        break;
    }
}

/* ---- Life ---- */

struct inbox *inbox_new(const struct inbox_config *config) {
    struct inbox *inbox = calloc(1, sizeof *inbox);
    if (!inbox)
        return NULL;
    inbox->config = *config;
    inbox->self = *identity_id(config->identity);
    inbox->waiting = config->waiting;
    inbox->keys_check = MONO_NEVER;
    inbox->drawn_until = (struct mono){INT64_MIN / 2};
    random_fill(&config->random, &inbox->clock_origin, sizeof inbox->clock_origin);
    TAILQ_INIT(&inbox->unfinished);
    TAILQ_INIT(&inbox->storing);
    TAILQ_INIT(&inbox->wanting);
    TAILQ_INIT(&inbox->locals);
    TAILQ_INIT(&inbox->pullers);
    config->budget->evict[BUDGET_INBOX] = evict;
    config->budget->context[BUDGET_INBOX] = inbox;
    inbox->keys = parcel_keys_new(KEYS_HELD, &config->random);
    inbox->guesses = parcel_keys_new(GUESSES_HELD, &config->random);
    inbox->done_ring = calloc(INBOX_DONE_MAX, sizeof(struct in_done *));
    inbox->correspondents = calloc(INBOX_CORRESPONDENTS_MAX, sizeof *inbox->correspondents);
    if (!inbox->keys || !inbox->guesses || !inbox->done_ring || !inbox->correspondents ||
        table_init(&inbox->parcels, &config->random) ||
        table_init(&inbox->senders, &config->random) || table_init(&inbox->done, &config->random)) {
        inbox_free(inbox);
        return NULL;
    }
    return inbox;
}

void inbox_free(struct inbox *inbox) {
    if (!inbox)
        return;
    while (!TAILQ_EMPTY(&inbox->unfinished))
        parcel_free(inbox, TAILQ_FIRST(&inbox->unfinished));
    while (!TAILQ_EMPTY(&inbox->storing))
        parcel_free(inbox, TAILQ_FIRST(&inbox->storing));
    for (struct in_local *local; (local = TAILQ_FIRST(&inbox->locals));) {
        TAILQ_REMOVE(&inbox->locals, local, link);
        free(local);
    }
    in_pullers_deinit(inbox);
    in_receipts_deinit(inbox);
    inbox->config.budget->evict[BUDGET_INBOX] = NULL;
    assert(inbox->config.budget->held[BUDGET_INBOX] == 0);
    table_deinit(&inbox->parcels);
    table_deinit(&inbox->senders);
    table_deinit(&inbox->done);
    timers_deinit(&inbox->timers);
    parcel_keys_free(inbox->keys);
    parcel_keys_free(inbox->guesses);
    free(inbox);
}

void inbox_configure(struct inbox *inbox, const struct inbox_limits *limits) {
    inbox->config.limits = *limits;
}

/* Secrets and parcels of epochs whose keys are gone serve nobody. */
static void expire_keys(struct inbox *inbox, struct now now) {
    int64_t oldest = wall_epoch((struct wall){now.wall.us - EPOCH_GRACE_US});
    size_t left =
        parcel_keys_expire(inbox->keys, oldest) + parcel_keys_expire(inbox->guesses, oldest);
    for (struct in_parcel *parcel = TAILQ_FIRST(&inbox->unfinished), *next; parcel; parcel = next) {
        next = TAILQ_NEXT(parcel, link);
        if (!identity_epoch_key(inbox->config.identity, parcel->epoch))
            parcel_free(inbox, parcel);
    }
    inbox->keys_check =
        left > 0 || inbox->n_parcels > 0 ? mono_add(now.mono, KEYS_CHECK_US) : MONO_NEVER;
}

void inbox_drop_sender(struct inbox *inbox, const struct node_id *sender) {
    for (struct in_sender *held;
         (held = find_sender(inbox, sender)) && !TAILQ_EMPTY(&held->unfinished);)
        parcel_free(inbox, TAILQ_FIRST(&held->unfinished));
}

void inbox_renew(struct inbox *inbox) {
    parcel_keys_expire(inbox->keys, INT64_MAX);
    parcel_keys_expire(inbox->guesses, INT64_MAX);
    while (!TAILQ_EMPTY(&inbox->unfinished))
        parcel_free(inbox, TAILQ_FIRST(&inbox->unfinished));
}

void inbox_tick(struct inbox *inbox, struct now now) {
    for (struct timer *timer; (timer = timers_take(&inbox->timers, now.mono));)
        in_partial_due(inbox, table_entry(timer, struct in_parcel, timer), now.mono);
    if (mono_is_due(inbox->keys_check, now.mono))
        expire_keys(inbox, now);
}

struct mono inbox_next(const struct inbox *inbox) {
    return mono_min(timers_next(&inbox->timers), inbox->keys_check);
}

uint64_t inbox_waiting(const struct inbox *inbox) {
    return inbox->waiting;
}

const struct inbox_counters *inbox_counters(const struct inbox *inbox) {
    return &inbox->counters;
}
