/* The glue between the node and the system: a libev loop that turns what happens into events of
 * the core, and carries out what the core asks for. It makes no decision of the protocol. */
#ifndef P2PD_SHELL_H
#define P2PD_SHELL_H

#include "daemon/config/options.h"

struct shell;

/* Open everything, in the order in which failures are best told: state, keys, sockets, store,
 * control, node. Borrows both arguments until shell_close; a reload writes to `config`. 0, or
 * negative errno and a line for people. */
int shell_open(struct shell **ret_shell, const struct options *options, struct config *config,
               char error[FAILURE_MAX]);
/* Until SIGTERM, SIGINT or p2pctl stop. Returns the exit code. */
int shell_run(struct shell *shell);
/* What was accepted is on disk when this returns, and everything that the next daemon wants is let
 * go. From a stop on, the process ends within 5 s even if it does not. Takes NULL. */
void shell_release(struct shell *shell);
/* The same, and end p2pctl stop, which waits for that: a new daemon may start now. Takes NULL. */
void shell_close(struct shell *shell);

#endif
