/* Finds what a configuration names and the start would refuse, without changing anything: groups,
 * the secret, folders, addresses. Root may check on behalf of the daemon's own user, which is the
 * owner of the state folder if that is not root. */
#ifndef P2PD_CONFIG_CHECK_H
#define P2PD_CONFIG_CHECK_H

#include "daemon/config/config.h"

enum config_check {
    CONFIG_CHECK_GROUP = 1,
    CONFIG_CHECK_SECRET = 2,
    CONFIG_CHECK_PLACES = 4, /* folders, the socket, addresses: these may still come */
    CONFIG_CHECK_ALL = 7,
};

/* Adds to *mistakes what the start would refuse, and to *notes (NULL: not wanted) what would have
 * no effect: "FILE:LINE: section.key: why" each. 0, or -EINVAL if there was a mistake. */
int config_check(const struct config_source *source, const struct config *config, int what,
                 struct config_mistakes *mistakes, struct config_mistakes *notes);

#endif
