/* The pool's address book: where a link might be had, what came of trying, and when to try again.
 * Part of the pool. */
#ifndef P2PD_POOL_BOOK_H
#define P2PD_POOL_BOOK_H

#include "daemon/core/base/base.h"
#include "daemon/core/base/limits.h"

#define BOOK_CONFIGURED_MAX                                                                        \
    256 /* 64 peers of 4 addresses: what a name led to long ago must not fill it */

enum contact_kind {                     /* the more wanted first */
                    CONTACT_MANUAL,     /* p2pctl connect */
                    CONTACT_ANCHOR,     /* the oldest links of the last run */
                    CONTACT_INTRODUCED, /* a neighbour says: link to this one */
                    CONTACT_BOOTSTRAP,  /* configured: dialled for ever */
                    CONTACT_LOST,       /* was a neighbour, fell silent: probed for an hour */
                    CONTACT_SPARE,      /* on disk since the last run */
                    CONTACT_REFERRED,   /* named in a verdict */
                    CONTACT_GOSSIPED,   /* from a descriptor */
                    CONTACT_SELF,       /* turned out to be ourselves */
};
struct contact {
    struct address address;
    struct node_id id; /* all zero: not known */
    enum contact_kind kind;
    unsigned failures;  /* dials in vain, one after the other */
    bool configured;    /* address of a configured peer, whatever its kind is now */
    bool refused;       /* it was full when last asked */
    bool drawn;         /* we picked it from the directory, when last dialled */
    struct mono next;   /* no dial before */
    struct mono barred; /* disconnected by the user: not let in before */
    struct mono until;  /* a neighbour that fell silent is probed until then; else MONO_NEVER */
};
struct book {
    struct contact *contacts;
    size_t n, capacity;
};

void book_deinit(struct book *book);
struct contact *book_find(const struct book *book, const struct address *address);
/* Find or make a contact; a more wanted kind replaces a less wanted one. NULL: out of memory, full
 * of better ones, or no address that anybody can have (port 0). */
struct contact *book_note(struct book *book, const struct address *address, enum contact_kind kind);
/* A dial failed: back off, 1 s doubling to 5 min, with jitter; a contact that only others told us
 * of is barred for an hour after three. */
void book_failed(struct contact *contact, const struct core_random *random, struct mono now);
/* The contact refused us as full: others are asked first, for 10 to 30 s. */
void book_refused(struct contact *contact, const struct core_random *random, struct mono now);
/* Note a configured peer; beyond BOOK_CONFIGURED_MAX the one that failed most is configured no
 * more. */
void book_configure(struct book *book, const struct address *address);
bool book_is_configured(const struct contact *contact);
/* Is it a neighbour lost to silence that is still looked for? */
bool book_is_lost(const struct contact *contact, struct mono now);

#endif
