#include "daemon/core/node/doctor.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Beyond it others may refuse what we sign as out of time. */
#define CLOCK_OFF_US (30 * US_PER_S)
#define CLOCK_MAX_US (24 * US_PER_HOUR) /* the most that is corrected */
#define PATIENCE_US (15 * US_PER_S)     /* joining a network takes so long, at worst */
#define WAITING_US US_PER_MINUTE        /* a message that waits longer is reported */
#define NAMES_SAID 8
#define ID_DIGITS 16 /* enough to be a DEST */
#define RECENT_US (24 * US_PER_HOUR)

struct report {
    struct finding *v;
    size_t n;
};

__attribute__((format(printf, 4, 5))) static void
say(struct report *report, enum finding_level level, const char *topic, const char *format, ...) {
    assert(report->n < DOCTOR_FINDINGS_MAX);
    struct finding *finding = &report->v[report->n++];
    va_list arguments;
    *finding = (struct finding){.level = level, .topic = topic};
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

/* "90 s", "3 h": whole units are enough. */
struct span {
    char text[32];
};
static struct span span(int64_t us) {
    struct span span;
    long long s = us < 0 ? -us / US_PER_S : us / US_PER_S;
    if (s < 120)
        snprintf(span.text, sizeof span.text, "%lld s", s);
    else if (s < 120 * 60)
        snprintf(span.text, sizeof span.text, "%lld min", s / 60);
    else if (s < 72 * 3600)
        snprintf(span.text, sizeof span.text, "%lld h", s / 3600);
    else
        snprintf(span.text, sizeof span.text, "%lld days", s / 86400);
    return span;
}

/* ---- Words ---- */

struct words {
    char text[64];
};
/* "1 message", "3 messages". */
static struct words number(uint64_t n, const char *one, const char *several) {
    struct words words;
    snprintf(words.text, sizeof words.text, "%llu %s", (unsigned long long)n,
             n == 1 ? one : several);
    return words;
}

struct name {
    char text[ADDRESS_TEXT_MAX + NODE_NAME_MAX + ID_DIGITS + 8];
};
/* How findings name a node: "bob (192.0.2.1:58008, 1a2b3c4d5e6f7a8b)". */
static struct name name_of(const struct doctor_who *who) {
    struct name name;
    char address[ADDRESS_TEXT_MAX], id[ID_DIGITS + 1];
    bool placed = !address_is_unspecified(&who->address);
    for (size_t i = 0; i < ID_DIGITS / 2; i++)
        snprintf(id + 2 * i, 3, "%02x", who->id.bytes[i]);
    address_format(&who->address, who->address.port != 0, address);
    if (who->name[0] && placed)
        snprintf(name.text, sizeof name.text, "%s (%s, %s)", who->name, address, id);
    else if (who->name[0] || placed)
        snprintf(name.text, sizeof name.text, "%s (%s)", placed ? address : who->name, id);
    else
        snprintf(name.text, sizeof name.text, "%s", id);
    return name;
}

static size_t at_most(size_t n, size_t most) {
    return n < most ? n : most;
}

/* If only some of `all` were named: one more finding that counts the others. */
static void say_others(struct report *report, enum finding_level level, const char *topic,
                       size_t all, size_t named, const char *what) {
    if (all > named)
        say(report, level, topic, "and %zu more %s", all - named, what);
}

/* ---- One topic each ---- */

static void look_at_names(const struct doctor_facts *facts, struct report *report) {
    enum finding_level level = facts->neighbours > 0 ? FINDING_NOTE : FINDING_TROUBLE;
    size_t named = at_most(facts->n_hosts, NAMES_SAID);
    for (size_t i = 0; i < named; i++) {
        const struct host_report *host = &facts->hosts[i];
        say(report, level, "names", "the peer %s cannot be looked up: %s (for %s; next try %s%s)",
            host->name, host->why, span(host->failing_us).text, host->next_us > 0 ? "in " : "now",
            host->next_us > 0 ? span(host->next_us).text : "");
    }
    say_others(report, level, "names", facts->n_hosts, named, "that cannot be looked up");
}

/* No neighbour: why? The likeliest first. */
static void look_for_neighbours(const struct doctor_facts *facts, struct report *report) {
    const char *topic = "neighbours";
    bool one = facts->peers == 1;
    if (facts->peers == 0 && facts->n_hosts > 0)
        say(report, FINDING_TROUBLE, topic,
            "no neighbour: no address is known of the peer%s configured",
            facts->n_hosts == 1 ? "" : "s");
    else if (facts->peers == 0)
        say(report, FINDING_TROUBLE, topic,
            "no neighbour, and no peer is configured: name one (network.peer in p2pd.conf, or "
            "p2pctl connect ADDRESS), or wait to be dialled");
    else if (facts->peers_self == facts->peers)
        say(report, FINDING_TROUBLE, topic,
            "no neighbour: %s is this node itself. Name another (network.peer in p2pd.conf, or "
            "p2pctl connect ADDRESS), or wait to be dialled",
            facts->n_hosts > 0 ? "each peer whose address is known"
            : one              ? "the peer configured"
                               : "each peer configured");
    else if (facts->n_strangers > 0)
        say(report, FINDING_TROUBLE, topic,
            "no neighbour, and what comes is not of this network: compare network.name and "
            "network.secret_file with those of the others");
    else if (facts->uptime_us < PATIENCE_US)
        say(report, FINDING_NOTE, topic, "no neighbour yet: started %s ago",
            span(facts->uptime_us).text);
    else
        say(report, FINDING_TROUBLE, topic,
            "no neighbour: the peer%s been silent for %s. %s right, does a p2pd run there, does a "
            "firewall drop UDP, %s the same network.name and network.secret_file?",
            one ? " has" : "s have", span(facts->silent_us).text,
            one ? "Is its address" : "Are their addresses", one ? "has it" : "have they");
}

static void look_at_suspects(const struct doctor_facts *facts, struct report *report) {
    size_t named = at_most(facts->n_suspects, DOCTOR_NAMED);
    for (size_t i = 0; i < named; i++)
        say(report, FINDING_NOTE, "suspect",
            "the neighbour %s has been silent for %s: routes go round it, and after link.timeout "
            "it is let go of",
            name_of(&facts->suspects[i].who).text, span(facts->suspects[i].silent_us).text);
    say_others(report, FINDING_NOTE, "suspect", facts->n_suspects, named,
               "neighbours that are silent");
}

/* The source addresses of such datagrams may be forged. */
static void look_at_strangers(const struct doctor_facts *facts, struct report *report) {
    size_t named = at_most(facts->n_strangers, DOCTOR_NAMED);
    for (size_t i = 0; i < named; i++) {
        const struct stranger *stranger = &facts->strangers[i];
        char from[ADDRESS_TEXT_MAX];
        address_format(&stranger->address, false, from);
        say(report, FINDING_NOTE, "strangers",
            "%s from %s did not authenticate, the last %s ago: another network.secret_file or "
            "network.name there? (anybody can send such, under any address)",
            number(stranger->n, "datagram", "datagrams").text, from,
            span(facts->now.us - stranger->last.us).text);
    }
    say_others(report, FINDING_NOTE, "strangers", facts->n_strangers, named, "sources of such");
}

static void look_at_neighbours(const struct doctor_facts *facts, struct report *report) {
    if (facts->neighbours == 0)
        look_for_neighbours(facts, report);
    else if (facts->neighbours < facts->pool_min)
        say(report, FINDING_NOTE, "neighbours",
            "%u of the %u neighbours that pool.min asks for: more are looked for; in a small "
            "network there may be no more",
            facts->neighbours, facts->pool_min);
    look_at_names(facts, report);
    look_at_suspects(facts, report);
    look_at_strangers(facts, report);
}

static void look_at_address(const struct doctor_facts *facts, struct report *report) {
    char seen[ADDRESS_TEXT_MAX], local[ADDRESS_TEXT_MAX];
    if (facts->neighbours == 0 || address_is_unspecified(&facts->seen_as) ||
        address_is_unspecified(&facts->local) || address_is_same_ip(&facts->seen_as, &facts->local))
        return;
    address_format(&facts->seen_as, true, seen);
    address_format(&facts->local, false, local);
    if (facts->dialled_us > 0 || facts->advertises)
        say(report, FINDING_OK, "address",
            "behind an address translator (%s here, %s outside), and found all the same", local,
            seen);
    else
        say(report, FINDING_NOTE, "address",
            "behind an address translator: %s here, %s outside. Nobody has dialled us; let the "
            "translator forward our UDP port to this machine, and others can",
            local, seen);
}

static void look_at_clock(const struct doctor_facts *facts, struct report *report) {
    int64_t error_us = facts->clock_error_us;
    if (error_us > CLOCK_MAX_US || error_us < -CLOCK_MAX_US)
        say(report, FINDING_TROUBLE, "clock",
            "this machine's clock is %s %s the neighbours', more than the 24 h that can be put "
            "right "
            "here: nothing is delivered to or from it until the clock is set (NTP)",
            span(error_us).text, error_us > 0 ? "behind" : "ahead of");
    else if (facts->correction_us > CLOCK_OFF_US || facts->correction_us < -CLOCK_OFF_US)
        say(report, FINDING_TROUBLE, "clock",
            "this machine's clock is %s %s the neighbours': corrected here, but set it right (NTP)",
            span(facts->correction_us).text, facts->correction_us > 0 ? "behind" : "ahead of");
}

static void look_at_disk(const struct doctor_facts *facts, struct report *report) {
    char words[ERROR_WORDS_MAX], what[ERROR_WORDS_MAX + 32];
    if (facts->store_error == 0)
        return;
    error_words(facts->store_error, words);
    if (facts->store_error == -ENOSPC || facts->store_error == -EROFS)
        snprintf(what, sizeof what, "the disk was %s",
                 facts->store_error == -ENOSPC ? "full" : "read-only");
    else
        snprintf(what, sizeof what, "the store failed: %s", words);
    if (!facts->store_recovered)
        say(report, FINDING_TROUBLE, "disk",
            "%s %s ago, and nothing was written since: free or mend it; what was "
            "accepted is safe, nothing more is accepted until then",
            what, span(facts->store_error_us).text);
    else if (facts->store_error_us < RECENT_US)
        say(report, FINDING_NOTE, "disk", "%s %s ago; it works again", what,
            span(facts->store_error_us).text);
}

/* A pinned node is gone, and another key is at its address. */
static void look_at_keys(const struct doctor_facts *facts, struct report *report) {
    size_t named = at_most(facts->n_keys, DOCTOR_NAMED);
    for (size_t i = 0; i < named; i++) {
        const struct doctor_key *key = &facts->keys[i];
        struct doctor_who present = {.id = key->present};
        char at[ADDRESS_TEXT_MAX];
        address_format(&key->at, key->at.port != 0, at);
        say(report, FINDING_TROUBLE, "keys",
            "%s is gone, last seen %s ago, and another key, %s, is at %s; %s for the one that is "
            "gone. If it is the same correspondent (a new machine, a new installation): p2pctl "
            "trust %s%s",
            name_of(&key->who).text, span(key->unseen_us).text, name_of(&present).text, at,
            key->messages == 0 ? "no message waits"
                               : number(key->messages, "message waits", "messages wait").text,
            key->messages > 0 ? "--resend " : "", at);
    }
    say_others(report, FINDING_TROUBLE, "keys", facts->n_keys, named,
               "correspondents at whose address another key is");
}

static const struct {
    const char *one, *several;
} why_words[OUTBOX_WHYS] = {
    [OUTBOX_FLYING] = {"message is on its way and not confirmed",
                       "messages are on their way and not confirmed"},
    [OUTBOX_AWAY] = {"message waits for somebody who is not in the network",
                     "messages wait for somebody who is not in the network"},
    [OUTBOX_SILENT] = {"message was sent and is not confirmed",
                       "messages were sent and are not confirmed"},
    [OUTBOX_NO_ROUTE] = {"message has no route just now", "messages have no route just now"},
    [OUTBOX_STRICT] = {"message wants more relays than there are on any route (route.strict, "
                       "--strict, --relays)",
                       "messages want more relays than there are on any route (route.strict, "
                       "--strict, --relays)"},
    [OUTBOX_MEMORY] = {"message waits for memory (limits.memory)",
                       "messages wait for memory (limits.memory)"},
    [OUTBOX_STORE] = {"message waits for the disk", "messages wait for the disk"},
};

struct people {
    char text[DOCTOR_NAMED * (sizeof(struct name) + 40)];
};
static struct people people_of(const struct doctor_waiting *waiting) {
    struct people people = {""};
    size_t n = 0, named = at_most(waiting->recipients, DOCTOR_NAMED), room = sizeof people.text;
    for (size_t i = 0; i < named && n < room; i++) {
        const struct doctor_recipient *recipient = &waiting->first[i];
        bool unseen = recipient->unseen_us >= 0;
        n += (size_t)snprintf(people.text + n, room - n, "%s%s%s%s%s", i ? "; " : "",
                              name_of(&recipient->who).text, unseen ? ", last seen " : "",
                              unseen ? span(recipient->unseen_us).text : "", unseen ? " ago" : "");
    }
    if (waiting->recipients > named && n < room)
        snprintf(people.text + n, room - n, "; and %s",
                 number(waiting->recipients - named, "other", "others").text);
    return people;
}

/* One finding for each reason, and whom the messages are for. Messages that have waited for less
 * than WAITING_US are not reported. */
static void look_at_delivery(const struct doctor_facts *facts, struct report *report) {
    for (enum outbox_why why = 0; why < OUTBOX_WHYS; why++) {
        const struct doctor_waiting *waiting = &facts->waiting[why];
        char mailed[80] = "";
        if (waiting->messages == 0 || waiting->oldest_us < WAITING_US)
            continue;
        if (waiting->mailed > 0)
            snprintf(mailed, sizeof mailed, ", %llu of them also in mailboxes",
                     (unsigned long long)waiting->mailed);
        say(report, FINDING_NOTE, "delivery", "%s, %sfor %s%s: to %s",
            number(waiting->messages, why_words[why].one, why_words[why].several).text,
            waiting->messages == 1 ? "" : "the oldest ", span(waiting->oldest_us).text, mailed,
            people_of(waiting).text);
    }
    if (facts->unread > 0)
        say(report, FINDING_NOTE, "delivery",
            "%s of before the start still being read from the disk",
            number(facts->unread, "message is", "messages are").text);
    if (facts->left_out > 0)
        say(report, FINDING_NOTE, "delivery",
            "%s left out here, since limits.memory has no room to look at them",
            number(facts->left_out, "message is", "messages are").text);
    if (facts->expiring > 0)
        say(report, FINDING_NOTE, "expiry",
            "%s within the hour if not delivered, the first in %s (delivery.expire, --expire)",
            number(facts->expiring, "message expires", "messages expire").text,
            span(facts->expires_us).text);
}

/* Parcels from others that we refused. */
static void look_at_inbox(const struct doctor_facts *facts, struct report *report) {
    if (facts->refused_quota > 0)
        say(report, FINDING_NOTE, "inbox",
            "parcels of others were refused %s since the start, for want of room (inbox.quota, "
            "inbox.max, files.quota, files.max): p2pctl pull and p2pctl receive make some",
            number(facts->refused_quota, "time", "times").text);
    if (facts->refused_unknown + facts->refused_files > 0)
        say(report, FINDING_OK, "inbox",
            "parcels of others were refused %s since the start, as inbox.accept and files.accept "
            "say",
            number(facts->refused_unknown + facts->refused_files, "time", "times").text);
}

static void look_at_messages(const struct doctor_facts *facts, struct report *report) {
    look_at_keys(facts, report);
    look_at_delivery(facts, report);
    look_at_inbox(facts, report);
}

static void look_at_memory(const struct doctor_facts *facts, struct report *report) {
    bool full = facts->memory_used > facts->memory_max / 10 * 9;
    if (full || facts->memory_refused > 0)
        say(report, full && facts->memory_refused > 0 ? FINDING_TROUBLE : FINDING_NOTE, "memory",
            "%zu of %zu KiB of limits.memory are in use; since the start refused %s, given up %s: "
            "raise it if there is more",
            facts->memory_used / 1024, facts->memory_max / 1024,
            number(facts->memory_refused, "time", "times").text,
            number(facts->memory_evicted, "time", "times").text);
    if (facts->droplist_entries >= facts->droplist_max)
        say(report, FINDING_TROUBLE, "droplist",
            "the drop list is full (%zu entries): packets are refused. Raise droplist.entries, or "
            "somebody floods",
            facts->droplist_max);
}

static void look_at_relaying(const struct doctor_facts *facts, struct report *report) {
    if (!facts->relays)
        say(report, FINDING_NOTE, "relay",
            "node.relay is off: what leaves here is ours alone, so neighbours can tell when we "
            "send");
    if (facts->month_used_up)
        say(report, FINDING_NOTE, "relay",
            "relay.month is used up: packets of others are dropped for %s",
            span(facts->month_us).text);
}

static void repeat_machine(const struct doctor_facts *facts, struct report *report) {
    for (size_t i = 0; facts->machine && i < MACHINE_TOPICS; i++)
        if (facts->machine[i].level != FINDING_OK)
            say(report, facts->machine[i].level, facts->machine[i].topic, "%s",
                facts->machine[i].text);
}

size_t doctor_examine(const struct doctor_facts *facts,
                      struct finding ret_findings[DOCTOR_FINDINGS_MAX]) {
    struct report report = {ret_findings, 0};
    look_at_neighbours(facts, &report);
    look_at_address(facts, &report);
    look_at_clock(facts, &report);
    look_at_disk(facts, &report);
    look_at_messages(facts, &report);
    look_at_memory(facts, &report);
    look_at_relaying(facts, &report);
    repeat_machine(facts, &report);
    for (size_t i = 0; i < report.n; i++)
        if (report.v[i].level != FINDING_OK)
            return report.n;
    say(&report, FINDING_OK, "all", "%s, the clock and the disk are right: all is well",
        number(facts->neighbours, "neighbour", "neighbours").text);
    return report.n;
}
