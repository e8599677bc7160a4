/* What a configuration names and the start would refuse, looked at without changing anything:
 * groups, the secret, folders, addresses. Root may check on behalf of the daemon's own user: that
 * is the owner of a state folder that is not root's. */
#ifndef P2PD_CONFIG_CHECK_H
#define P2PD_CONFIG_CHECK_H

#include "daemon/config/config.h"

enum config_check {
    CONFIG_CHECK_GROUP = 1,
    CONFIG_CHECK_SECRET = 2,
    CONFIG_CHECK_PLACES = 4, /* folders, the socket, addresses: these may come to be in time */
    CONFIG_CHECK_ALL = 7,
};

/* Adds to *mistakes what is refused, and to *notes (NULL: not wanted) what is without effect:
 * "FILE:LINE: section.key: why" each. 0, or -EINVAL if there was a mistake. */
int config_check(const struct config_source *source, const struct config *config, int what,
                 struct config_mistakes *mistakes, struct config_mistakes *notes);

#endif
