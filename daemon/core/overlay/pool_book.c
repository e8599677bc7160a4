#include "daemon/core/overlay/pool_book.h"

#include "daemon/core/base/backoff.h"

#include <stdlib.h>

#define BACKOFF_MIN_US US_PER_S
#define BACKOFF_MAX_US (5 * US_PER_MINUTE)
#define BARRED_US US_PER_HOUR
#define FAILURES_BARRED 3
#define REFUSED_US (20 * US_PER_S)
#define PROBE_MIN_US (10 * US_PER_S) /* lost neighbours: every 10 to 20 s */

void book_deinit(struct book *book) {
    free(book->contacts);
    *book = (struct book){0};
}

struct contact *book_find(const struct book *book, const struct address *address) {
    for (size_t i = 0; i < book->n; i++)
        if (address_is_equal(&book->contacts[i].address, address))
            return &book->contacts[i];
    return NULL;
}

/* The least wanted kind, of it the one that failed most; never a configured one, or one that is
 * more wanted than the newcomer. */
static struct contact *worst(struct book *book, enum contact_kind kind) {
    struct contact *found = NULL;
    for (size_t i = 0; i < book->n; i++) {
        struct contact *contact = &book->contacts[i];
        if (contact->kind < kind || book_is_configured(contact))
            continue;
        if (!found || contact->kind > found->kind ||
            (contact->kind == found->kind && contact->failures > found->failures))
            found = contact;
    }
    return found;
}

static struct contact *book_slot(struct book *book, enum contact_kind kind) {
    if (book->n == book->capacity && book->capacity < BOOK_MAX) {
        size_t capacity = book->capacity ? book->capacity * 2 : 16;
        struct contact *larger = realloc(book->contacts, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        book->contacts = larger;
        book->capacity = capacity;
    }
    return book->n < book->capacity ? &book->contacts[book->n++] : worst(book, kind);
}

struct contact *book_note(struct book *book, const struct address *address,
                          enum contact_kind kind) {
    struct contact *contact = book_find(book, address);
    if (contact) {
        if (kind < contact->kind && contact->kind != CONTACT_SELF)
            contact->kind = kind;
        return contact;
    }
    if (address->port == 0 || address_problem(address))
        return NULL; /* nobody can be there, whoever says so */
    contact = book_slot(book, kind);
    if (contact)
        *contact = (struct contact){
            .address = *address, .kind = kind, .until = MONO_NEVER, .barred = {INT64_MIN}};
    return contact;
}

void book_configure(struct book *book, const struct address *address) {
    struct contact *failed = NULL;
    size_t n = 0;
    for (size_t i = 0; i < book->n; i++) {
        struct contact *contact = &book->contacts[i];
        if (contact->kind != CONTACT_BOOTSTRAP || address_is_equal(&contact->address, address))
            continue;
        n++;
        if (!failed || contact->failures > failed->failures)
            failed = contact;
    }
    if (n >= BOOK_CONFIGURED_MAX) {
        failed->kind = CONTACT_GOSSIPED;
        failed->configured = false;
    }
    struct contact *contact = book_note(book, address, CONTACT_BOOTSTRAP);
    if (contact)
        contact->configured = true;
}

bool book_is_lost(const struct contact *contact, struct mono now) {
    return contact->until.us != INT64_MAX && !mono_is_due(contact->until, now);
}

bool book_is_configured(const struct contact *contact) {
    return contact->kind == CONTACT_BOOTSTRAP || contact->kind == CONTACT_ANCHOR ||
           contact->kind == CONTACT_MANUAL;
}

void book_failed(struct contact *contact, const struct core_random *random, struct mono now) {
    contact->failures++;
    if (book_is_lost(contact, now)) {
        contact->next = mono_add(now, PROBE_MIN_US + (int64_t)random_below(random, PROBE_MIN_US));
        return;
    }
    int64_t wait = backoff_us(contact->failures, BACKOFF_MIN_US, BACKOFF_MAX_US);
    if (!book_is_configured(contact) && contact->failures >= FAILURES_BARRED)
        wait = BARRED_US;
    contact->next = mono_add(now, wait / 2 + (int64_t)random_below(random, (uint64_t)wait));
}

void book_refused(struct contact *contact, const struct core_random *random, struct mono now) {
    contact->failures = 0;
    contact->refused = true;
    contact->next = mono_add(now, REFUSED_US / 2 + (int64_t)random_below(random, REFUSED_US));
}
