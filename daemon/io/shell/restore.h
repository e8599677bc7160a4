/* p2pd --restore: make a state folder from a backup, then exit. */
#ifndef P2PD_RESTORE_H
#define P2PD_RESTORE_H

#include "daemon/config/options.h"

/* Ask for the passphrase or read it, and restore. Says on standard output what was done, on
 * standard error why it could not be. Returns the exit code. */
int restore_run(const struct options *options, const struct config *config);

#endif
