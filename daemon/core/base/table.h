/* A hash table of structs that carry their own link: no allocation an entry, keys compared by the
 * user. Header only.
 *
 * Threat: remote parties choose many of the keys (parcel ids); the hash is keyed (SipHash-2-4), so
 * that they cannot aim at one chain. When the slots cannot grow for lack of memory the chains grow
 * instead: an add never fails. */
#ifndef P2PD_TABLE_H
#define P2PD_TABLE_H

#include "daemon/core/base/base.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

struct table_link {
    struct table_link *next;
    uint64_t hash;
};
struct table {
    struct table_link **slots;
    size_t n_slots, used; /* n_slots is a power of two */
    uint8_t key[crypto_shorthash_KEYBYTES];
};

/* The struct around a link. */
#define table_entry(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* 0 or -ENOMEM. */
static inline int table_init(struct table *table, const struct core_random *random) {
    table->n_slots = 16;
    table->used = 0;
    random_fill(random, table->key, sizeof table->key);
    table->slots = calloc(table->n_slots, sizeof *table->slots);
    return table->slots ? 0 : -ENOMEM;
}
/* The entries are the caller's. */
static inline void table_deinit(struct table *table) {
    free(table->slots);
    table->slots = NULL;
}
static inline uint64_t table_hash(const struct table *table, const void *key, size_t length) {
    uint8_t out[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(out, key, length, table->key);
    memcpy(&hash, out, sizeof hash);
    return hash;
}
static inline void table_grow(struct table *table) {
    size_t n = table->n_slots * 2;
    struct table_link **slots = calloc(n, sizeof *slots);
    if (!slots)
        return;
    for (size_t i = 0; i < table->n_slots; i++)
        for (struct table_link *link = table->slots[i], *next; link; link = next) {
            next = link->next;
            link->next = slots[link->hash & (n - 1)];
            slots[link->hash & (n - 1)] = link;
        }
    free(table->slots);
    table->slots = slots;
    table->n_slots = n;
}
static inline void table_add(struct table *table, struct table_link *link, uint64_t hash) {
    if (table->used >= table->n_slots)
        table_grow(table);
    link->hash = hash;
    link->next = table->slots[hash & (table->n_slots - 1)];
    table->slots[hash & (table->n_slots - 1)] = link;
    table->used++;
}
static inline void table_remove(struct table *table, struct table_link *link) {
    struct table_link **at = &table->slots[link->hash & (table->n_slots - 1)];
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    table->used--;
}
/* The entries of one hash, one after the other; NULL when there is no more. */
static inline struct table_link *table_first(const struct table *table, uint64_t hash) {
    struct table_link *link = table->slots[hash & (table->n_slots - 1)];
    while (link && link->hash != hash)
        link = link->next;
    return link;
}
static inline struct table_link *table_next(const struct table_link *link) {
    uint64_t hash = link->hash;
    struct table_link *next = link->next;
    while (next && next->hash != hash)
        next = next->next;
    return next;
}
/* Walk over all slots in steps, between which entries come and go and the table grows: `at` is 0,
 * then what this returned, until it returns 0. What is there all the time is met once: the slots go
 * by their bits from the highest down, so that those into which one splits have been passed, or
 * lie ahead, together. */
static inline size_t table_scan(const struct table *table, size_t at) {
    size_t bit = table->n_slots >> 1;
    while (bit && at & bit) {
        at ^= bit;
        bit >>= 1;
    }
    return at | bit;
}
/* Let `entry` be the first entry of this hash for which `condition`, which may name it, holds; or
 * NULL. `member` is its link in this table. */
#define TABLE_FIND(entry, table, hash_of_key, member, condition)                                   \
    do {                                                                                           \
        struct table_link *table_found = table_first(table, hash_of_key);                          \
        for (; table_found; table_found = table_next(table_found)) {                               \
            (entry) = table_entry(table_found, __typeof__(*(entry)), member);                      \
            if (condition)                                                                         \
                break;                                                                             \
        }                                                                                          \
        if (!table_found)                                                                          \
            (entry) = NULL;                                                                        \
    } while (0)

#endif
