/* How entries are found: by prefix, by IP, by name.
 *
 * Threat: strangers choose all three. Hashes are keyed, so that nobody can aim at one chain or one
 * run of slots. An IP or a name may be shared by thousands; only a look-up of that very IP or name
 * walks their chain, and of an IP only up to a bound. Nodes that were met or pinned at an IP are in
 * a chain of their own. */
#include "daemon/core/directory/directory_private.h"

#define MAP_FIRST 32

/* ---- Prefixes ---- */

static uint32_t map_home(const struct directory *directory, uint64_t prefix) {
    return (uint32_t)table_hash(&directory->names, &prefix, sizeof prefix) & (directory->n_map - 1);
}

static const struct record *map_at(const struct directory *directory, uint32_t slot) {
    return directory->records[directory->map[slot] - 1];
}

/* The slot that holds this prefix, or the empty one where it would go. */
static uint32_t map_slot(const struct directory *directory, uint64_t prefix) {
    uint32_t slot = map_home(directory, prefix);

    while (directory->map[slot] != 0 && map_at(directory, slot)->entry.prefix != prefix)
        slot = (slot + 1) & (directory->n_map - 1);
    return slot;
}

struct record *directory_record(const struct directory *directory, uint64_t prefix) {
    if (directory->n_map == 0)
        return NULL;
    uint32_t slot = map_slot(directory, prefix);
    return directory->map[slot] != 0 ? directory->records[directory->map[slot] - 1] : NULL;
}

bool directory_map_reserve(struct directory *directory) {
    if (3 * (directory->n_records + 1) <= 2 * (size_t)directory->n_map)
        return true;
    uint32_t n = directory->n_map ? 2 * directory->n_map : MAP_FIRST;
    uint32_t *map = calloc(n, sizeof *map);
    if (!map)
        return false;
    free(directory->map);
    directory->map = map;
    directory->n_map = n;
    for (size_t i = 0; i < directory->n_records; i++)
        map[map_slot(directory, directory->records[i]->entry.prefix)] = (uint32_t)i + 1;
    return true;
}

void directory_map_add(struct directory *directory, const struct record *record) {
    directory->map[map_slot(directory, record->entry.prefix)] = record->position + 1;
}

/* Close the gap by moving back whatever had been pushed past it (Knuth 6.4 R). */
void directory_map_delete(struct directory *directory, const struct record *record) {
    uint32_t mask = directory->n_map - 1, gap = map_slot(directory, record->entry.prefix);

    for (uint32_t i = (gap + 1) & mask; directory->map[i] != 0; i = (i + 1) & mask) {
        uint32_t home = map_home(directory, map_at(directory, i)->entry.prefix);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            directory->map[gap] = directory->map[i];
            gap = i;
        }
    }
    directory->map[gap] = 0;
}

static void put_at(struct directory *directory, struct record *record, size_t position) {
    directory->records[position] = record;
    record->position = (uint32_t)position;
}

void directory_swap(struct directory *directory, size_t a, size_t b) {
    struct record *at_a = directory->records[a], *at_b = directory->records[b];
    uint32_t slot_a = map_slot(directory, at_a->entry.prefix),
             slot_b = map_slot(directory, at_b->entry.prefix);

    put_at(directory, at_b, a);
    put_at(directory, at_a, b);
    directory->map[slot_a] = (uint32_t)b + 1;
    directory->map[slot_b] = (uint32_t)a + 1;
}

/* ---- IPs and names ---- */

uint64_t directory_ip_hash(const struct directory *directory, const struct address *address) {
    return table_hash(&directory->ips, address->ip, sizeof address->ip);
}

/* Nodes that were met or pinned at an IP are in a chain of their own, so that no crowd of claims
 * stands in front of them. */
uint64_t directory_known_hash(const struct directory *directory, const struct address *address) {
    return ~directory_ip_hash(directory, address);
}

static uint64_t name_hash(const struct directory *directory, const char *name) {
    return table_hash(&directory->names, name, strlen(name));
}

struct table_link *directory_by_name(const struct directory *directory, const char *name) {
    return table_first(&directory->names, name_hash(directory, name));
}

static void add_hash(uint64_t hashes[MARKS_MAX], size_t *n, uint64_t hash) {
    for (size_t i = 0; i < *n; i++)
        if (hashes[i] == hash)
            return;
    hashes[(*n)++] = hash;
}

static size_t ip_hashes(const struct directory *directory, const struct directory_entry *entry,
                        const struct descriptor *descriptor, uint64_t hashes[MARKS_MAX]) {
    const struct acquaintance *known = entry->acquaintance;
    size_t n = 0;

    if (known && known->handshaken)
        add_hash(hashes, &n, directory_known_hash(directory, &known->handshake_address));
    if (known && !address_is_unspecified(&known->pin)) /* a former pin counts, too */
        add_hash(hashes, &n, directory_known_hash(directory, &known->pin));
    size_t n_known = n;
    for (size_t i = 0; i < descriptor->n_addresses; i++) {
        uint64_t hash = directory_ip_hash(directory, &descriptor->addresses[i]);
        if ((n_known < 1 || hashes[0] != ~hash) && (n_known < 2 || hashes[1] != ~hash))
            add_hash(hashes, &n, hash);
    }
    return n;
}

static struct mark *mark_at(struct record *record, size_t i) {
    return i == 0 ? &record->first : &record->more[i - 1];
}

static void unmark_ips(struct directory *directory, struct record *record) {
    for (size_t i = 0; i < record->n_marks; i++)
        table_remove(&directory->ips, &mark_at(record, i)->link);
    free(record->more);
    record->more = NULL;
    record->n_marks = 0;
}

static bool mark_ips(struct directory *directory, struct record *record,
                     const struct descriptor *descriptor) {
    uint64_t hashes[MARKS_MAX];
    size_t n = ip_hashes(directory, &record->entry, descriptor, hashes), same = 0;

    while (same < n && same < record->n_marks && mark_at(record, same)->link.hash == hashes[same])
        same++;
    if (same == n && n == record->n_marks)
        return false;
    unmark_ips(directory, record);
    record->more = n > 1 ? calloc(n - 1, sizeof *record->more) : NULL;
    if (n > 1 && !record->more)
        n = 1;
    for (size_t i = 0; i < n; i++) {
        mark_at(record, i)->owner = record;
        table_add(&directory->ips, &mark_at(record, i)->link, hashes[i]);
    }
    record->n_marks = (uint8_t)n;
    return true;
}

static void unmark_name(struct directory *directory, struct record *record) {
    if (record->named)
        table_remove(&directory->names, &record->by_name);
    record->named = false;
}

static bool mark_name(struct directory *directory, struct record *record, const char *name) {
    uint64_t hash = name_hash(directory, name);
    bool named = name[0] != '\0';

    if (record->named == named && (!named || record->by_name.hash == hash))
        return false;
    unmark_name(directory, record);
    if (named)
        table_add(&directory->names, &record->by_name, hash);
    record->named = named;
    return true;
}

bool directory_mark(struct directory *directory, struct record *record,
                    const struct descriptor *descriptor) {
    bool moved = mark_ips(directory, record, descriptor);

    return mark_name(directory, record, descriptor->name) || moved;
}

void directory_unmark(struct directory *directory, struct record *record) {
    unmark_ips(directory, record);
    unmark_name(directory, record);
}
