/* p2pd --restore: a state folder made from a backup, then the end. */
#ifndef P2PD_RESTORE_H
#define P2PD_RESTORE_H

#include "daemon/config/options.h"

/* Asks for the passphrase or reads it; says on standard output what was done, on standard error why
 * not. Returns the exit code. */
int restore_run(const struct options *options, const struct config *config);

#endif
