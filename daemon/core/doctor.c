#include "daemon/core/doctor.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define CLOCK_OFF_US (30 * US_PER_S)    /* beyond it others may take what we sign for out of time */
#define CLOCK_MAX_US (24 * US_PER_HOUR) /* what is corrected */
#define PATIENCE_US (15 * US_PER_S)     /* a network takes so long to be joined, at worst */
#define AWAY_US US_PER_HOUR             /* a message that waits longer is worth a word */
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

/* ---- One topic each ---- */

static void look_at_neighbours(const struct doctor_facts *facts, struct report *report) {
    const char *topic = "neighbours";
    if (facts->neighbours >= facts->pool_min)
        return;
    if (facts->neighbours > 0)
        say(report, FINDING_NOTE, topic,
            "%u of the %u neighbours that pool.min asks for: more are looked for; in a small "
            "network there may be no more",
            facts->neighbours, facts->pool_min);
    else if (!facts->has_peers)
        say(report, FINDING_TROUBLE, topic,
            "no neighbour, and no peer is configured: name one (network.peer in p2pd.conf, or "
            "p2pctl "
            "connect ADDRESS), or wait to be dialled");
    else if (facts->foreign > 0)
        say(report, FINDING_TROUBLE, topic,
            "no neighbour, and %llu handshakes were not of this network: compare "
            "network.secret_file "
            "with that of the others",
            (unsigned long long)facts->foreign);
    else if (facts->uptime_us < PATIENCE_US)
        say(report, FINDING_NOTE, topic, "no neighbour yet: started %s ago",
            span(facts->uptime_us).text);
    else
        say(report, FINDING_TROUBLE, topic,
            "no neighbour: the peers have been silent for %s. Are their addresses right and do "
            "they "
            "run, does a firewall drop UDP, have they the same network.secret_file?",
            span(facts->silent_us).text);
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

static void look_at_messages(const struct doctor_facts *facts, struct report *report) {
    if (facts->keys_changed > 0)
        say(report, FINDING_TROUBLE, "keys",
            "%zu correspondents: another key is found at their address than the one first used "
            "there. If that is right (a new machine, a new installation): p2pctl trust ADDRESS",
            facts->keys_changed);
    if (facts->away_messages > 0 && facts->away_us >= AWAY_US)
        say(report, FINDING_NOTE, "delivery",
            "%zu messages wait for %zu recipients that are away, the oldest for %s: they are "
            "tried until they expire (delivery.expire)",
            facts->away_messages, facts->away, span(facts->away_us).text);
}

static void look_at_memory(const struct doctor_facts *facts, struct report *report) {
    bool full = facts->memory_used > facts->memory_max / 10 * 9;
    if (full || facts->memory_refused > 0)
        say(report, full && facts->memory_refused > 0 ? FINDING_TROUBLE : FINDING_NOTE, "memory",
            "%zu of %zu KiB of limits.memory are in use; refused %llu times, given up %llu times: "
            "raise it if there is more",
            facts->memory_used / 1024, facts->memory_max / 1024,
            (unsigned long long)facts->memory_refused, (unsigned long long)facts->memory_evicted);
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
    say(&report, FINDING_OK, "all", "%u neighbours, the clock and the disk are right: all is well",
        facts->neighbours);
    return report.n;
}
