/* From whom we take messages and files: inbox.accept, files.accept, and the rules that override
 * them for one sender. It decides; the inbox asks it before anything is stored.
 *
 * Threat: identities are free, so a rule against one keeps out who cannot make another; who is let
 * in by "known" is somebody whom the user wrote to, pinned or allowed. The table is bounded by
 * POLICY_RULES_MAX; it is filled by local users alone. */
#ifndef P2PD_POLICY_H
#define P2PD_POLICY_H

#include "daemon/core/directory/directory.h"
#include "daemon/core/seam/step.h"
#include "daemon/core/wire/parcel.h"

#define POLICY_RULES_MAX 65536 /* beyond it a rule is answered with ANSWER_LIMIT */

struct policy;
struct policy_config {
    const struct directory *directory; /* borrowed for the policy's life */
    const struct core_random *random;
    /* Did we ever write to this node? */
    bool (*has_written)(const void *context, const struct node_id *id);
    const void *context;
    enum inbox_accept inbox;
    enum files_accept files;
};

/* NULL: no memory. */
struct policy *policy_new(const struct policy_config *config, const struct boot_rule *rules,
                          size_t n);
void policy_free(struct policy *policy);
void policy_configure(struct policy *policy, enum inbox_accept inbox, enum files_accept files);

/* 0; -ENOSPC: the table is full (a rule that exists may be changed all the same); -ENOMEM.
 * RULE_NONE forgets. */
int policy_set(struct policy *policy, const struct node_id *id, enum sender_rule wanted);
enum sender_rule policy_get(const struct policy *policy, const struct node_id *id);
bool policy_has_room(const struct policy *policy, const struct node_id *id);
size_t policy_count(const struct policy *policy);
/* Every rule, in no order, until visit returns false. */
void policy_visit(const struct policy *policy,
                  bool (*visit)(void *context, const struct node_id *id, enum sender_rule rule),
                  void *context);

/* Written to, pinned or allowed. */
bool policy_is_known(const struct policy *policy, const struct node_id *id);
/* May this sender, proven, leave a message or a file with us? PARCEL_REASON_NONE, or why not. */
enum parcel_reason policy_judge(const struct policy *policy, const struct node_id *sender,
                                enum message_kind kind);

#endif
